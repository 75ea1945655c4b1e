//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::graphs::Launch;
use crate::recipe::{Decline, Rule};
use crate::stored::{Form, Start};

pub const USAGE: &str = "\
usage: digits [--host] [--rule NAME] [--schedule NAME] [--steps N] [--precision NAME] [--seed N] [--launch WHAT]
              [--picture PATH] [--csv PATH]
  --host           train on the CPU even where there is a GPU
  --rule NAME      what updates the parameters: `adamw`, with a rate that was tuned (the default), or `prodigy`, which is
                   given none and finds it
  --schedule NAME  how the rate declines after the warm-up: `cosine`, over the steps that are left (the default), or
                   `plateau`, by a factor whenever the validation loss stalls
  --steps N        steps to train for, at least 1 (1320: 60 epochs)
  --precision NAME how parameters, gradients and states are stored: all in `f32` (the default); or parameters and gradients
                   in bf16, with an f32 `master` or a 16-bit `remainder` beside each parameter and f32 states, or all
                   bf16 and rounded `stochastic`ally, or with a master and states of `8bit`; or, for comparison, all bf16
                   and rounded to `nearest`, which loses small updates
  --seed N         of the first parameters and of stochastic rounding, below 2^32 (0)
  --launch WHAT    what one graph launch runs on a GPU: a `step`, the steps of an `epoch`, or the whole `training` (the
                   default, but a step where the driver or NVRTC knows no loops)
  --picture PATH   where the SVG of rate and losses goes (digits.svg in the target folder)
  --csv PATH       where every step's rate and losses go (nowhere)";

#[derive(Debug)]
pub struct Options {
    pub host: bool,
    pub rule: Rule,
    pub decline: Decline,
    pub steps: u64,
    pub start: Start,
    /// None: as much as this machine can.
    pub launch: Option<Launch>,
    pub picture: PathBuf,
    pub csv: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments, without the program's name. The error is for the user.
    pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let start = Start { form: Form::F32, seed: 0 };
        let mut options = Self {
            host: false,
            rule: Rule::AdamW,
            decline: Decline::Cosine,
            steps: 1320,
            start,
            launch: None,
            picture: default_picture(),
            csv: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{} needs a value", argument.display()));
            match argument.to_str() {
                Some("--host") => options.host = true,
                Some("--rule") => options.rule = rule(value()?)?,
                Some("--schedule") => options.decline = schedule(value()?)?,
                Some("--steps") => options.steps = steps(value()?)?,
                Some("--precision") => options.start.form = precision(value()?)?,
                Some("--seed") => options.start.seed = seed(value()?)?,
                Some("--launch") => options.launch = Some(launch(value()?)?),
                Some("--picture") => options.picture = value()?.into(),
                Some("--csv") => options.csv = Some(value()?.into()),
                _ => return Err(format!("{} is not an option", argument.display())),
            }
        }
        Ok(options)
    }
}

fn rule(value: OsString) -> Result<Rule, String> {
    match value.to_str() {
        Some("adamw") => Ok(Rule::AdamW),
        Some("prodigy") => Ok(Rule::Prodigy),
        _ => Err(format!("--rule is {}, but must be adamw or prodigy", value.display())),
    }
}

fn schedule(value: OsString) -> Result<Decline, String> {
    match value.to_str() {
        Some("cosine") => Ok(Decline::Cosine),
        Some("plateau") => Ok(Decline::Plateau),
        _ => Err(format!("--schedule is {}, but must be cosine or plateau", value.display())),
    }
}

fn steps(value: OsString) -> Result<u64, String> {
    let steps = value.to_str().and_then(|text| text.parse().ok());
    steps.filter(|&steps| steps >= 1).ok_or(format!("--steps is {}, but must be a number, at least 1", value.display()))
}

fn precision(value: OsString) -> Result<Form, String> {
    let form = Form::WORDS.iter().find(|(word, _)| value == *word).map(|(_, form)| *form);
    let words = Form::WORDS.map(|(word, _)| word).join(", ");
    form.ok_or(format!("--precision is {}, but must be one of {words}", value.display()))
}

fn seed(value: OsString) -> Result<u64, String> {
    let seed = value.to_str().and_then(|text| text.parse::<u32>().ok());
    seed.map(u64::from).ok_or(format!("--seed is {}, but must be a number below 2^32", value.display()))
}

fn launch(value: OsString) -> Result<Launch, String> {
    match value.to_str() {
        Some("step") => Ok(Launch::Step),
        Some("epoch") => Ok(Launch::Epoch),
        Some("training") => Ok(Launch::Training),
        _ => Err(format!("--launch is {}, but must be step, epoch or training", value.display())),
    }
}

/// `digits.svg` in cargo's target folder, of which this program lies in `<profile>/examples`.
fn default_picture() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| "digits.svg".into(), |target| target.join("digits.svg"))
}
