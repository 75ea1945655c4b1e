//! What a parameter group may be updated by.

use crate::error::Result;
use crate::host;
use crate::rule::{Rule, TapeRule, Traced};

/// An update rule with its hyperparameters: any [`Rule`], [`AdamW`](crate::AdamW) and all others of this crate among them, a
/// [`TapeRule`], several, one after the other, or a group of a configuration.
pub trait GroupRule: sealed::Sealed {
    /// Lets `after` work on the parameter that this rule makes, in the same update and the same launch: an average of parameters
    /// ([`Ema`](crate::Ema)), [`Lookahead`](crate::Lookahead), [`Clamp`](crate::Clamp), or a [`Rule`] of one's own without sums. It has
    /// streams and hyperparameters of its own, whose names the first one does not have.
    ///
    /// ```
    /// use instep::{AdamW, Clamp, Device, Ema, GroupRule, Optimizer, Stream, Tensor};
    /// let (mut param, grad) = ([1.0f32; 4], [-0.5f32; 4]);
    /// // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
    /// let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
    /// let rule = AdamW::new(0.1).then(Clamp::new(-1.0, 1.0)).then(Ema::new(0.999));
    /// let mut opt = Optimizer::builder(&Device::host()).group(rule, &[tensor]).build()?;
    /// opt.step(&Stream::host())?;
    /// assert_eq!(param, [1.0; 4]);
    /// # Ok::<(), instep::Error>(())
    /// ```
    fn then(self, after: impl Rule) -> Then
    where
        Self: Sized,
    {
        Then(self.traced().and_then(|first| first.then(host::traced(&after)?)))
    }
}

impl<R: sealed::Sealed> GroupRule for R {}

/// Rules one after the other: [`GroupRule::then`].
#[derive(Clone)]
#[must_use = "give it to `OptimizerBuilder::group`"]
pub struct Then(Result<Traced>);

/// The names of the rules.
impl std::fmt::Debug for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(traced) => f.debug_tuple("Then").field(&traced.names()).finish(),
            Err(error) => f.debug_tuple("Then").field(error).finish(),
        }
    }
}

pub(crate) mod sealed {
    pub trait Sealed {
        /// What the optimizer needs of a rule, or the first thing that is wrong with it.
        fn traced(&self) -> crate::Result<crate::rule::Traced>;
    }
}

impl<R: Rule> sealed::Sealed for R {
    fn traced(&self) -> Result<Traced> {
        host::traced(self)
    }
}

impl sealed::Sealed for TapeRule {
    fn traced(&self) -> Result<Traced> {
        host::traced_tape(self)
    }
}

#[cfg(feature = "serde")]
impl sealed::Sealed for crate::config::GroupConfig {
    fn traced(&self) -> Result<Traced> {
        if self.precision.is_some() {
            let rule = "give it to OptimizerBuilder::group_in, or build all of a Config";
            return Err(crate::error::Error::argument("precision", "set in the group", rule));
        }
        of_config::traced(self)
    }
}

impl sealed::Sealed for Then {
    fn traced(&self) -> Result<Traced> {
        self.0.clone()
    }
}

/// The rules of a configuration.
#[cfg(feature = "serde")]
pub(super) mod of_config {
    use crate::config::GroupConfig;
    use crate::error::Result;
    use crate::host;
    use crate::optim::Visit;
    use crate::rule::{Rule, Traced};

    /// The rule of a group with its schedules.
    pub fn traced(group: &GroupConfig) -> Result<Traced> {
        let traced = group.visit_rule(group.expect_rule()?, Trace, |tape| host::traced_tape(&tape))?;
        Ok(Traced { name: group.name.clone(), metric: group.metric, ..traced })
    }

    /// Makes a rule ready to run.
    #[derive(Clone, Copy)]
    struct Trace;

    impl Visit for Trace {
        type Out = Traced;

        fn visit<R: Rule>(self, rule: R) -> Result<Traced> {
            host::traced(&rule)
        }

        fn then(self, first: Traced, second: Traced) -> Result<Traced> {
            first.then(second)
        }
    }
}
