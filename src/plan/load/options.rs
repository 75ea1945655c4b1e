//! What a state may differ in from the optimizer that loads it.

/// Something that may differ if it is said, each with the method that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Schedules,
    Constants,
    Metrics,
    Clipping,
    LossScale,
    Accumulation,
    Tensors,
    Precision,
    Masters,
}

impl Word {
    /// The name of its method.
    pub fn name(self) -> &'static str {
        match self {
            Word::Schedules => "schedules",
            Word::Constants => "constants",
            Word::Metrics => "metrics",
            Word::Clipping => "clipping",
            Word::LossScale => "loss_scale",
            Word::Accumulation => "accumulation",
            Word::Tensors => "tensors",
            Word::Precision => "precision",
            Word::Masters => "masters",
        }
    }
}

/// In what a state that is loaded may differ from the optimizer that loads it: [`Optimizer::load_state_with`](crate::Optimizer::load_state_with).
/// By default in nothing. Each method is one permission, for whatever it speaks of, in all groups; clocks, counts and
/// moments go on in every case, and what was different is told by [`Loaded`](crate::Loaded).
///
/// Rules and lengths of tensors never may: states of another rule or of another shape mean nothing.
///
/// ```
/// use instep::{AdamW, Clip, Device, LoadOptions, Optimizer, Schedule, Stream, Tensor};
/// let (mut param, grad, stream) = ([1.0f32; 4], [0.5f32; 4], Stream::host());
/// // SAFETY: the arrays outlive the optimizers, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
/// let lr = |steps: u64| Schedule::cosine(0.1, 0.0).over(steps);
///
/// let mut short = Optimizer::builder(&Device::host()).group(AdamW::new(lr(100)), &[weight.clone()]).build()?;
/// (0..90).try_for_each(|_| short.step(&stream))?;
/// let state = short.state(&stream)?;
///
/// let builder = Optimizer::builder(&Device::host()).clip(Clip::torch_norm(1.0));
/// let mut long = builder.group(AdamW::new(lr(190)), &[weight]).build()?;
/// let error = long.load_state(&state, &stream).unwrap_err().to_string();
/// assert!(error.contains("groups[0].lr: half a cosine from 0.1 to 0 over 100 steps, here half a cosine from 0.1 to 0 over 190 steps"));
/// assert!(error.contains("clip: none, here torch's by the 2-norm above 1"));
///
/// let loaded = long.load_state_with(&state, LoadOptions::new().schedules().clipping(), &stream)?;
/// assert_eq!((loaded.t(), loaded.changes().len()), (90, 2));
/// assert_eq!(long.status(&stream)?.scalar(0, "lr"), Some(lr(190).at(90)? as f32));
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "give it to `Optimizer::load_state_with`"]
pub struct LoadOptions(u16);

impl LoadOptions {
    /// Nothing may differ.
    pub fn new() -> LoadOptions {
        LoadOptions::default()
    }

    /// Hyperparameters may follow other schedules: of another structure, with other numbers in them, with other knobs. Those of the
    /// optimizer are in force from now on, at the clock that the block has. A knob that both have keeps its value in the block; what
    /// [`now`](crate::Edit::now) resolved is kept where the schedule is the same, and forgotten elsewhere.
    pub fn schedules(self) -> LoadOptions {
        self.with(Word::Schedules)
    }

    /// Hyperparameters that are plain numbers in both (betas, eps, a weight decay, a rate that is no schedule) may have other
    /// values: those of the optimizer are in force from now on. So may options of a rule that leave it the same states, such as a weight decay
    /// that comes or goes.
    pub fn constants(self) -> LoadOptions {
        self.with(Word::Constants)
    }

    /// Metric rules may be others, come, go, or be shared by other groups. Where the kind of the rule, what is better and the window are the
    /// same its state goes on, with the scale that it has come to; else it starts anew, with scale 1.
    pub fn metrics(self) -> LoadOptions {
        self.with(Word::Metrics)
    }

    /// Clipping, the norm that is computed and what is done about gradients that are not finite may be others.
    pub fn clipping(self) -> LoadOptions {
        self.with(Word::Clipping)
    }

    /// Loss scaling may be another. A scale that is dynamic in both stays as it is, with the updates that it has stood; else
    /// it starts as the optimizer was told.
    pub fn loss_scale(self) -> LoadOptions {
        self.with(Word::LossScale)
    }

    /// Accumulation may come or go, be of a sum instead of a mean, and gradients may be zeroed or not. Where it goes, calls that have
    /// accumulated count no more: the next call updates with all that is in the gradients.
    pub fn accumulation(self) -> LoadOptions {
        self.with(Word::Accumulation)
    }

    /// There may be tensors more, and tensors fewer. New ones start with a fresh state and have had no update; the state of those that
    /// are gone is dropped. By name: tensors that have none are called by their places.
    pub fn tensors(self) -> LoadOptions {
        self.with(Word::Tensors)
    }

    /// States may be stored in other forms, in f32, 16 or 8 bits: they are converted once, to nearest. Parameters may be of another type or
    /// rounded in another way (they are the engine's, which converts them), and random bits may come from another seed or number.
    pub fn precision(self) -> LoadOptions {
        self.with(Word::Precision)
    }

    /// Masters and remainders beside parameters of 16 bits may come, go and turn into each other. One that goes is dropped: the parameter is its
    /// rounding already. One that comes is made from the parameter, which the engine has put back before. A remainder becomes
    /// a master of the same value; a master becomes a remainder of the same value, but for one in 2^17 that lies halfway
    /// between two parameters, which moves by its last bit.
    pub fn masters(self) -> LoadOptions {
        self.with(Word::Masters)
    }

    fn with(self, word: Word) -> LoadOptions {
        LoadOptions(self.0 | 1 << word as u16)
    }

    pub(super) fn has(self, word: Word) -> bool {
        self.0 >> word as u16 & 1 == 1
    }
}
