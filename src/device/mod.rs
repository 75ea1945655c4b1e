//! Everything that touches CUDA: the driver's functions, contexts, streams, memory, NVRTC, its cache, modules and launches.
//!
//! This room takes text, bytes and numbers; it knows no schedule, no program and no optimizer, and it is the only room
//! with `unsafe` calls into a C library. Start at [`Context`], or at [`compile()`] for the way from text to an image.
//!
//! **The driver is called through a table of our own** ([`driver`]), not through cudarc's: there a missing library or a
//! missing symbol is a panic, a result code that is newer than the bindings is undefined behaviour (`CUresult` is an enum),
//! and a function that is newer than the chosen bindings cannot even be named. cudarc appears only where an engine hands
//! us its context, stream, slices or modules.
//!
//! **What a step costs.** [`Function::launch`] is two driver calls, `cuCtxGetCurrent` and `cuLaunchKernel`, while the
//! context is current, as it is in an engine. It allocates nothing, waits for nothing and may be captured. Everything
//! else here is for `build()` and for reports.
//!
//! **Captures of others.** Whatever allocates, frees, loads or waits does so with the thread's capture mode relaxed
//! ([`context::Relaxed`]): otherwise it would break a GLOBAL-mode capture that another thread has open.
//!
//! **What is trusted.** Device addresses inside launch parameters and tables cannot be checked here. They come from the
//! tensors that a caller registered under the optimizer's `# Safety` contract, or from [`Memory`]. What the driver knows of
//! the former is looked at once, when they are registered: [`Addresses`].
#![allow(unsafe_code)]

mod address;
mod cache;
mod codes;
mod compile;
mod context;
mod doctor;
mod driver;
mod entry;
mod functions;
mod graph;
mod loader;
mod memory;
mod module;
mod nvrtc;
mod pack;
mod pinned;
#[cfg(test)]
mod scratch;
mod search;
mod setup;
mod slices;
mod slots;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use address::{Addresses, Place};
pub use compile::Source;
pub(crate) use compile::{compile, load};
pub(crate) use context::Context;
pub use doctor::{CacheFound, DeviceFound, Doctor, NvrtcFound};
pub(crate) use graph::{CaptureMode, Graph, GraphExec};
pub(crate) use memory::{Filling, Memory, expect_waitable, read, read_all, wait, write_all};
pub(crate) use module::{Function, Module};
pub use pack::{Pack, PackKernel};
pub(crate) use pinned::{Pinned, Readback};
pub(crate) use setup::Setup;
pub(crate) use slices::{CudaFunction, CudaModule, DevicePtr, forget_events, load_function, place};
pub(crate) use slots::Slots;
pub use slots::WhenBusy;
pub use stream::Stream;
pub(crate) use target::Target;
pub(crate) use turns::Turns;
