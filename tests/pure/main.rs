//! The tests that need nothing but Rust: the language and its values, the emitted text, the CPU backend, what is refused,
//! and the layout of this repository. No GPU, no C++ compiler, no CUDA library.

mod bad_input;
mod contract;
mod curves;
mod decay;
mod emission;
mod golden;
mod guide;
mod host;
mod layering;
mod load;
mod owned;
mod precision;
mod random_schedules;
mod rates;
mod rules;
mod shown;
mod state;
