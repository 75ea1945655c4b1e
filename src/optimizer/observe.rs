//! What can be observed: a metric in device memory, or one that the host knows.

use crate::error::{Error, Result};
use crate::plan::layout::{Observation, Step};
use crate::plan::{Dtype, Scalar};

/// Which calls of an observation count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    EveryCall,
    /// Those that no half-done accumulation is in progress at.
    PerUpdate,
}

/// A metric to observe: see [`Optimizer::observe`](crate::Optimizer::observe).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observed {
    /// A value that the host knows. Refused on a stream that is being captured, whose graph would repeat it.
    Value(f64),
    /// One element in the memory of the optimizer's device, read when the stream gets there.
    Device {
        /// Its address.
        address: u64,
        /// Its type.
        dtype: Dtype,
    },
}

impl From<f64> for Observed {
    fn from(value: f64) -> Observed {
        Observed::Value(value)
    }
}

impl Observed {
    /// The f32 at `address`.
    pub fn f32(address: u64) -> Observed {
        Observed::Device { address, dtype: Dtype::F32 }
    }

    /// Checks the address.
    pub(super) fn check(self) -> Result<Observed> {
        if let Observed::Device { address, dtype } = self
            && (address == 0 || !address.is_multiple_of(dtype.bytes()))
        {
            let rule = format!("must be the {}-byte aligned address of an element", dtype.bytes());
            return Err(Error::argument("metric.address", format!("{address:#x}"), rule));
        }
        Ok(self)
    }

    /// The element that a step reads by itself, its address checked.
    pub(super) fn of_every_step(self, argument: &str) -> Result<(Scalar, Dtype)> {
        match self.check().map_err(|e| e.renamed("metric.address", argument))? {
            Observed::Value(value) => {
                let rule = "it would be the same at every step; give the address of a device's";
                Err(Error::argument(argument, value, rule))
            }
            Observed::Device { address, dtype } => Ok((Scalar(address), dtype)),
        }
    }

    /// The argument of the kernel.
    pub(super) fn observation(self, step: Step, when: When) -> Observation {
        let per_update = u32::from(when == When::PerUpdate);
        match self {
            Observed::Value(value) => Observation { step, metric: 0, bits: value.to_bits(), dtype: 0, per_update },
            Observed::Device { address, dtype } => {
                Observation { step, metric: address, bits: 0, dtype: dtype.number(), per_update }
            }
        }
    }
}

/// The error of an observation that nobody waits for.
pub(super) fn no_metric() -> Error {
    Error::argument(
        "metric",
        "given",
        "is not observed by anything: no group has a metric rule; give one as `metric`, to all or to a group",
    )
}
