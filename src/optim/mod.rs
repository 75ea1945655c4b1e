//! The crate's update rules, one file each: options, hyperparameters, streams, arithmetic, said once. Knows the language that
//! rules are written in, no tensors and no device. A new rule is a file, a `pub use` and a name in the list of `known!`.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod after;
mod asgd;
mod caution;
mod declare;
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "files name rules"))]
mod known;
mod lion;
mod nadam;
mod options;
mod radam;
mod rectify;
mod rmsprop;
mod rprop;
mod schedule_free;
mod sgd;

#[cfg(feature = "serde")]
use crate::rule::RuleOption;
pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled, Nesterov};
pub use adamax::Adamax;
pub use after::{Clamp, Ema, Lookahead};
pub use asgd::Asgd;
pub use caution::Caution;
#[cfg(feature = "serde")]
pub(crate) use known::Visit;
pub use lion::Lion;
pub use nadam::NAdam;
pub use options::Parity;
pub use schedule_free::{ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSgd};
pub use sgd::{Momentum, Sgd};

pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;

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
        ScheduleFreeRAdam
    ],
    [Ema, Lookahead, Clamp]
);
