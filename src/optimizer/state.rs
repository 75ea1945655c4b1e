//! The state of a run, to be kept and to be gone on from.

use super::{Engine, Optimizer, expect_host};
use crate::backend::Stream;
use crate::error::Result;
use crate::plan::{LoadOptions, Loaded};

impl Optimizer {
    /// The state of the run as one block of bytes, for [`Optimizer::load_state`]: a run that goes on from there continues bit
    /// for bit. Waits for `stream`, then reads the device once.
    ///
    /// In it are the clocks and counters, the loss scale and its growth, calls that only accumulated, the values of knobs and
    /// what [`now`](crate::Edit::now) resolved, what metric rules and update rules remember, every tensor's optimizer state as it is
    /// stored, masters and remainders of the optimizer's, and whether parameters for
    /// evaluation are shown, with those for training then; and beside these what the optimizer is: names and lengths of tensors, their groups,
    /// rules, schedules and options, so that another one can tell what it does not share
    /// ([`Optimizer::load_state_with`]). Not in it are parameters, masters of the engine's and gradients, which are the engine's own: it keeps the parameters itself, and in the middle of an
    /// accumulation the gradients too. The block holds no address and is the same on every device and on the host (but for the
    /// bits of NaNs), as long as nothing steps on another stream.
    ///
    /// Its size is that of the optimizer state and some hundred bytes per tensor. While it is made, memory for one copy more of the
    /// optimizer state is in use on the host.
    ///
    /// Fails with [`Error::Argument`](crate::Error::Argument) for a stream of another device or context, or one that is being
    /// captured.
    ///
    /// ```
    /// use instep::{Device, Momentum, Optimizer, Schedule, Sgd, Stream, Tensor};
    ///
    /// let build = |param: &mut [f32], grad: &[f32]| {
    ///     // SAFETY: both outlive the optimizer, and nothing else touches them while a step runs.
    ///     let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 2) };
    ///     let rule = Sgd::new(Schedule::linear(0.0, 1.0).over(8)).momentum(Momentum::Heavy, 0.5);
    ///     Optimizer::builder(&Device::host()).group(rule, &[weight]).build()
    /// };
    /// let (mut param, grad, stream) = (vec![1.0f32; 2], vec![0.5f32; 2], Stream::host());
    /// let mut opt = build(&mut param, &grad)?;
    /// (0..3).try_for_each(|_| opt.step(&stream))?;
    /// let (state, mut copy) = (opt.state(&stream)?, param.clone());
    ///
    /// let mut resumed = build(&mut copy, &grad)?;
    /// resumed.load_state(&state, &stream)?;
    /// opt.step(&stream)?;
    /// resumed.step(&stream)?;
    /// assert_eq!((param, resumed.status(&stream)?.t), (copy, 4));
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn state(&self, stream: &Stream) -> Result<Vec<u8>> {
        self.plan().expect_whole("state")?;
        match &self.0 {
            Engine::Cuda(engine) => engine.state(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.state()
            }
        }
    }

    /// Goes on from `bytes`, which [`Optimizer::state`] gave: of this optimizer or of another one, on any device, that was
    /// built alike. Waits for `stream`. Addresses stay, so captured steps need no new capture; their replays go on from there.
    ///
    /// With masters or remainders in it, the engine puts its parameters back bit for bit, and calls
    /// [`Optimizer::parameters_changed`] not after this (before it does no harm): that would make them anew from the parameters.
    ///
    /// Tensors are known by their names; one that has none is called by its place, `group.index`. Built alike means the same tensors, by
    /// name and length, in groups with the same rules, schedules and metric rules, the same options of gradients, and parameters and
    /// states stored alike: in the same forms, with masters of
    /// the same owner, and where something is rounded stochastically the same seed and numbers of tensors. Free are the order of tensors and
    /// of groups and how tensors of one rule are spread over groups, addresses, types of
    /// gradients, default values of knobs and the increment of the
    /// progress clock and the calls that make an update (those of the block are in force from now on), what the step observes by
    /// itself, telemetry, and when to stop: where another end is looked for than before, a raised flag is lowered, unless that
    /// end has come; a rate that is below a floor at this moment does not fall below it. The ring of telemetry is emptied, so
    /// readers [`finish`](crate::TelemetryReader::finish) before. What else may differ is said with
    /// [`Optimizer::load_state_with`]. Of the two addresses in
    /// [`DeviceView::scalars`](crate::DeviceView::scalars), the one of the last update is meaningless until the next update.
    ///
    /// How many updates each tensor has had the block says, whatever [`Tensor::updates`](crate::Tensor::updates) said at build; who is frozen or has
    /// no gradient, and what tensors scale, this optimizer says.
    ///
    /// What a rule remembers of a group, and what its metric rule has come to, go where the group's tensors go: groups that were split each
    /// have all of it, and groups that become one must have come to the same.
    ///
    /// All of `bytes` is checked first, by a checksum too. What is damaged is an
    /// [`Error::Argument`](crate::Error::Argument) with its place, such as `state.checksum`; so is a stream of
    /// another device or context or one that is being captured. What differs is one [`Error::Differs`](crate::Error::Differs), with
    /// everything that does and what would allow it. Nothing is changed then. After an
    /// [`Error::Driver`](crate::Error::Driver) the state is that of neither run. The checksum finds damage, not forgery.
    pub fn load_state(&mut self, bytes: &[u8], stream: &Stream) -> Result<()> {
        self.load_state_with(bytes, LoadOptions::new(), stream).map(drop)
    }

    /// [`Optimizer::load_state`] for an optimizer that may differ from the one that the state is of in what `options` say: a resume into
    /// something else. Clocks and counts, and moments that are not stored in another way, stay as they were to the bit. What was different
    /// is told by what this returns.
    ///
    /// Where masters are added, this reads the parameters beside which they lie: the engine puts those back before.
    ///
    /// Fails as [`Optimizer::load_state`] does.
    pub fn load_state_with(&mut self, bytes: &[u8], options: LoadOptions, stream: &Stream) -> Result<Loaded> {
        self.plan().expect_whole("load_state")?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.load_state(bytes, options, stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.load_state(bytes, options)
            }
        }
    }
}
