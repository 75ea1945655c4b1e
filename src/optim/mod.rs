//! The crate's update rules, one file each: options, hyperparameters, streams, arithmetic, said once. Knows the language that
//! rules are written in, no tensors and no device.

mod adam;
#[cfg(feature = "serde")]
mod config;
mod options;
mod sgd;

pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled};
pub use options::Parity;
pub use sgd::{Momentum, Sgd};
