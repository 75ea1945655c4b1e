//! What a parameter group may be updated by.

use crate::error::Result;
use crate::host;
use crate::rule::{Description, Rule, TapeRule};

/// An update rule with its hyperparameters: any [`Rule`], [`AdamW`](crate::AdamW), [`Adam`](crate::Adam) and [`Sgd`](crate::Sgd)
/// among them, or a [`TapeRule`].
pub trait GroupRule: sealed::Sealed {}

impl<R: sealed::Sealed> GroupRule for R {}

pub(crate) mod sealed {
    pub trait Sealed {
        /// What the optimizer needs of a rule, or the first thing that is wrong with it.
        fn describe(&self) -> crate::Result<crate::rule::Description>;
    }
}

impl<R: Rule> sealed::Sealed for R {
    fn describe(&self) -> Result<Description> {
        host::describe(self)
    }
}

impl sealed::Sealed for TapeRule {
    fn describe(&self) -> Result<Description> {
        host::describe_tape(self)
    }
}
