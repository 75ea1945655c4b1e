//! What timm's factory calls optimizers, with the classes and the arguments that it gives them (`timm/optim/_optim_factory.py` of
//! 1.0.31).

use serde_json::{Value, json};

/// A name of the factory.
pub(in super::super) struct Named {
    pub name: &'static str,
    /// Of `timm.optim`, which has torch's under their own names.
    pub class: &'static str,
    takes: Takes,
    flags: &'static [(&'static str, bool)],
    numbers: &'static [(&'static str, f64)],
}

/// Which of the arguments of every optimizer this one is given.
#[derive(Clone, Copy)]
struct Takes {
    eps: bool,
    betas: bool,
    momentum: bool,
}

impl Named {
    /// Whether the factory leaves `argument` out.
    pub fn drops(&self, argument: &str) -> bool {
        match argument {
            "eps" => !self.takes.eps,
            "betas" => !self.takes.betas,
            "momentum" => !self.takes.momentum,
            _ => false,
        }
    }

    /// The arguments that come with the name.
    pub fn defaults(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let flags = self.flags.iter().map(|(name, flag)| (*name, json!(flag)));
        flags.chain(self.numbers.iter().map(|(name, number)| (*name, json!(number))))
    }

    const fn new(
        name: &'static str,
        class: &'static str,
        takes: Takes,
        flags: &'static [(&'static str, bool)],
    ) -> Named {
        Named { name, class, takes, flags, numbers: &[] }
    }

    const fn with(self, numbers: &'static [(&'static str, f64)]) -> Named {
        Named { numbers, ..self }
    }
}

const MOMENTUM: Takes = Takes { eps: false, betas: false, momentum: true };
const EPS_AND_MOMENTUM: Takes = Takes { eps: true, betas: false, momentum: true };
const EPS_AND_BETAS: Takes = Takes { eps: true, betas: true, momentum: false };
const BETAS: Takes = Takes { eps: false, betas: true, momentum: false };
const EPS: Takes = Takes { eps: true, betas: false, momentum: false };

const NESTEROV: (&str, bool) = ("nesterov", true);
const CAUTION: (&str, bool) = ("caution", true);
const CORRECTED: (&str, bool) = ("corrected_weight_decay", true);
const DECOUPLED: (&str, bool) = ("decoupled_decay", true);
const TRUST_CLIP: (&str, bool) = ("trust_clip", true);
/// Of Adopt.
const OWN_DECOUPLED: (&str, bool) = ("decoupled", true);

