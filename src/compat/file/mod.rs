//! Files as they are published: read whole, whatever else they say, and turned into a configuration that can be built.
//!
//! `text` makes fields of JSON, TOML, YAML or a command line; each file of a format says whether fields are one of its kind and writes
//! what concerns us as a [`Draft`]: an optimizer or a scheduler in its library's own words, which the other files of `compat`
//! translate. A [`Section`] notes what is taken and what is left. A new format is one file and an entry of [`FORMATS`].
//! Start at [`read`].

mod call;
mod composer;
mod deepspeed;
mod draft;
mod facts;
mod interpolation;
mod keras;
mod lightning;
mod megatron;
mod megatron_left;
mod mmengine;
mod own;
mod section;
mod shell;
#[cfg(test)]
mod tests;
mod text;
mod timm;
mod torchtitan;
mod transformers;

use serde_json::{Map, Value};

use super::library::library;
use crate::config::Config;
use crate::error::{Error, Result};
use draft::Draft;
pub use facts::Facts;
use section::{Notes, Section};
use text::Syntax;
pub(super) use transformers::scheduler as scheduler_of_training_arguments;

/// A kind of file.
struct Format {
    /// What such a file is, as in "this is …".
    name: &'static str,
    /// The library whose it is, by which [`Facts::library`] chooses.
    library: &'static str,
    /// Whether these fields are such a file.
    is: fn(&Map<String, Value>) -> bool,
    /// What of it concerns us.
    read: fn(&mut Section, &Facts) -> Result<Draft>,
}

/// Every kind, the most telling fields first.
const FORMATS: &[Format] = &[
    own::CONFIG,
    own::OPTIMIZER,
    own::SCHEDULER,
    mmengine::FORMAT,
    lightning::FORMAT,
    deepspeed::FORMAT,
    torchtitan::FORMAT,
    keras::FORMAT,
    composer::FORMAT,
    megatron::FORMAT,
    timm::FORMAT,
    transformers::FORMAT,
];

/// What was read out of a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// What an [`OptimizerBuilder`](crate::OptimizerBuilder) is to be told. Where the file says nothing of an optimizer, its groups
    /// have schedules and no rule.
    pub config: Config,
    /// What the file is, e.g. "DeepSpeed's configuration".
    pub format: &'static str,
    /// The release of its library that this crate follows; None of a file of our own, and of Lightning, whose schedulers are torch's.
    pub version: Option<&'static str>,
    /// What the schedulers of its library count, and what their rates are relative to.
    pub clock: Option<&'static str>,
    /// What was taken, each with its value, e.g. `optimizer.params.lr = 4e-5`.
    pub took: Vec<String>,
    /// What was left, each with the reason.
    pub left: Vec<String>,
}

/// Reads a published configuration: JSON, TOML, YAML (with the feature `yaml`) or the flags of a command line.
///
/// What kind of file it is shows in its fields, or is said by [`Facts::library`]. What does not concern an optimizer is left, and
/// [`Reading::left`] says so; a field whose name is nearly one that would be read is an error. What a file leaves to be filled in
/// (`"auto"`), or counts in epochs, samples or tokens, is resolved from the [`Facts`].
///
/// ```
/// use instep::compat::{Facts, read};
/// let text = r#"{"library": "torch", "api": "StepLR", "params": {"step_size": 30, "gamma": 0.5},
///                "optimizer": {"class": "SGD", "args": {"lr": 0.1}, "groups": [{}]}}"#;
/// let reading = read(text, &Facts::default())?;
/// assert_eq!(reading.config.groups[0].lr().at(30)?, 0.05);
/// # Ok::<(), instep::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] if the text is in no format; [`Error::Argument`] names the field that is missing, unknown, of another type, or that
/// its library refuses, or the fact that is missing.
pub fn read(text: &str, facts: &Facts) -> Result<Reading> {
    let (fields, syntax) = text::fields(text)?;
    let format = recognized(&fields, facts)?;
    let notes = Notes::default();
    let mut section = Section::of(facts.filled_in(interpolation::resolved(fields)?, &notes)?, &notes);
    // Of a file of our own, errors name the line.
    let config = if format.name == own::CONFIG.name && matches!(syntax, Syntax::Json | Syntax::Toml) {
        own::config(text, syntax, &mut section)?
    } else {
        let draft = (format.read)(&mut section, facts);
        // What is missing may stand there under a name that is nearly its own.
        if draft.as_ref().map_or_else(is_missing, |_| true) {
            section.finish()?;
        }
        draft?.config()?
    };
    let (took, left) = notes.said();
    let (version, clock) = library(format.library).map(|library| (library.version, library.clock)).unzip();
    Ok(Reading { config, format: format.name, version, clock, took, left })
}

/// The name of every kind of file.
#[cfg(all(test, feature = "yaml"))]
pub(super) fn format_names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name)
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Argument { value, .. } if value == "missing")
}

/// What kind of file has these fields.
fn recognized(fields: &Map<String, Value>, facts: &Facts) -> Result<&'static Format> {
    let of_library = |format: &&Format| facts.library.as_ref().is_none_or(|library| format.library == library);
    let candidates: Vec<&Format> = FORMATS.iter().filter(of_library).collect();
    if let Some(format) = candidates.iter().find(|format| (format.is)(fields)) {
        return Ok(format);
    }
    match (&facts.library, candidates.last()) {
        (Some(_), Some(format)) => Ok(format),
        (Some(library), None) => {
            let mut known: Vec<&str> = FORMATS.iter().map(|format| format.library).collect();
            known.dedup();
            Err(Error::argument("facts.library", library, format!("must be one of {}", known.join(", "))))
        }
        (None, _) => {
            let names = FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
            let keys = fields.keys().take(8).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let rule = format!("is like no file that is known: {names}; say whose it is by Facts::library");
            Err(Error::argument("the file", format!("one of the fields {keys}"), rule))
        }
    }
}
