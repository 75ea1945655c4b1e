//! Hostile configurations: inputs that are known to be right are mutated, and read by all that reads configurations.
//!
//! Whatever is read must come back as a value or as a typed error, in a second. What is accepted must have finite values at
//! every step. `seeds` are the inputs to start from, `mutate` changes values and `text` changes what they are written in, both by
//! a generator that a seed starts (`random`); `target` reads an [`Input`] and holds the outcome to what is promised; `watch`
//! catches panics and takes the time. `corpus/` keeps one input for each message and each way through, which a test reads again.
//! Start at [`campaign::Campaign`].

pub mod campaign;
pub mod corpus;
pub mod input;
pub mod mutate;
pub mod numbers;
pub mod random;
pub mod seeds;
pub mod target;
pub mod text;
pub mod watch;

use std::path::Path;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
