//! What an engine says of its tensors: addresses, lengths, names.

use super::Scales;

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

/// As people write it: `f32`, `bf16`.
impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
            Dtype::F64 => "f64",
        })
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

    /// `len` bfloat16 elements at `address`.
    pub fn bf16(address: u64, len: u64) -> Buffer {
        Buffer { address, len, dtype: Dtype::Bf16 }
    }

    /// `len` IEEE binary16 elements at `address`.
    pub fn f16(address: u64, len: u64) -> Buffer {
        Buffer { address, len, dtype: Dtype::F16 }
    }
}

/// The address of an element that the engine hands in and may change before each step: an f32, or a metric of its own type.
/// Only the builder makes one, under the contract of the method that takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar(pub(crate) u64);

/// State memory that the engine gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    pub address: u64,
    /// Its values are to be kept.
    pub keep: bool,
}

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
#[derive(Clone, PartialEq)]
pub struct Tensor {
    pub(crate) name: Option<String>,
    pub(crate) param: Buffer,
    pub(crate) grad: Buffer,
    pub(crate) updates: Option<u64>,
    pub(crate) scales: Scales,
    /// The engine's own f32 master.
    pub(crate) master: Option<Buffer>,
    pub(crate) number: Option<u32>,
}

/// Without addresses.
impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tensor { name, param, grad, updates, scales, master, number } = self;
        let mut shown = f.debug_struct("Tensor");
        if let Some(name) = name {
            shown.field("name", name);
        }
        shown.field("elements", &param.len).field("param", &format_args!("{}", param.dtype));
        match self.is_absent() {
            true => shown.field("grad", &format_args!("absent")),
            false => shown.field("grad", &format_args!("{}", grad.dtype)),
        };
        if master.is_some() {
            shown.field("master", &format_args!("the engine's"));
        }
        if let Some(updates) = updates {
            shown.field("updates", updates);
        }
        if scales.rate != 1.0 {
            shown.field("rate_scale", &scales.rate);
        }
        if scales.decay != 1.0 {
            shown.field("decay_scale", &scales.decay);
        }
        if let Some(number) = number {
            shown.field("number", number);
        }
        shown.finish()
    }
}

impl Tensor {
    /// How many elements it has.
    pub(crate) fn elements(&self) -> u64 {
        self.param.len
    }

    /// A parameter and its gradient, each f32, bf16 or f16. Lengths and types are checked when the optimizer is built. How a parameter
    /// of 16 bits is kept, the [`Precision`](crate::Precision) of its group says: beside an f32 master, by default.
    ///
    /// Building reads parameters of 16 bits that get a master, after all work that was enqueued on the device's context before. New
    /// weights that are written later are told by [`Optimizer::parameters_changed`](crate::Optimizer::parameters_changed).
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

    pub(crate) fn unnamed(param: Buffer, grad: Buffer) -> Tensor {
        Tensor { name: None, param, grad, updates: None, scales: Scales::default(), master: None, number: None }
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
    /// schedules follow the optimizer's own clock. Its optimizer state still starts at zero, that too which would start from the parameter or
    /// the first gradient ([`Start`](crate::rule::Start)): the engine puts there what the updates before have made of it, or leaves such
    /// rules (schedule-free ones, Prodigy, DoG, averages) without updates before.
    #[must_use]
    pub fn updates(mut self, updates: u64) -> Tensor {
        self.updates = Some(updates);
        self
    }

    /// Multiplies the learning rate of its group by `scale` for this tensor, 0 or more: layer-wise decay without a group for each
    /// layer. In f64, before anything follows from the rate; tensors with one scale share a record, so it costs nothing per element.
    #[must_use]
    pub fn rate_scale(mut self, scale: f64) -> Tensor {
        self.scales.rate = scale;
        self
    }

    /// The same for the weight decay of its group, 0 or more.
    #[must_use]
    pub fn decay_scale(mut self, scale: f64) -> Tensor {
        self.scales.decay = scale;
        self
    }

    /// Whether it has no gradient at first.
    pub(crate) fn is_absent(&self) -> bool {
        self.grad.address == 0 && self.param.len > 0
    }

    /// Gives the f32 master of a parameter of 16 bits: as many elements as that has, at `address`, with the values to begin from. It is
    /// what is updated; the parameter becomes its rounding at each update, and is not touched before. Without it the optimizer
    /// has a master of its own, made from the parameter at build. A master that is the engine's is in no state block, as parameters
    /// are not.
    ///
    /// # Safety
    ///
    /// As for `param` of [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    #[must_use]
    pub unsafe fn master(mut self, address: u64) -> Tensor {
        self.master = Some(Buffer::f32(address, self.param.len));
        self
    }

    /// Sets the number that the tensor's random bits come from, where something of it is rounded stochastically, unlike that of any
    /// other. Without it that is its place among the tensors of all groups: with numbers of its own a run has the same bits whatever
    /// else is registered, and in whatever order.
    #[must_use]
    pub fn number(mut self, number: u32) -> Tensor {
        self.number = Some(number);
        self
    }
}
