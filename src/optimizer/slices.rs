//! Tensors and metrics from cudarc's slices, without addresses.

use super::observe::Observed;
use crate::device::{self, DevicePtr};
use crate::plan::{Buffer, Tensor, TensorElement};

impl Buffer {
    /// The elements of a `CudaSlice`, or of a view of one. No more than their address, length and type: the slice is not kept.
    pub fn from_cudarc<T: TensorElement>(slice: &impl DevicePtr<T>) -> Buffer {
        let (address, len) = device::place(slice);
        Buffer { address, len, dtype: T::DTYPE }
    }
}

impl Tensor {
    /// [`Tensor::new`] for a parameter and its gradient in cudarc's memory: each a `CudaSlice` of f32, `half::bf16` or
    /// `half::f16`, or a view of one, so that many tensors may lie in one slice. Lengths are compared when the optimizer is built.
    ///
    /// ```no_run
    /// use instep::cudarc::driver::CudaContext;
    /// use instep::{AdamW, Device, Optimizer, Tensor};
    ///
    /// let context = CudaContext::new(0)?;
    /// // SAFETY: all work goes to one stream, which orders it.
    /// let device = unsafe { Device::from_cudarc_for_capture(&context) }?;
    /// let engine = context.new_stream()?;
    /// let (weight, grad) = (engine.alloc_zeros::<f32>(4_096)?, engine.alloc_zeros::<f32>(4_096)?);
    /// // SAFETY: the slices outlive the optimizer, and all work goes to one stream.
    /// let tensor = unsafe { Tensor::from_cudarc(&weight, &grad) }.name("weight");
    /// let mut opt = Optimizer::builder(&device).group(AdamW::new(3e-4), &[tensor]).build()?;
    /// opt.step(&device.stream(&engine)?)?;
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Safety
    ///
    /// As for [`Tensor::new`]. Steps are no use of a slice that cudarc knows of: it frees a slice that is dropped, whether steps are
    /// enqueued or not.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn from_cudarc<P: TensorElement, G: TensorElement>(
        param: &impl DevicePtr<P>,
        grad: &impl DevicePtr<G>,
    ) -> Tensor {
        Tensor::unnamed(Buffer::from_cudarc(param), Buffer::from_cudarc(grad))
    }
}

impl Observed {
    /// The first element of a `CudaSlice`, or of a view of one.
    pub fn from_cudarc<T: TensorElement>(slice: &impl DevicePtr<T>) -> Observed {
        let Buffer { address, len, dtype } = Buffer::from_cudarc(slice);
        // Of an empty slice there is none, and 0 is refused where the metric is given.
        Observed::Device { address: if len == 0 { 0 } else { address }, dtype }
    }
}
