//! The crate's update rules, one file each: options, hyperparameters, streams, arithmetic, said once. Knows the language that
//! rules are written in, no tensors and no device. A new rule is a file, a `pub use` and a name in the list of `known!`.

mod adabelief;
mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod adan;
mod ademamix;
mod adopt;
mod after;
mod asgd;
mod betas;
mod caution;
mod dadapt_adam;
mod dadapt_sgd;
mod declare;
mod dog;
mod estimate;
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "files name rules"))]
mod known;
mod lamb;
mod laprop;
mod lars;
mod lion;
mod mars;
mod nadam;
mod novograd;
mod options;
mod prodigy;
mod radam;
mod rectify;
mod rmsprop;
mod rprop;
mod schedule_free;
mod sgd;
mod stableadamw;
mod yogi;

#[cfg(feature = "serde")]
use crate::rule::RuleOption;
pub use adabelief::{AdaBelief, Rectify};
pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled, Nesterov};
pub use adamax::Adamax;
pub use adan::{Adan, AdanWeight};
pub use ademamix::AdEMAMix;
pub use adopt::{Adopt, AdoptClip};
pub use after::{Clamp, Ema, Lookahead};
pub use asgd::Asgd;
pub use caution::Caution;
pub use dadapt_adam::DAdaptAdam;
pub use dadapt_sgd::DAdaptSgd;
pub use dog::{DoG, DoWG, InitStep};
#[cfg(feature = "serde")]
pub(crate) use known::Visit;
pub use lamb::Lamb;
pub use laprop::LaProp;
pub use lars::Lars;
pub use lion::Lion;
pub use mars::{Mars, MarsForm};
pub use nadam::NAdam;
pub use novograd::NovoGrad;
pub use options::Parity;
pub use prodigy::Prodigy;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;
pub use schedule_free::{ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSgd};
pub use sgd::{Momentum, Sgd};
pub use stableadamw::StableAdamW;
pub use yogi::Yogi;

known::known!(
    [
        AdamW,
        Adam,
        Sgd,
        Lion,
        NAdam,
        RAdam,
        Adamax,
        Adagrad,
        RmsProp,
        Adadelta,
        Asgd,
        Rprop,
        ScheduleFreeAdamW,
        ScheduleFreeSgd,
        ScheduleFreeRAdam,
        Adan,
        AdaBelief,
        Yogi,
        LaProp,
        Mars,
        AdEMAMix,
        Adopt,
        StableAdamW,
        Lamb,
        Lars,
        NovoGrad,
        Prodigy,
        DAdaptAdam,
        DAdaptSgd,
        DoG,
        DoWG,
    ],
    [Ema, Lookahead, Clamp]
);
