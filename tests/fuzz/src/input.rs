//! What is read, by whom, and with what facts. A line of JSON each where inputs are kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `instep::compat::Configuration::recipes`; the text is JSON.
    Scheduler,
    /// `instep::compat::OptimizerConfiguration::config`; the text is JSON.
    Optimizer,
    /// `instep::compat::read`, and what the command-line tool makes of it.
    File,
    /// `instep::Config::from_json`.
    Json,
    /// `instep::Config::from_toml`.
    Toml,
    /// The steps of the command-line tool's `--steps`.
    Steps,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Who reads it.
    pub target: Target,
    /// What is read.
    pub text: String,
    /// The fields of `instep::compat::Facts`, for a file.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

impl Input {
    /// Without facts.
    pub fn new(target: Target, text: impl Into<String>) -> Input {
        Input { target, text: text.into(), facts: Value::Null }
    }

    /// The line that stands for it.
    pub fn line(&self) -> String {
        // A struct of texts and of what was JSON before.
        serde_json::to_string(self).unwrap_or_default()
    }
}
