//! Packs of kernels, from builders and configurations. Start at [`PackBuilder`].

#[cfg(feature = "serde")]
mod facts;
#[cfg(all(test, feature = "serde"))]
mod tests;

#[cfg(feature = "serde")]
pub use facts::{EngineFacts, TensorKind};

use super::OptimizerBuilder;
use super::sources::{self, CONDITION_WORDS};
#[cfg(feature = "serde")]
use crate::config::Config;
use crate::device::{Pack, Source, Target};
use crate::error::{Error, Result};
use crate::kernels::{self, Unit};
use crate::plan::Purpose;

/// Compiles kernels ahead, into a [`Pack`]: those of the optimizers that it is shown, and that of the stop condition. It needs NVRTC, and
/// neither a GPU nor a driver.
///
/// Kernels depend on rules, on the structure of schedules, on what is done with gradients, on how tensors are stored, and on what the
/// engine hands in; not on numbers, names, addresses, or how many tensors there are in what order. A builder that differs in that alone finds its
/// kernels.
///
/// ```no_run
/// use instep::{AdamW, Device, Optimizer, PackBuilder, Schedule, Sgd};
/// let mut pack = PackBuilder::new(["sm_80", "sm_90", "compute_100"])?;
/// // Groups without tensors: large f32 ones.
/// let lr = || Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200);
/// let builder = || Optimizer::builder(&Device::host());
/// pack.add(&builder().group(AdamW::new(lr()), &[]))?;
/// pack.add(&builder().group(Sgd::new(lr()), &[]).stop_at(2_000))?;
/// pack.compile()?.write("kernels.pack")?;
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug)]
pub struct PackBuilder {
    targets: Vec<Target>,
    /// Each with its words.
    units: Vec<(String, Unit)>,
}

impl PackBuilder {
    /// For these architectures: `sm_90` is machine code for compute capability 9.0 and later minor ones, `compute_90` is PTX for 9.0 and
    /// all that is later.
    ///
    /// # Errors
    /// [`Error::Argument`] for what is none, and where there is none.
    pub fn new<'a>(architectures: impl IntoIterator<Item = &'a str>) -> Result<PackBuilder> {
        let mut targets = Vec::new();
        for text in architectures {
            let target = Target::parse(text)?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        if targets.is_empty() {
            return Err(Error::argument("architectures", "empty", "must hold at least one, e.g. sm_90"));
        }
        Ok(PackBuilder { targets, units: Vec::new() })
    }

    /// Adds the kernels that `builder` would compile. Its device does not matter. A group without tensors is one of large f32
    /// ones.
    ///
    /// # Errors
    /// As [`OptimizerBuilder::build`] has them before it looks at a device.
    pub fn add(&mut self, builder: &OptimizerBuilder) -> Result<()> {
        let plan = builder.plan(Purpose::Text)?;
        self.units.push((plan.kernel_words(), Unit::new(&plan)));
        Ok(())
    }

    /// Adds the kernels of a configuration, with what `facts` says of the engine. Groups need a rule.
    ///
    /// ```no_run
    /// use instep::{Config, Dtype, EngineFacts, PackBuilder, TensorKind};
    /// # let config = Config::new([]);
    /// let weights = TensorKind::new(Dtype::Bf16, Dtype::F32);
    /// let mut pack = PackBuilder::new(["sm_90"])?;
    /// pack.add_config(&config, &EngineFacts::new().tensors([weights]))?;
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Config::builder`] has them; tensors of another number of groups.
    #[cfg(feature = "serde")]
    pub fn add_config(&mut self, config: &Config, facts: &EngineFacts) -> Result<()> {
        self.add(&facts.builder(config)?)
    }

    /// Compiles all of it, each unit for each architecture; takes some tenths of a second for one.
    ///
    /// # Errors
    /// [`Error::NoNvrtc`], [`Error::Compile`], and [`Error::Argument`] for an architecture that NVRTC does not know.
    pub fn compile(&self) -> Result<Pack> {
        let headers: Vec<Vec<(&str, &str)>> = self.units.iter().map(|(_, unit)| unit.headers()).collect();
        let of_all: Vec<(&str, &str)> = kernels::headers().collect();
        let updates = self.units.iter().zip(&headers);
        let updates = updates.map(|((words, unit), headers)| (words.clone(), sources::update(unit, headers)));
        let condition = (CONDITION_WORDS.to_owned(), sources::condition(&of_all));
        let units: Vec<(String, Source<'_>)> = updates.chain([condition]).collect();
        Pack::compile(&units, &self.targets)
    }
}
