//! `instep emit`: the CUDA text of the groups' schedules and rules, as it would be given to NVRTC.

use instep::{Config, Device, RuleConfig, Tensor};

use crate::commands::{Emit, RuleName};
use crate::{Result, input};

pub fn run(options: &Emit) -> Result<String> {
    let mut config = input::read(&options.file, &options.facts)?.config;
    let rule = options.rule.unwrap_or_else(|| default_rule(&config));
    for group in config.groups.iter_mut().filter(|group| group.rule.is_none()) {
        group.rule = RuleConfig::named(match rule {
            RuleName::Adamw => "adamw",
            RuleName::Adam => "adam",
            RuleName::Sgd => "sgd",
        });
    }
    let no_tensors: Vec<&[Tensor]> = config.groups.iter().map(|_| &[][..]).collect();
    let text = config.builder(&Device::host(), &no_tensors).and_then(|builder| builder.emit());
    Ok(text.map_err(|e| input::at(&options.file, e))?)
}

fn default_rule(config: &Config) -> RuleName {
    let has_momentum = config.groups.iter().any(|group| group.get("momentum").is_some());
    if has_momentum { RuleName::Sgd } else { RuleName::Adamw }
}
