//! From CUDA text to an image for a device, through the cache or from a pack. Start at [`load`].

use std::sync::Arc;

use super::cache::Cache;
use super::context::Context;
use super::entry::{FORMAT, Key};
use super::module::Module;
use super::nvrtc::{ENVIRONMENT, Nvrtc};
use super::pack::Pack;
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

/// Loads what `source` compiles to, from `pack` where there is one: no compiler is looked for then. `words`: what `source` holds, for
/// people.
pub(crate) fn load(
    context: &Arc<Context>,
    source: &Source<'_>,
    pack: Option<&Pack>,
    words: impl FnOnce() -> String,
) -> Result<Arc<Module>> {
    match pack {
        Some(pack) => {
            // Copied: an image begins anywhere in a file, and the driver reads machine code as ELF, whose parts are aligned.
            let image: Arc<[u8]> = pack.image(&text_key(source), context.compute_capability(), words)?.into();
            Module::load(context, &image)
        }
        None => Module::load(context, &compile(context, source)?),
    }
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

/// All that decides an image, save the architecture and the compiler: the options and all text.
pub(super) fn text_key(source: &Source<'_>) -> Key {
    let options = format!("{OPTIONS:?}");
    let unit = [options.as_bytes(), source.name.as_bytes(), source.text.as_bytes()];
    let headers = source.headers.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    Key::of(unit.into_iter().chain(headers))
}

/// All that decides the image, save what the entry itself says of its compiler.
fn key(source: &Source<'_>, (major, minor): (u32, u32)) -> Key {
    let build = format!("{FORMAT} {} {major}.{minor}", env!("CARGO_PKG_VERSION"));
    Key::of([build.as_bytes(), &ENVIRONMENT.fingerprint(), text_key(source).bytes()])
}

#[cfg(test)]
mod tests;
