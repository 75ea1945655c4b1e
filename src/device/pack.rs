//! Kernels that were compiled elsewhere: images of several architectures in one file, for machines that have a driver and no
//! compiler. `format` is how the file lies. Start at [`Pack`].
//!
//! An image is found by what it was made from ([`text_key`]): equal text and options are the same kernels, whatever else is
//! equal or not. So a pack of another version of this crate serves as long as the text is the same, and a pack is never taken for
//! another structure's.

mod format;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::compile::{OPTIONS, Source, text_key};
use super::entry::Key;
use super::nvrtc::Nvrtc;
use super::target::Target;
use crate::error::{Error, Result};

/// How many kernels an error names.
const NAMED: usize = 16;

/// Compiled kernels of some optimizers, for some architectures: with
/// [`OptimizerBuilder::kernels`](crate::OptimizerBuilder::kernels) an optimizer is built from them, and no NVRTC is looked for.
/// `instep compile` makes one from configurations, [`PackBuilder`](crate::PackBuilder) from builders; neither needs a GPU or a driver. Cheap to clone.
///
/// For a device there is taken, of what the pack has for the structure that is built: `sm_XY` of its own compute capability; else `sm_XZ` of
/// the same major version with the nearest minor one below; else the newest PTX, `compute_XY`, that is not above it, which the driver
/// translates. PTX is as new as the NVRTC that wrote it, and a driver of an older CUDA refuses it.
///
/// A pack is code that runs on the GPU. A checksum finds damage, not malice: read packs only from where programs are taken from.
///
/// ```no_run
/// use instep::{AdamW, Device, Optimizer, Pack, Schedule, Stream, Tensor};
/// # fn tensors() -> Vec<Tensor> { Vec::new() }
/// let kernels = Pack::read("kernels.pack")?;
/// let lr = Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200);
/// let builder = Optimizer::builder(&Device::cuda(0)?).kernels(&kernels);
/// let mut opt = builder.group(AdamW::new(lr), &tensors()).build()?;
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Clone)]
pub struct Pack(Arc<Contents>);

/// What a file holds.
struct Contents {
    bytes: Vec<u8>,
    /// Of this crate, when the pack was made.
    version: String,
    /// NVRTC's, major and minor.
    compiler: (u32, u32),
    kernels: Vec<Kernels>,
}

/// The images of one unit.
#[derive(Debug, PartialEq, Eq)]
struct Kernels {
    /// What they were made from.
    key: Key,
    /// What that is, for people.
    words: String,
    /// Each with its place in the bytes.
    images: Vec<(Target, Range<usize>)>,
}

/// A unit that was compiled, on its way into a file.
struct Compiled<'a> {
    key: Key,
    words: &'a str,
    images: Vec<(Target, Vec<u8>)>,
}

/// Without the images.
impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack").field("kernels", &self.0.kernels).finish_non_exhaustive()
    }
}

/// What a [`Pack`] has of one unit: of an optimizer, or the stop condition.
#[derive(Debug, Clone, Copy)]
pub struct PackKernel<'a>(&'a Kernels);

impl<'a> PackKernel<'a> {
    /// What it was compiled for: rules, how tensors are stored, options.
    pub fn words(&self) -> &'a str {
        &self.0.words
    }

    /// SHA-256, in hexadecimal digits, of the text and the options that it was made from.
    pub fn hash(&self) -> String {
        self.0.key.to_string()
    }

    /// Each architecture, such as `sm_90` or `compute_100`, and the bytes of its image.
    pub fn images(&self) -> impl Iterator<Item = (String, usize)> + use<'a> {
        self.0.images.iter().map(|(target, place)| (target.to_string(), place.len()))
    }
}

impl Pack {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Argument`] where it cannot be read, [`Error::Format`] where it is no pack, is damaged or cut off.
    pub fn read(path: impl AsRef<Path>) -> Result<Pack> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|problem| Error::argument("pack", path.display(), format!("cannot be read: {problem}")))?;
        Pack::from_bytes(bytes).map_err(|error| match error {
            Error::Format { detail, .. } => Error::Format { place: path.display().to_string(), detail },
            other => other,
        })
    }

    /// Reads what [`Pack::as_bytes`] gave. Takes no more memory than the bytes do, whatever they say.
    ///
    /// # Errors
    /// [`Error::Format`] where it is no pack, is damaged or cut off.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Pack> {
        let contents = format::decode(bytes.into());
        contents
            .map(|contents| Pack(Arc::new(contents)))
            .map_err(|detail| Error::Format { place: "pack".into(), detail })
    }

    /// The bytes of a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Writes a file.
    ///
    /// # Errors
    /// [`Error::Argument`] with what the system says.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.as_bytes())
            .map_err(|problem| Error::argument("pack", path.display(), format!("cannot be written: {problem}")))
    }

    /// The version of this crate that made it.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The version of the NVRTC that compiled it, major and minor.
    pub fn compiler(&self) -> (u32, u32) {
        self.0.compiler
    }

    /// What is in it.
    pub fn kernels(&self) -> impl ExactSizeIterator<Item = PackKernel<'_>> {
        self.0.kernels.iter().map(PackKernel)
    }

    /// Compiles each unit, which comes with its words, for each target. Equal units are compiled once.
    pub(crate) fn compile(units: &[(String, Source<'_>)], targets: &[Target]) -> Result<Pack> {
        let nvrtc = Nvrtc::of_process()?;
        let mut kernels: Vec<Compiled<'_>> = Vec::new();
        for (words, source) in units {
            let key = text_key(source);
            if kernels.iter().any(|known| known.key == key) {
                continue;
            }
            let image = |target: &Target| Ok((*target, nvrtc.compile_for(source, OPTIONS, *target)?));
            kernels.push(Compiled { key, words, images: targets.iter().map(image).collect::<Result<_>>()? });
        }
        Pack::from_bytes(format::encode(env!("CARGO_PKG_VERSION"), nvrtc.version(), &kernels))
    }

    /// The image of `key` for a device. `words`: what `key` stands for.
    pub(super) fn image(&self, key: &Key, device: (u32, u32), words: impl FnOnce() -> String) -> Result<&[u8]> {
        let kernels = self.0.kernels.iter().find(|kernels| kernels.key == *key);
        let missing = |detail: String| Error::NoKernel { wanted: words(), compute_capability: device, detail };
        let Some(kernels) = kernels else { return Err(missing(self.what_there_is())) };
        let fitting = kernels.images.iter().filter(|(target, _)| target.runs_on(device));
        // Machine code comes after PTX in the order of targets.
        match fitting.max_by_key(|(target, _)| *target) {
            Some((_, place)) => Ok(&self.0.bytes[place.clone()]),
            None => {
                let there: Vec<String> = kernels.images.iter().map(|(target, _)| target.to_string()).collect();
                Err(missing(format!("it has them for {} alone; make one with this architecture too", there.join(", "))))
            }
        }
    }

    /// Says what is there, and what to do where something else is wanted.
    fn what_there_is(&self) -> String {
        let Contents { version, kernels, .. } = &*self.0;
        let mut detail = String::from("make one with it");
        if version != env!("CARGO_PKG_VERSION") {
            let ours = env!("CARGO_PKG_VERSION");
            detail = format!("it was made by version {version} of instep, and this is {ours}: make it anew");
        }
        let named: Vec<&str> = kernels.iter().map(|kernels| kernels.words.as_str()).take(NAMED).collect();
        let more =
            if kernels.len() > NAMED { format!("\n  and {} more", kernels.len() - NAMED) } else { String::new() };
        format!("{detail}; it has\n  {}{more}", named.join("\n  "))
    }
}
