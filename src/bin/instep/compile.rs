//! `instep compile`: kernels of configurations, compiled ahead into a pack; and what a pack holds.

use std::path::Path;

use instep::{Dtype, EngineFacts, Pack, PackBuilder, TensorKind};

use crate::commands::{Compile, HandedIn};
use crate::{Result, input};

/// The kinds of tensors of each group, or of all.
pub type Kinds = Vec<Vec<TensorKind>>;

pub fn run(options: &Compile) -> Result<String> {
    if let Some(path) = &options.list {
        return Ok(contents(path, &Pack::read(path)?));
    }
    let out = &options.out;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if out.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(input::at(out, "must be a file in a folder that is there").into());
    }
    let mut pack = PackBuilder::new(options.arch.iter().map(String::as_str)).map_err(|e| format!("--arch: {e}"))?;
    for file in &options.files {
        let mut config = input::read_silently(file, &options.facts)?.config;
        input::name_rules(&mut config, options.rule);
        let none = [Vec::new()];
        for kinds in if options.tensors.is_empty() { &none[..] } else { &options.tensors[..] } {
            let facts = kinds.iter().fold(facts(options), |facts, kinds| facts.tensors(kinds.iter().copied()));
            pack.add_config(&config, &facts).map_err(|e| input::at(file, e))?;
        }
    }
    let pack = pack.compile()?;
    pack.write(out)?;
    Ok(contents(out, &pack))
}

fn facts(options: &Compile) -> EngineFacts {
    let facts = options.hands_in.iter().fold(EngineFacts::new(), |facts, handed_in| match handed_in {
        HandedIn::FoundInf => facts.found_inf(),
        HandedIn::InvScale => facts.inv_scale(),
        HandedIn::NormSquare => facts.norm_square(),
    });
    let facts = options.follow.iter().fold(facts, |facts, group| facts.follow(*group));
    if options.scales { facts.scales() } else { facts }
}

/// Reads `bf16/f32:100,f32;f32`: kinds separated by commas, groups by semicolons.
pub fn kinds(text: &str) -> Result<Kinds, String> {
    text.split(';').map(|group| group.split(',').map(|kind| kind_of(kind.trim())).collect()).collect()
}

fn kind_of(text: &str) -> Result<TensorKind, String> {
    let (types, elements) = text.split_once(':').map_or((text, None), |(types, elements)| (types, Some(elements)));
    let (param, grad) = types.split_once('/').unwrap_or((types, types));
    let kind = TensorKind::new(dtype(param)?, dtype(grad)?);
    match elements.map(str::parse) {
        None => Ok(kind),
        Some(Ok(elements)) => Ok(kind.elements(elements)),
        Some(Err(_)) => Err(format!(
            "{text:?} ends in {elements:?}, which must be a count of elements",
            elements = elements.unwrap_or("")
        )),
    }
}

fn dtype(text: &str) -> Result<Dtype, String> {
    match text {
        "f32" => Ok(Dtype::F32),
        "bf16" => Ok(Dtype::Bf16),
        "f16" => Ok(Dtype::F16),
        _ => Err(format!("{text:?} must be f32, bf16 or f16")),
    }
}

/// What is in a pack, for people.
fn contents(path: &Path, pack: &Pack) -> String {
    let (major, minor) = pack.compiler();
    let bytes = pack.as_bytes().len().div_ceil(1_024);
    let head = format!("{bytes} KiB, made by instep {} with NVRTC {major}.{minor}", pack.version());
    let mut text = format!("{}\n", input::at(path, head));
    for kernel in pack.kernels() {
        let images = kernel.images().map(|(name, bytes)| format!("{name} ({} KiB)", bytes.div_ceil(1_024)));
        text += &format!("{}\n  {}\n  {}\n", kernel.words(), images.collect::<Vec<_>>().join(", "), kernel.hash());
    }
    text
}
