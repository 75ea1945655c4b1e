//! Update rules of one's own. A rule is said once: one generic function over f32s is the loop of the CPU backend, and over a
//! type that records its operations the text of the kernel.
//!
//! [`Rule`] says what a rule states; [`Arithmetic`], [`Element`], [`Scalar`] and [`Count`] what it may compute with. The
//! crate's own rules ([`AdamW`](crate::AdamW), [`Sgd`](crate::Sgd)) are written in the same way.
// Inside: `algebra`, `numbers` and `lanes`; `fields`, `parts`, `step` are what a rule's signatures are made of; `tape` holds recorded rules as
// data; `compiled` is what the rest of the crate knows of a rule, and `code` how it runs on the CPU; `chain` lets one come after
// another. No tensor and no device.

mod algebra;
mod chain;
mod code;
mod compiled;
mod fields;
mod hyperparameter;
mod lanes;
mod named;
mod numbers;
mod parts;
mod step;
pub(crate) mod tape;

pub use algebra::{Arithmetic, Count, Element, Scalar};
#[doc(hidden)]
pub use code::Loop;
pub(crate) use code::{Code, Lanes, Moment, Values};
pub(crate) use compiled::{Compiled, Description, Traced, WEIGHT_DECAY};
pub(crate) use fields::scalars;
pub(crate) use fields::sealed::Sealed as Fields;
pub use fields::{Array, Scalars};
pub use hyperparameter::{Hyperparameter, Range};
pub(crate) use lanes::{WIDTH, Wide};
#[doc(hidden)]
pub use named::Named;
pub use named::RuleOption;
pub use parts::{Of, Over, Remembered, Start, Stream, Sum};
pub(crate) use step::{MAX_SUMS, Term};
pub use step::{Step, Terms};
pub use tape::{Tape, TapeRule};

use crate::error::Result;
use crate::schedule::Metric;