/// Every name that has a translation.
pub(in super::super) const OPTIMIZERS: &[Named] = &[
    Named::new("sgd", "SGD", MOMENTUM, &[NESTEROV]),
    Named::new("momentum", "SGD", MOMENTUM, &[("nesterov", false)]),
    Named::new("sgdw", "SGDW", MOMENTUM, &[NESTEROV]),
    Named::new("sgdc", "SGDW", MOMENTUM, &[NESTEROV, CORRECTED]),
    Named::new("csgdw", "SGDW", MOMENTUM, &[NESTEROV, CAUTION]),
    Named::new("csgdc", "SGDW", MOMENTUM, &[NESTEROV, CAUTION, CORRECTED]),
    Named::new("adam", "Adam", EPS_AND_BETAS, &[]),
    Named::new("adamw", "AdamW", EPS_AND_BETAS, &[]),
    Named::new("adamwlegacy", "AdamWLegacy", EPS_AND_BETAS, &[]),
    Named::new("adamc", "AdamWLegacy", EPS_AND_BETAS, &[CORRECTED]),
    Named::new("cadamw", "AdamWLegacy", EPS_AND_BETAS, &[CAUTION]),
    Named::new("cadamc", "AdamWLegacy", EPS_AND_BETAS, &[CAUTION, CORRECTED]),
    Named::new("nadam", "NAdam", EPS_AND_BETAS, &[]),
    Named::new("nadamw", "NAdamW", EPS_AND_BETAS, &[]),
    Named::new("nadamc", "NAdamW", EPS_AND_BETAS, &[CORRECTED]),
    Named::new("cnadamw", "NAdamW", EPS_AND_BETAS, &[CAUTION]),
    Named::new("cnadamc", "NAdamW", EPS_AND_BETAS, &[CAUTION, CORRECTED]),
    Named::new("radam", "RAdam", EPS_AND_BETAS, &[]),
    Named::new("radamw", "RAdam", EPS_AND_BETAS, &[("decoupled_weight_decay", true)]),
    Named::new("adamax", "Adamax", EPS_AND_BETAS, &[]),
    Named::new("adopt", "Adopt", EPS_AND_BETAS, &[]),
    Named::new("adoptw", "Adopt", EPS_AND_BETAS, &[OWN_DECOUPLED]),
    Named::new("adoptc", "Adopt", EPS_AND_BETAS, &[OWN_DECOUPLED, CORRECTED]),
    Named::new("cadopt", "Adopt", EPS_AND_BETAS, &[CAUTION]),
    Named::new("cadoptw", "Adopt", EPS_AND_BETAS, &[OWN_DECOUPLED, CAUTION]),
    Named::new("cadoptc", "Adopt", EPS_AND_BETAS, &[OWN_DECOUPLED, CAUTION, CORRECTED]),
    Named::new("lamb", "Lamb", EPS_AND_BETAS, &[]),
    Named::new("lambc", "Lamb", EPS_AND_BETAS, &[TRUST_CLIP]),
    Named::new("lambw", "Lamb", EPS_AND_BETAS, &[DECOUPLED]),
    Named::new("lambcw", "Lamb", EPS_AND_BETAS, &[TRUST_CLIP, DECOUPLED]),
    Named::new("lambcd", "Lamb", EPS_AND_BETAS, &[DECOUPLED, CORRECTED]),
    Named::new("clamb", "Lamb", EPS_AND_BETAS, &[CAUTION]),
    Named::new("clambw", "Lamb", EPS_AND_BETAS, &[CAUTION, DECOUPLED]),
    Named::new("lars", "Lars", EPS_AND_MOMENTUM, &[]),
    Named::new("larc", "Lars", EPS_AND_MOMENTUM, &[TRUST_CLIP]),
    Named::new("nlars", "Lars", EPS_AND_MOMENTUM, &[NESTEROV]),
    Named::new("nlarc", "Lars", EPS_AND_MOMENTUM, &[NESTEROV, TRUST_CLIP]),
    Named::new("adabelief", "AdaBelief", EPS_AND_BETAS, &[("rectify", false)]),
    Named::new("radabelief", "AdaBelief", EPS_AND_BETAS, &[("rectify", true)]),
    Named::new("adadelta", "Adadelta", EPS, &[]),
    Named::new("adagrad", "Adagrad", EPS, &[]).with(&[("eps", 1e-8)]),
    Named::new("adan", "Adan", EPS_AND_BETAS, &[("no_prox", false)]),
    Named::new("adanw", "Adan", EPS_AND_BETAS, &[("no_prox", true)]),
    Named::new("cadan", "Adan", EPS_AND_BETAS, &[CAUTION, ("no_prox", false)]),
    Named::new("cadanw", "Adan", EPS_AND_BETAS, &[CAUTION, ("no_prox", true)]),
    Named::new("laprop", "LaProp", EPS_AND_BETAS, &[]),
    Named::new("lapropc", "LaProp", EPS_AND_BETAS, &[CORRECTED]),
    Named::new("claprop", "LaProp", EPS_AND_BETAS, &[CAUTION]),
    Named::new("lion", "Lion", BETAS, &[]),
    Named::new("lionc", "Lion", BETAS, &[CORRECTED]),
    Named::new("clion", "Lion", BETAS, &[CAUTION]),
    Named::new("clionc", "Lion", BETAS, &[CAUTION, CORRECTED]),
    Named::new("mars", "Mars", EPS_AND_BETAS, &[]),
    Named::new("cmars", "Mars", EPS_AND_BETAS, &[CAUTION]),
    Named::new("novograd", "NvNovoGrad", EPS_AND_BETAS, &[]),
    Named::new("novogradw", "NvNovoGrad", EPS_AND_BETAS, &[DECOUPLED]),
    Named::new("novogradc", "NvNovoGrad", EPS_AND_BETAS, &[DECOUPLED, CORRECTED]),
    Named::new("rmsprop", "RMSprop", EPS_AND_MOMENTUM, &[]).with(&[("alpha", 0.9)]),
    Named::new("rmsproptf", "RMSpropTF", EPS_AND_MOMENTUM, &[]).with(&[("alpha", 0.9)]),
    Named::new("rmsproptfw", "RMSpropTF", EPS_AND_MOMENTUM, &[DECOUPLED]).with(&[("alpha", 0.9)]),
    Named::new("rmsproptfc", "RMSpropTF", EPS_AND_MOMENTUM, &[DECOUPLED, CORRECTED]).with(&[("alpha", 0.9)]),
    Named::new("crmsproptf", "RMSpropTF", EPS_AND_MOMENTUM, &[CAUTION]).with(&[("alpha", 0.9)]),
];
