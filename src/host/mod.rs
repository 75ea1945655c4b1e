//! The CPU backend: the same tables, the same arithmetic, the same bits as the kernels, on all cores.
//!
//! It runs an update at once, where a device would enqueue it. `engine` walks the tables, `edit` writes constants,
//! `gradients` looks at all gradients first, `metrics` observes and looks for the end, `state` turns what a run changes into a
//! block of bytes and back, `resolve` turns schedules and sums into scalars, `rests` says whom an update leaves alone, `native` runs rules over elements, `memory` has the
//! only unsafe code: views of the caller's memory, and the AVX2 + FMA build of the loops.

mod change;
mod edit;
mod engine;
mod gradients;
#[allow(unsafe_code)]
mod memory;
mod metrics;
mod native;
mod resolve;
mod rests;
mod state;

pub(crate) use engine::Engine;
pub(crate) use native::{traced, traced_tape};
