//! The CUDA form's memory: what the kernels of `digits.cu` are given, and who owns it.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DeviceRepr};

use crate::Result;
use crate::data::Digits;
use crate::network::{BATCH, DIGITS, HIDDEN, PARAMS};
use crate::recipe::Recipe;
use crate::stored::Start;

/// What every kernel is given, by value. Layout twin: `digits.cu`, `Buffers`, where the lengths stand.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffers {
    images: u64,
    labels: u64,
    pub param: u64,
    pub grad: u64,
    batch: u64,
    hidden: u64,
    hidden_grad: u64,
    logit_grad: u64,
    image_loss: u64,
    held_out_loss: u64,
    held_out_right: u64,
    loss: u64,
    lr: u64,
    validation_loss: u64,
    correct: u64,
    pub metric: u64,
    total_steps: u64,
    /// The optimizer's, as are `scalars`: not known before it is built.
    pub t: u64,
    pub scalars: [u64; 2],
}

const _: () = assert!(size_of::<Buffers>() == 20 * 8, "digits.cu: Buffers");

// SAFETY: plain integers in C layout, equal to the kernels' parameter, as both sides assert.
unsafe impl DeviceRepr for Buffers {}

/// The buffers' owners. Freed on the training's stream, hence after all work enqueued there.
pub struct Memory {
    pub loss: CudaSlice<f32>,
    pub lr: CudaSlice<f32>,
    pub validation_loss: CudaSlice<f32>,
    pub correct: CudaSlice<u32>,
    _indices: [CudaSlice<u32>; 3],
    _values: [CudaSlice<f32>; 7],
    /// Bytes of f32 or of bf16.
    _stored: [CudaSlice<u8>; 2],
}

/// All buffers, ready for use on any stream; those of the optimizer stay 0.
pub fn allocate(stream: &Arc<CudaStream>, digits: &Digits, recipe: &Recipe, start: Start) -> Result<(Memory, Buffers)> {
    let (steps, epochs) = (recipe.total_steps as usize, recipe.total_steps.div_ceil(recipe.steps_per_epoch) as usize);
    let images = stream.clone_htod(&digits.images)?;
    let labels = stream.clone_htod(&digits.labels)?;
    let param = stream.clone_htod(start.params().bytes())?;
    let grad = stream.alloc_zeros(PARAMS * start.form.bytes())?;
    let batch = stream.alloc_zeros(BATCH)?;
    let hidden = stream.alloc_zeros(BATCH * HIDDEN)?;
    let hidden_grad = stream.alloc_zeros(BATCH * HIDDEN)?;
    let logit_grad = stream.alloc_zeros(BATCH * DIGITS)?;
    let image_loss = stream.alloc_zeros(BATCH)?;
    let held_out_loss = stream.alloc_zeros(digits.held_out())?;
    let held_out_right = stream.alloc_zeros(digits.held_out())?;
    let loss = stream.alloc_zeros(steps)?;
    let lr = stream.alloc_zeros(steps)?;
    let validation_loss = stream.alloc_zeros(epochs)?;
    let correct = stream.alloc_zeros(epochs)?;
    let metric = stream.alloc_zeros(1)?;
    // The optimizer's build works on a stream of its own, so the buffers must be ready before.
    stream.synchronize()?;
    let buffers = Buffers {
        images: address(&images, stream),
        labels: address(&labels, stream),
        param: address(&param, stream),
        grad: address(&grad, stream),
        batch: address(&batch, stream),
        hidden: address(&hidden, stream),
        hidden_grad: address(&hidden_grad, stream),
        logit_grad: address(&logit_grad, stream),
        image_loss: address(&image_loss, stream),
        held_out_loss: address(&held_out_loss, stream),
        held_out_right: address(&held_out_right, stream),
        loss: address(&loss, stream),
        lr: address(&lr, stream),
        validation_loss: address(&validation_loss, stream),
        correct: address(&correct, stream),
        metric: address(&metric, stream),
        total_steps: recipe.total_steps,
        t: 0,
        scalars: [0; 2],
    };
    let indices = [labels, batch, held_out_right];
    let values = [images, hidden, hidden_grad, logit_grad, image_loss, held_out_loss, metric];
    let stored = [param, grad];
    Ok((Memory { loss, lr, validation_loss, correct, _indices: indices, _values: values, _stored: stored }, buffers))
}

fn address<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    slice.device_ptr(stream).0
}
