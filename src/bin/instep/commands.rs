//! The command line: every command, argument and help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use instep::compat;
use serde_json::Value;

use crate::compile::{Kinds, kinds};
use crate::steps::Selection;

/// Looks at learning-rate schedules: their values, their pictures, their CUDA text.
///
/// FILE is a configuration in JSON, TOML or YAML:
///
///   {"version": 1, "groups": [{"lr": {"warmup": {"steps": 200, "cosine": {"from": 3e-4, "to": 0, "over": 1800}}}}]}
///
/// or another library's scheduler in JSON:
///
///   {"library": "torch", "api": "StepLR", "params": {"step_size": 30},
///    "optimizer": {"class": "SGD", "args": {"lr": 0.1}, "groups": [{}]}}
///
/// or another library's optimizer, with `groups`:
///
///   {"library": "torch", "api": "AdamW", "params": {"lr": 1e-3}, "groups": [{}], "schedule": {"class": "StepLR", "step_size": 30}}
///
/// or a file of another library as it is published: DeepSpeed's ds_config.json, transformers' TrainingArguments, Megatron-LM's command
/// line, Composer's, torchtitan's or timm's arguments, and others: the page docs/compat.md has all.
///
/// Wrong input is a message with the place and the rule, and exit code 2.
#[derive(Debug, Parser)]
#[command(name = "instep", version, verbatim_doc_comment)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints every hyperparameter of every group at chosen steps.
    Trace(Trace),
    /// Draws schedules over each other, in the terminal or as a picture.
    Plot(Plot),
    /// Prints the CUDA text that is generated for the groups.
    Emit(Emit),
    /// Says in words what happens from which step to which, with the values at every boundary.
    Explain(Explain),
    /// Compiles the kernels of configurations ahead, into a pack for machines without NVRTC. Needs NVRTC, and no GPU.
    Compile(Compile),
    /// Looks for the driver, the GPU, NVRTC and the cache, and says what to do about what is missing (exit code 1).
    Doctor,
}

/// What another library's file leaves to whoever starts the run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What another library's file does not say")]
pub struct Facts {
    /// Whose file it is, where its fields do not show it, e.g. `deepspeed`.
    #[arg(long)]
    library: Option<String>,
    /// Updates in the whole run.
    #[arg(long, value_name = "N")]
    total_steps: Option<u64>,
    /// Updates in an epoch.
    #[arg(long, value_name = "N")]
    steps_per_epoch: Option<u64>,
    /// Samples in an update, over all devices and accumulated calls.
    #[arg(long, value_name = "N")]
    samples_per_step: Option<u64>,
    /// Tokens in an update, over all devices and accumulated calls.
    #[arg(long, value_name = "N")]
    tokens_per_step: Option<u64>,
    /// What stands in place of an "auto": the field's name or path, and its value.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    values: Vec<(String, Value)>,
}

impl Facts {
    pub fn known(&self) -> compat::Facts {
        compat::Facts {
            library: self.library.clone(),
            steps: self.total_steps,
            steps_per_epoch: self.steps_per_epoch,
            samples_per_step: self.samples_per_step,
            tokens_per_step: self.tokens_per_step,
            values: self.values.iter().cloned().collect(),
        }
    }
}

/// A value is JSON, or else a text.
fn assignment(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

#[derive(Debug, Args)]
pub struct Trace {
    /// The configuration.
    pub file: PathBuf,
    #[command(flatten)]
    pub facts: Facts,
    /// Steps and ranges, separated by commas: `0,10,100..200,0..2000:50` (a range is without its end; the stride follows
    /// the colon). By default 101 steps from the first to the end.
    #[arg(long)]
    pub steps: Option<Selection>,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Table::Csv)]
    pub format: Table,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// A line per step.
    Csv,
    /// One object: `steps`, and an array for each hyperparameter.
    Json,
}

#[derive(Debug, Args)]
pub struct Plot {
    /// The configurations, drawn over each other.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub facts: Facts,
    /// The picture to write, a .svg or a .png; without it, the terminal is drawn on.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The hyperparameter to draw.
    #[arg(long, default_value = "lr")]
    pub of: String,
    /// The last step to draw; by default a little past the longest schedule's end.
    #[arg(long)]
    pub until: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Emit {
    /// The configuration.
    pub file: PathBuf,
    #[command(flatten)]
    pub facts: Facts,
    /// The update rule of groups that name none. By default sgd if a group has a momentum, else adamw.
    #[arg(long, value_enum)]
    pub rule: Option<RuleName>,
    /// Prints the schedules alone, as a CUDA header for kernels of one's own.
    #[arg(long, conflicts_with = "rule")]
    pub header: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuleName {
    Adamw,
    Adam,
    Sgd,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The configuration.
    pub file: PathBuf,
    #[command(flatten)]
    pub facts: Facts,
}

#[derive(Debug, Args)]
pub struct Compile {
    /// The configurations.
    #[arg(required_unless_present = "list")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub facts: Facts,
    /// Architectures, separated by commas: sm_90 is machine code for 9.0 and later minor versions, compute_90 is PTX for 9.0
    /// and all that is later.
    #[arg(long, value_delimiter = ',', required_unless_present = "list")]
    pub arch: Vec<String>,
    /// The pack to write.
    #[arg(short, long, value_name = "PACK", default_value = "kernels.pack")]
    pub out: PathBuf,
    /// The update rule of groups that name none. By default sgd if a group has a momentum, else adamw.
    #[arg(long, value_enum)]
    pub rule: Option<RuleName>,
    /// The types of parameters and gradients, `bf16/f32`, or `f32` for both; by default f32. Several, separated by commas, are in one group
    /// together; a semicolon begins the next group, and without one they hold for all groups. `bf16/f32:4096` are tensors of that many
    /// elements, which matters where states become 8-bit codes: by default some are large enough for that and some not. Given again,
    /// kernels of that are in the pack too.
    #[arg(long, value_name = "KINDS", value_parser = kinds)]
    pub tensors: Vec<Kinds>,
    /// What the engine hands in before each step, separated by commas.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub hands_in: Vec<HandedIn>,
    /// Groups that follow a flag of the engine's, counted from 0, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "GROUPS")]
    pub follow: Vec<usize>,
    /// Some tensors scale the rates of their groups.
    #[arg(long)]
    pub scales: bool,
    /// Says what a pack holds, instead.
    #[arg(long, value_name = "PACK", conflicts_with_all = ["files", "arch", "tensors", "hands_in", "follow", "scales"])]
    pub list: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum HandedIn {
    FoundInf,
    InvScale,
    NormSquare,
}
