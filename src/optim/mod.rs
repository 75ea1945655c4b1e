//! The crate's update rules, one file each: options, hyperparameters, streams, arithmetic, said once. Knows the language that
//! rules are written in, no tensors and no device. A new rule is a file, a `pub use` and a name in the list of `known!`.

mod adabelief;
mod adam;
mod adan;
mod ademamix;
mod adopt;
mod caution;
mod declare;
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "files name rules"))]
mod known;
mod lamb;
mod laprop;
mod lars;
mod lion;
mod mars;
mod novograd;
mod options;
mod sgd;
mod stableadamw;
mod yogi;

#[cfg(feature = "serde")]
use crate::rule::RuleOption;
pub use adabelief::{AdaBelief, Rectify};
pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled};
pub use adan::{Adan, AdanWeight};
pub use ademamix::AdEMAMix;
pub use adopt::{Adopt, AdoptClip};
pub use caution::Caution;
#[cfg(feature = "serde")]
pub(crate) use known::Visit;
pub use lamb::Lamb;
pub use laprop::LaProp;
pub use lars::Lars;
pub use lion::Lion;
pub use mars::{Mars, MarsForm};
pub use novograd::NovoGrad;
pub use options::Parity;
pub use sgd::{Momentum, Sgd};
pub use stableadamw::StableAdamW;
pub use yogi::Yogi;

known::known!(
    AdamW,
    Adam,
    Sgd,
    Lion,
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
);
