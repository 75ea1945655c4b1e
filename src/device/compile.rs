//! From CUDA text to an image for a device, through the cache. Start at [`compile`].

use std::sync::Arc;

use super::cache::Cache;
use super::context::Context;
use super::entry::{FORMAT, Key};
use super::nvrtc::{ENVIRONMENT, Nvrtc};
use crate::error::Result;

/// Float arithmetic exactly as written: no contraction, no flushed subnormals, IEEE division and square root. Functions are
/// the device's where nothing else is said, generic lambdas too.
pub(super) const OPTIONS: &[&str] = &[
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--device-as-default-execution-space",
];

/// CUDA text to compile: one unit and the headers that it includes by name. No other header is found.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The unit's name in messages, e.g. `forward.cu`.
    pub name: &'a str,
    /// The unit's text. Kernels are `extern "C" __global__`, to be found by their plain names.
    pub text: &'a str,
    /// Name, as in `#include "name"`, and text of each header.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Compiles `source` for the device of `context`, or takes the image from the cache; see [`super::cache`] for what may.
pub(crate) fn compile(context: &Context, source: &Source<'_>) -> Result<Arc<[u8]>> {
    let device = context.compute_capability();
    image(Cache::of_process(), source, device)
}

fn image(cache: &Cache, source: &Source<'_>, device: (u32, u32)) -> Result<Arc<[u8]>> {
    cache.image(key(source, device), || {
        let nvrtc = Nvrtc::of_process()?;
        // Before the compilation: a library that is replaced meanwhile must not lend its stamp to the old one's work.
        let stamp = nvrtc.stamp();
        Ok((nvrtc.compile(source, OPTIONS, device)?, stamp))
    })
}

/// All that decides the image, save what the entry itself says of its compiler.
fn key(source: &Source<'_>, (major, minor): (u32, u32)) -> Key {
    let build = format!("{FORMAT} {} {major}.{minor} {OPTIONS:?}", env!("CARGO_PKG_VERSION"));
    let search = ENVIRONMENT.fingerprint();
    let unit = [build.as_bytes(), &search, source.name.as_bytes(), source.text.as_bytes()];
    let headers = source.headers.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    Key::of(unit.into_iter().chain(headers))
}

#[cfg(test)]
mod tests;
