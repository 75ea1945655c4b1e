//! What an engine says of its tensors: addresses, lengths, names.

/// The type of a buffer's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE binary32.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
    /// IEEE binary64.
    F64,
}

impl Dtype {
    /// Its number in kernels: `MetricType` of `kernels/state.cuh`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Dtype::F32 => 0,
            Dtype::Bf16 => 1,
            Dtype::F16 => 2,
            Dtype::F64 => 3,
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }
}

/// A one-dimensional view of memory that the engine owns: where, how many elements, of what type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// A device address, or on [`Device::host`](crate::Device::host) the address of host memory.
    pub address: u64,
    /// Length in elements.
    pub len: u64,
    /// The type of the elements.
    pub dtype: Dtype,
}

impl Buffer {
    /// `len` f32 elements at `address`.
    pub fn f32(address: u64, len: u64) -> Buffer {
        Buffer { address, len, dtype: Dtype::F32 }
    }
}

/// The address of an element that the engine hands in and may change before each step: an f32, or a metric of its own type.
/// Only the builder makes one, under the contract of the method that takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar(pub(crate) u64);

/// What the engine hands in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HandedIn {
    /// Anything but 0 skips the update.
    pub found_inf: Option<Scalar>,
    /// What gradients are multiplied by, instead of 1 / loss scale.
    pub inv_scale: Option<Scalar>,
    /// The square of the 2-norm of the scaled gradients.
    pub norm_square: Option<Scalar>,
    /// What the step observes by itself, of any type.
    pub metric: Option<(Scalar, Dtype)>,
    /// What the record of a call shows, of any type.
    pub loss: Option<(Scalar, Dtype)>,
}

/// A parameter and its gradient, as an engine registers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub(crate) name: Option<String>,
    pub(crate) param: Buffer,
    pub(crate) grad: Buffer,
    pub(crate) updates: u64,
}

impl Tensor {
    /// A parameter and its gradient. Lengths and types are checked when the optimizer is built.
    ///
    /// # Safety
    ///
    /// From the moment an optimizer is built with this tensor until that optimizer is dropped and its last enqueued step
    /// is done:
    /// * both buffers stay allocated at their addresses, readable by the optimizer's device, and writable: `param` always,
    ///   `grad` where [`OptimizerBuilder::zero_gradients`](crate::OptimizerBuilder::zero_gradients) is used;
    /// * a graph that captured a step is not launched after the optimizer was dropped;
    /// * all calls on the optimizer, and everything that touches `param` or `grad`, are ordered by the caller: on CUDA by
    ///   stream order or events, on the host by not running at the same time.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn new(param: Buffer, grad: Buffer) -> Tensor {
        Tensor::unnamed(param, grad)
    }

    fn unnamed(param: Buffer, grad: Buffer) -> Tensor {
        Tensor { name: None, param, grad, updates: 0 }
    }

    /// [`Tensor::new`] for `len` f32 parameters at `param` and as many f32 gradients at `grad`.
    ///
    /// # Safety
    ///
    /// As for [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn f32(param: u64, grad: u64, len: u64) -> Tensor {
        Tensor::unnamed(Buffer::f32(param, len), Buffer::f32(grad, len))
    }

    /// Names the tensor. Names are unique in an optimizer; without one it is called `group.index`, e.g. `0.3`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Tensor {
        self.name = Some(name.into());
        self
    }

    /// Says that this tensor has had `updates` updates before: its bias correction goes on from there, while the
    /// schedules follow the optimizer's own clock. Its optimizer state still starts at zero.
    #[must_use]
    pub fn updates(mut self, updates: u64) -> Tensor {
        self.updates = updates;
        self
    }
}
