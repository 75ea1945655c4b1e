//! Where the optimizer runs, and a parameter with its gradient there.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use instep::{Device, Stream, Tensor};

use crate::Result;

/// The CPU or a GPU, with the stream that everything is ordered on.
pub struct Place {
    pub device: Device,
    pub stream: Stream,
    engine: Option<Arc<CudaStream>>,
}

impl Place {
    pub fn host() -> Place {
        Place { device: Device::host(), stream: Stream::host(), engine: None }
    }

    pub fn cuda() -> Result<Place> {
        // Asked first: without a driver it gives an error, where cudarc would panic.
        Device::cuda(0)?;
        let context = CudaContext::new(0)?;
        let engine = context.new_stream()?;
        let device = Device::from_cudarc(&context)?;
        let stream = device.stream(&engine)?;
        Ok(Place { device, stream, engine: Some(engine) })
    }
}

/// A parameter and its gradient.
pub enum Memory {
    Host { param: Box<[f32]>, grad: Box<[f32]> },
    Cuda { engine: Arc<CudaStream>, param: CudaSlice<f32>, grad: CudaSlice<f32> },
}

impl Memory {
    pub fn new(place: &Place, param: &[f32]) -> Result<Memory> {
        Ok(match &place.engine {
            None => Memory::Host { param: param.into(), grad: vec![0.0; param.len()].into() },
            Some(engine) => Memory::Cuda {
                engine: engine.clone(),
                param: engine.clone_htod(param)?,
                grad: engine.alloc_zeros(param.len())?,
            },
        })
    }

    /// As the optimizer takes it.
    ///
    /// # Safety
    ///
    /// * The memory outlives the optimizer, and is used between its steps alone, on the place's stream.
    pub unsafe fn tensor(&mut self) -> Tensor {
        let tensor = match self {
            Memory::Host { param, grad } => {
                let (len, param, grad) = (param.len() as u64, param.as_mut_ptr() as u64, grad.as_ptr() as u64);
                // SAFETY: both are arrays of that length, and the caller keeps them.
                unsafe { Tensor::f32(param, grad, len) }
            }
            // SAFETY: the caller keeps both.
            Memory::Cuda { param, grad, .. } => unsafe { Tensor::from_cudarc(param, grad) },
        };
        tensor.name("weights")
    }

    /// The parameter. Waits for the step that updates it.
    pub fn param(&self) -> Result<Vec<f32>> {
        Ok(match self {
            Memory::Host { param, .. } => param.to_vec(),
            Memory::Cuda { engine, param, .. } => engine.clone_dtoh(param)?,
        })
    }

    pub fn set_grad(&mut self, values: &[f32]) -> Result<()> {
        match self {
            Memory::Host { grad, .. } => grad.copy_from_slice(values),
            Memory::Cuda { engine, grad, .. } => engine.memcpy_htod(values, grad)?,
        }
        Ok(())
    }
}
