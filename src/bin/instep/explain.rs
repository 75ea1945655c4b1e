//! `instep explain`: in words, what each hyperparameter does, what else is set, and what of another library's file was taken and left.

use instep::Config;
use instep::compat::Reading;
use serde_json::Value;

use crate::commands::Explain;
use crate::{Result, input};

pub fn run(options: &Explain) -> Result<String> {
    let reading = input::read(&options.file, &options.facts)?;
    let mut text = String::new();
    for (i, group) in reading.config.groups.iter().enumerate() {
        for (name, schedule) in group.hyperparameters() {
            let label = input::label(group, i, name);
            let explained = schedule.explain().map_err(|e| input::at(&options.file, format!("{label}: {e}")))?;
            text += &format!("{label}\n");
            explained.lines().for_each(|line| text += &format!("  {line}\n"));
        }
    }
    text += &settings(&reading.config)?;
    Ok(text + &source(&reading))
}

/// The rules of the groups, and all that is said beside the groups, as files say it.
fn settings(config: &Config) -> Result<String> {
    let fields: Value = serde_json::from_str(&config.to_json()?)?;
    let mut text = String::new();
    for (i, group) in config.groups.iter().enumerate() {
        for name in ["rule", "precision", "metric"] {
            if let Some(value) = fields["groups"][i].get(name) {
                text += &format!("{}\n  {value}\n", input::label(group, i, name));
            }
        }
    }
    let options = fields.as_object().into_iter().flatten().filter(|(name, _)| *name != "version" && *name != "groups");
    options.for_each(|(name, value)| text += &format!("{name}\n  {value}\n"));
    Ok(text)
}

/// What was taken from the file, and what was left; nothing of a file of our own, which is taken whole.
fn source(reading: &Reading) -> String {
    if reading.left.is_empty() && reading.format.ends_with("of instep") {
        return String::new();
    }
    let version = reading.version.map_or(String::new(), |version| format!(", as of {version}"));
    let mut text = format!("the file is {}{version}\n", reading.format);
    reading.clock.iter().for_each(|clock| text += &format!("  {clock}\n"));
    reading.took.iter().for_each(|what| text += &format!("  took {what}\n"));
    reading.left.iter().for_each(|what| text += &format!("  left {what}\n"));
    text
}