/// An update rule: its hyperparameters, what it keeps, and its arithmetic.
///
/// Once a step, [`Rule::resolve`] turns the values of the hyperparameters into scalars, in f64, each rounded once to f32; for
/// every element, [`Rule::apply`] turns parameter, gradient and streams into new ones, in f32. Both are pure and say the same
/// whatever the values are: they may branch on the rule's own options (`self`), never on a value. Kernel and CPU backend compute
/// the same bits. Schedules, clipping, loss scaling, skipping, telemetry, captured graphs and resuming work as with the
/// crate's own rules.
///
/// ```
/// use instep::rule::{Element, Hyperparameter, Range, Rule, Scalar, Step, Stream};
/// use instep::{Schedule, scalars};
///
/// scalars! { LionScalars { lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2 } }
///
/// /// Chen et al. 2023, arXiv:2302.06675.
/// #[derive(Debug, Clone)]
/// struct Lion { lr: Schedule, weight_decay: Schedule }
///
/// impl Rule for Lion {
///     const NAME: &'static str = "lion";
///     type Hyperparameters<T> = [T; 2];
///     type Streams<T> = [T; 1];
///     type Scalars<T> = LionScalars<T>;
///
///     fn hyperparameters(&self) -> [Hyperparameter; 2] {
///         let weight_decay = Hyperparameter::new("weight_decay", &self.weight_decay, Range::NotNegative);
///         [Hyperparameter::new("lr", &self.lr, Range::NotNegative), weight_decay]
///     }
///     fn streams(&self) -> [Stream; 1] {
///         [Stream::new("exp_avg")]
///     }
///     fn resolve<W: Scalar>(&self, [lr, weight_decay]: [W; 2], _: &mut Step<W>) -> LionScalars<W::Element> {
///         let number = |x| W::literal(x).round();
///         LionScalars {
///             lr: lr.round(),
///             decay: (W::literal(1.0) - lr * weight_decay).round(),
///             beta1: number(0.9),
///             one_minus_beta1: number(1.0 - 0.9),
///             beta2: number(0.99),
///             one_minus_beta2: number(1.0 - 0.99),
///         }
///     }
///     #[inline(always)]
///     fn apply<E: Element>(&self, s: &LionScalars<E>, p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) {
///         let zero = E::literal(0.0);
///         let c = s.beta1.fma(m, s.one_minus_beta1 * g).named("c");
///         let sign = E::select(zero.less(c), E::literal(1.0), E::select(c.less(zero), E::literal(-1.0), c));
///         ((-s.lr).fma(sign, p * s.decay), [s.beta2.fma(m, s.one_minus_beta2 * g)])
///     }
/// }
/// # use instep::{Device, Optimizer, Stream as Queue, Tensor};
/// # let (mut param, grad) = ([1.0f32; 4], [0.5f32; 4]);
/// # // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
/// # let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
/// let lion = Lion { lr: Schedule::linear(0.0, 1e-3).over(100), weight_decay: 0.1.into() };
/// let mut opt = Optimizer::builder(&Device::host()).group(lion, &[tensor]).build()?;
/// opt.step(&Queue::host())?;
/// # Ok::<(), instep::Error>(())
/// ```
///
/// **What does not compile.** A mask is no number, and nothing branches on a value:
/// ```compile_fail,E0308
/// fn apply<E: instep::rule::Element>(p: E, g: E) -> E { if p.less(g) { p } else { g } }
/// ```
/// ```compile_fail,E0369
/// fn apply<E: instep::rule::Element>(p: E, g: E) -> E { p.less(g) + g }
/// ```
/// A scalar of the step meets an element only rounded, and a count is no number:
/// ```compile_fail,E0308
/// fn resolve<W: instep::rule::Scalar>(lr: W, g: W::Element) -> W::Element { g * lr }
/// ```
/// ```compile_fail,E0308
/// fn resolve<W: instep::rule::Scalar>(lr: W, updates: W::Count) -> W { lr * updates }
/// ```
/// A rule gives back as many streams as it has:
/// ```compile_fail,E0308
/// fn apply<E: instep::rule::Element>(p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) { (p, [m, g]) }
/// ```
/// A rule has at most 6 streams, 8 sums, 16 remembered scalars, 24 hyperparameters, and 64 of those and scalars together.
///
/// All else that is wrong is an error when the optimizer is built, which names the place: a stream that is never used or never
/// changed, a name that two of them have, a sum that nothing is added to.
pub trait Rule: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// The rule's name, in snake case.
    const NAME: &'static str;
    /// `[T; N]` for N hyperparameters.
    type Hyperparameters<T>: Array<T>;
    /// `[T; N]` for N streams, those included that some options leave out.
    type Streams<T>: Array<T>;
    /// What [`scalars!`](crate::scalars) made: the scalars that elements go by.
    type Scalars<T>: Scalars<T>;

    /// The hyperparameters. The first is the learning rate, `lr`; a rule that comes after another
    /// ([`GroupRule::then`](crate::GroupRule::then)) has none.
    fn hyperparameters(&self) -> Self::Hyperparameters<Hyperparameter>;

    /// The streams. They move 4 bytes each way per parameter if they are f32; one that is only read moves half.
    fn streams(&self) -> Self::Streams<Stream>;

    /// What is to be summed over elements. It takes one launch more per step, for all tensors together.
    fn sums(&self) -> Vec<Sum> {
        Vec::new()
    }

    /// What is remembered from update to update. A skipped update changes none of it.
    fn remember(&self) -> Vec<Remembered> {
        Vec::new()
    }

    /// What multiplies the learning rate of the group by observed metrics.
    fn metric(&self) -> Option<Metric> {
        None
    }

    /// Refuses combinations of options that have no meaning.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The scalars of a step from the values of the hyperparameters, and what is remembered. What follows from a sum over a tensor is
    /// the tensor's; [`Rule::measure`] sees no scalar that follows from a sum.
    fn resolve<W: Scalar>(
        &self,
        hyperparameters: Self::Hyperparameters<W>,
        step: &mut Step<'_, W>,
    ) -> Self::Scalars<W::Element>;

    /// What one element adds to the sums. Nothing is stored: what it needs of the update it computes anew.
    ///
    /// Mark it, and [`Rule::apply`], `#[inline(always)]`: the CPU backend's loops are compiled for AVX2 and FMA, and a function that
    /// is called from there and not part of them is ten times slower.
    #[inline(always)]
    fn measure<E: Element>(
        &self,
        scalars: &Self::Scalars<E>,
        param: E,
        grad: E,
        streams: Self::Streams<E>,
        terms: &mut Terms<E>,
    ) {
        let _ = (scalars, param, grad, streams, terms);
    }

    /// One element of an update: the new parameter, and the new values of the streams.
    fn apply<E: Element>(
        &self,
        scalars: &Self::Scalars<E>,
        param: E,
        grad: E,
        streams: Self::Streams<E>,
    ) -> (E, Self::Streams<E>);

    /// What one element of the parameter is for evaluation, between two updates, where that is another one than for training:
    /// [`Optimizer::eval`](crate::Optimizer::eval). It goes by the scalars of the next update, and none that follows from a sum.
    #[inline(always)]
    fn show<E: Element>(&self, scalars: &Self::Scalars<E>, param: E, streams: Self::Streams<E>) -> Option<E> {
        let _ = (scalars, param, streams);
        None
    }

    /// With how many streams at least there is a loop on the CPU that knows their number; with fewer, memory of nobody stands in for those
    /// that options leave out.
    #[doc(hidden)]
    const FEWEST_STREAMS: usize = <Self::Streams<f32> as Fields<f32>>::LEN;

    /// Runs `work` with this rule. One with options gives it a rule in which they are constants, so that the CPU's loop over elements
    /// branches on none of them; its hyperparameters do not matter there.
    #[doc(hidden)]
    #[inline(always)]
    fn with_constants<L: Loop<Self>>(&self, work: L) {
        work.run(self);
    }

    /// What files say of the rule, if they name it; else they have its tape.
    #[doc(hidden)]
    fn named(&self) -> Option<Named> {
        None
    }

    /// What a state block calls the rule: two that have it equal can continue each other's runs.
    #[doc(hidden)]
    fn identity(&self) -> Option<String> {
        None
    }
}
