//! CUDA on the CPU: a stand-in `libcuda.so` and `libnvrtc.so` that compile CUDA text with the host C++ compiler and run it
//! on an emulator, so that a library's whole device path is tested on machines with no GPU. It fails where a GPU could:
//! work runs later than it is enqueued, blocks interleave by lot, races and stray accesses end the launch with a report.
//!
//! The C++ sources lie in `csrc/`; [`build`] compiles them once. A test calls [`load`] before anything opens libcuda: later
//! `dlopen("libcuda.so")`s in the same process then find the stand-in. A child process finds it with `LD_LIBRARY_PATH` set
//! to [`folder`]. What the stand-in counts, breaks and reports is steered through [`Standin`].
//!
//! Work moves only inside driver calls: who polls pinned memory without making any polls for ever. Device errors stay in
//! their context, and contexts, counters and reports belong to the process: tests that plant faults take turns.
//!
//! Two operations of different streams (launches, copies, sets, nodes of a graph) that touch the same 4-byte word, one at least
//! by a store, are a race unless something orders them: a stream, an event, the rules of the legacy stream, an edge, or a wait
//! or a query of the host before the second one was enqueued. It is reported whichever was drawn to run first. Not seen are
//! accesses of the host itself, and how threads of the host order their calls, who count as one. Bodies of conditional nodes
//! count as ordered in themselves. A copy may read beside stores that are whole for every observer (`st.relaxed.sys`) and
//! beside atomics.
//!
//! Graphs are captured; of nodes added by hand there are the conditional ones, IF and WHILE. A loop ends in a fault after
//! 100,000 iterations, and so does a kernel that sets the value of another graph's node.
//!
//! Not here: managed memory, memory pools and memory nodes (`cuMemAllocAsync` works, outside of captures), other graphs
//! built by hand, SWITCH nodes and IF nodes with an else, clusters, `cuLibrary*`, peers; kernels cannot reach memory of
//! `cuMemHostRegister`, copies can; and a launch that may overlap the one before it (programmatic serialization) never does.
//!
//! Environment: `CUDA_ON_CPU_SEED` (order of everything; printed once), `CUDA_ON_CPU_TRACE=1` (prints calls),
//! `CUDA_ON_CPU_REPORT=1` (prints reports as they come, for programs that take none),
//! `CUDA_ON_CPU_DEVICES=0` (a driver without a device), `CUDA_ON_CPU_INIT=100` (what `cuInit` returns),
//! `CUDA_ON_CPU_NVRTC_FAIL=1` (compilations fail), `CUDA_ON_CPU_TEXTS` (a folder: its files take the place of sources and
//! headers of the same name in all compilations), `CUDA_ON_CPU_BLOCKS` (blocks in flight, 4).

mod compile;
mod control;

pub use compile::build;
pub use control::{Direction, Standin};

use std::path::PathBuf;
use std::sync::OnceLock;

/// Builds the stand-in if needed and opens both libraries, once per process. Fails if there is no C++ compiler, the build
/// fails, or another libcuda or libnvrtc was opened before.
pub fn load() -> Result<&'static Standin, String> {
    static LOADED: OnceLock<Result<Standin, String>> = OnceLock::new();
    LOADED.get_or_init(|| Standin::open(&build()?)).as_ref().map_err(String::clone)
}

/// The folder of the built libraries, for the `LD_LIBRARY_PATH` of child processes.
pub fn folder() -> Result<PathBuf, String> {
    build()
}

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
