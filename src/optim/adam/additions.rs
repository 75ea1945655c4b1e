//! What Adam and AdamW may do beside what they do.

use crate::error::Result;
use crate::optim::caution::Caution;
use crate::optim::declare::{Choice, choice};
use crate::optim::known::Said;
use crate::rule::RuleOption;

/// How the gradient of an [`AdamRule`](super::AdamRule) enters its update once more, which makes it NAdam without a schedule of the
/// momentum. Source:
/// Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR workshop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Nesterov {
    /// It does not.
    #[default]
    Off,
    /// The update takes `beta1 · m + (1 - beta1) · g`, with the bias correction of the first moment: as in timm.
    Together,
    /// The same, each corrected by itself, the moment as at the next update: as in optax.
    Apart,
}

choice!(Nesterov { "off" => Off, "together" => Together, "apart" => Apart });

/// What an [`AdamRule`](super::AdamRule) may do beside what Adam does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Additions {
    pub amsgrad: bool,
    pub nesterov: Nesterov,
    pub caution: Caution,
    pub clip_update: Option<f64>,
    pub uncorrected: bool,
}

impl Additions {
    pub const NONE: Additions = Additions {
        amsgrad: false,
        nesterov: Nesterov::Off,
        caution: Caution::Off,
        clip_update: None,
        uncorrected: false,
    };

    /// The options that are not the defaults.
    pub fn named(self) -> Vec<(&'static str, RuleOption)> {
        let given = |option, given: bool, value: RuleOption| given.then_some((option, value));
        let all = [
            given("amsgrad", self.amsgrad, true.into()),
            given("nesterov", self.nesterov != Nesterov::Off, self.nesterov.written()),
            given("caution", self.caution.is_on(), self.caution.written()),
            self.clip_update.map(|most| ("clip_update", most.into())),
            given("bias_correction", self.uncorrected, false.into()),
        ];
        all.into_iter().flatten().collect()
    }

    pub fn said(said: &Said<'_>) -> Result<Additions> {
        Ok(Additions {
            amsgrad: said.flag("amsgrad")?,
            nesterov: Nesterov::said(said, "nesterov")?.unwrap_or_default(),
            caution: Caution::said(said, "caution")?.unwrap_or_default(),
            clip_update: said.number("clip_update")?,
            uncorrected: said.optional_flag("bias_correction")? == Some(false),
        })
    }
}
