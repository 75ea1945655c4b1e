//! The command line: every command, argument and help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::steps::Selection;

/// Looks at learning-rate schedules: their values, their pictures, their CUDA text.
///
/// FILE is a configuration in JSON or TOML (by its ending):
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
    /// Looks for the driver, the GPU, NVRTC and the cache, and says what to do about what is missing (exit code 1).
    Doctor,
}

#[derive(Debug, Args)]
pub struct Trace {
    /// The configuration.
    pub file: PathBuf,
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
    /// The update rule of groups that name none. By default sgd if a group has a momentum, else adamw.
    #[arg(long, value_enum)]
    pub rule: Option<RuleName>,
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
}
