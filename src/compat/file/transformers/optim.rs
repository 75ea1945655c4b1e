//! Which optimizer each name of `OptimizerNames` is, with what arguments (`trainer_optimizer.py`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::super::nearest::unknown_name;
use super::super::Section;
use super::Made;
use crate::error::Result;

/// What the Trainer hands to each Adam.
pub(super) struct Adam {
    pub betas: [f64; 2],
    pub eps: f64,
}

enum Makes {
    /// torch's `AdamW`.
    AdamW,
    /// A class of torch's that takes these of `optim_args` as numbers, and these as flags.
    Torch {
        class: &'static str,
        numbers: &'static [&'static str],
        flag: Option<&'static str>,
    },
    /// A class of another library's that takes both betas and eps.
    Like {
        library: &'static str,
        class: &'static str,
    },
    /// `Lion`, which takes both betas alone.
    Lion {
        class: &'static str,
    },
    AdEMAMix {
        class: &'static str,
    },
    /// `has_betas`: whether it takes both betas and eps; `warms_up`: whether it takes `warmup_steps`.
    ScheduleFree {
        class: &'static str,
        has_betas: bool,
        warms_up: bool,
    },
    StableAdamW,
    Nothing(&'static str),
}

const BITSANDBYTES: &str = "bitsandbytes";
const NO_RULE: &str = "it has no rule here";
const PROJECTED: &str = "it projects the gradients of modules that are not in the file";
const ELSEWHERE: &str = "it is for another device; adamw_torch computes the same";

/// `paged` says where the state is kept.
const NAMES: &[(&str, Makes)] = &[
    ("adamw_torch", Makes::AdamW),
    ("adamw_torch_fused", Makes::AdamW),
    ("adamw_torch_xla", Makes::Nothing(ELSEWHERE)),
    ("adamw_torch_npu_fused", Makes::Nothing(ELSEWHERE)),
    ("adamw_apex_fused", Makes::Like { library: "apex", class: "FusedAdam" }),
    ("adamw_hf", Makes::Nothing("it adds eps before the bias is corrected; adamw_torch does so after")),
    ("adafactor", Makes::Nothing(NO_RULE)),
    ("adamw_anyprecision", Makes::Nothing(NO_RULE)),
    ("adamw_torch_4bit", Makes::Nothing("torchao's states of 4 bits are not there")),
    ("adamw_torch_8bit", Makes::Nothing("torchao's states of 8 bits are other ones than those there are")),
    ("sgd", Makes::Torch { class: "SGD", numbers: &["momentum", "dampening"], flag: Some("nesterov") }),
    ("adagrad", Makes::Torch { class: "Adagrad", numbers: &["lr_decay", "eps"], flag: None }),
    ("rmsprop", Makes::Torch { class: "RMSprop", numbers: &["momentum", "alpha", "eps"], flag: Some("centered") }),
    ("adamw_bnb_8bit", Makes::Like { library: BITSANDBYTES, class: "AdamW8bit" }),
    ("adamw_8bit", Makes::Like { library: BITSANDBYTES, class: "AdamW8bit" }),
    ("paged_adamw_8bit", Makes::Like { library: BITSANDBYTES, class: "AdamW8bit" }),
    ("paged_adamw_32bit", Makes::Like { library: BITSANDBYTES, class: "AdamW32bit" }),
    ("ademamix", Makes::AdEMAMix { class: "AdEMAMix32bit" }),
    ("paged_ademamix_32bit", Makes::AdEMAMix { class: "AdEMAMix32bit" }),
    ("ademamix_8bit", Makes::AdEMAMix { class: "AdEMAMix8bit" }),
    ("paged_ademamix_8bit", Makes::AdEMAMix { class: "AdEMAMix8bit" }),
    ("lion_32bit", Makes::Lion { class: "Lion32bit" }),
    ("paged_lion_32bit", Makes::Lion { class: "Lion32bit" }),
    ("lion_8bit", Makes::Lion { class: "Lion8bit" }),
    ("paged_lion_8bit", Makes::Lion { class: "Lion8bit" }),
    ("rmsprop_bnb", Makes::Nothing("bitsandbytes' RMSprop has no translation; rmsprop is torch's")),
    ("rmsprop_bnb_32bit", Makes::Nothing("bitsandbytes' RMSprop has no translation; rmsprop is torch's")),
    ("rmsprop_bnb_8bit", Makes::Nothing("bitsandbytes' RMSprop has no translation; rmsprop is torch's")),
    ("schedule_free_adamw", Makes::ScheduleFree { class: "AdamWScheduleFree", has_betas: true, warms_up: true }),
    ("schedule_free_radam", Makes::ScheduleFree { class: "RAdamScheduleFree", has_betas: true, warms_up: false }),
    ("schedule_free_sgd", Makes::ScheduleFree { class: "SGDScheduleFree", has_betas: false, warms_up: true }),
    ("stable_adamw", Makes::StableAdamW),
    ("galore_adamw", Makes::Nothing(PROJECTED)),
    ("galore_adamw_8bit", Makes::Nothing(PROJECTED)),
    ("galore_adafactor", Makes::Nothing(PROJECTED)),
    ("galore_adamw_layerwise", Makes::Nothing(PROJECTED)),
    ("galore_adamw_8bit_layerwise", Makes::Nothing(PROJECTED)),
    ("galore_adafactor_layerwise", Makes::Nothing(PROJECTED)),
    ("apollo_adamw", Makes::Nothing(PROJECTED)),
    ("apollo_adamw_layerwise", Makes::Nothing(PROJECTED)),
    ("lomo", Makes::Nothing("it updates in the backward pass")),
    ("adalomo", Makes::Nothing("it updates in the backward pass")),
    ("grokadamw", Makes::Nothing(NO_RULE)),
];

/// The optimizer that `optim` is, made with `lr`. The Trainer's groups have `weight_decay`, whatever the class is made with.
pub(super) fn read(file: &mut Section, lr: f64, weight_decay: f64, adam: &Adam, warmup_steps: f64) -> Result<Made> {
    let refused = |file: &Section, name: &str, value: &str, why: &str| {
        file.error(name, value, format!("is not there yet: {why}"))
    };
    if file.flag("adafactor")? == Some(true) {
        return Err(refused(file, "adafactor", "true", NO_RULE));
    }
    let word = file.text("optim")?.unwrap_or_else(|| "adamw_torch".into());
    // `OptimizerNames.ADAMW_TORCH`, as some tools write it out.
    let name = word.strip_prefix("OptimizerNames.").map_or_else(|| word.clone(), str::to_lowercase);
    let Some((_, makes)) = NAMES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
        return Err(file.error("optim", &word, unknown_name("the name of an optimizer", &word, &known)));
    };
    let mut args = OptimArgs::read(file)?;
    if args.take("weight_decay").is_some() {
        file.notes().left("optim_args.weight_decay: the groups that the Trainer makes have weight_decay");
    }
    let mut params = Map::from_iter([("lr".into(), json!(lr)), ("weight_decay".into(), json!(weight_decay))]);
    let mut set = |name: &str, value: Value| params.insert(name.into(), value);
    let (library, class) = match makes {
        Makes::Nothing(why) => return Err(refused(file, "optim", &word, why)),
        Makes::AdamW => {
            set("betas", json!(adam.betas));
            set("eps", json!(adam.eps));
            ("torch", "AdamW")
        }
        Makes::Like { library, class } => {
            set("betas", json!(adam.betas));
            set("eps", json!(adam.eps));
            (*library, *class)
        }
        Makes::Lion { class } => {
            set("betas", json!(adam.betas));
            (BITSANDBYTES, *class)
        }
        Makes::Torch { class, numbers, flag } => {
            for name in *numbers {
                if let Some(number) = args.number(file, name)? {
                    set(name, json!(number));
                }
            }
            if let Some((flag, said)) = flag.and_then(|flag| Some((flag, args.take(flag)?))) {
                set(flag, json!(["true", "1", "yes"].contains(&&*said.to_lowercase())));
            }
            ("torch", *class)
        }
        Makes::AdEMAMix { class } => {
            let [beta1, beta2] = adam.betas;
            let betas = [("beta1", beta1), ("beta2", beta2), ("beta3", 0.9999)];
            let mut read = |name: &'static str, default: f64| Ok(args.number(file, name)?.unwrap_or(default));
            let betas = betas.map(|(name, default)| read(name, default)).into_iter().collect::<Result<Vec<f64>>>()?;
            set("betas", json!(betas));
            set("alpha", json!(read("alpha", 5.0)?));
            set("eps", json!(read("eps", adam.eps)?));
            for name in ["t_alpha", "t_beta3"] {
                if let Some(steps) = args.number(file, name)? {
                    set(name, json!(steps as u64));
                }
            }
            (BITSANDBYTES, *class)
        }
        Makes::ScheduleFree { class, has_betas, warms_up } => {
            if *has_betas {
                set("betas", json!(adam.betas));
                set("eps", json!(adam.eps));
            }
            if *warms_up {
                set("warmup_steps", json!(warmup_steps));
            }
            set("weight_lr_power", json!(args.number(file, "weight_lr_power")?.unwrap_or(2.0)));
            set("r", json!(args.number(file, "r")?.unwrap_or(0.0)));
            ("schedulefree", *class)
        }
        Makes::StableAdamW => {
            set("betas", json!(adam.betas));
            set("eps", json!(adam.eps));
            // Whatever the word is that is given, it is true in Python.
            set("decouple_lr", json!(args.take("decouple_lr").is_some_and(|word| !word.is_empty())));
            if let Some(max_lr) = args.number(file, "max_lr")? {
                set("max_lr", json!(max_lr));
            }
            args.take("kahan_sum");
            ("torch-optimi", "StableAdamW")
        }
    };
    args.finish(file, &word)?;
    Ok(Made { library, api: class.into(), params: Value::Object(params) })
}

/// `optim_args`, written `name=value,name=value`.
struct OptimArgs {
    left: BTreeMap<String, String>,
    asked: Vec<&'static str>,
}

impl OptimArgs {
    fn read(file: &mut Section) -> Result<OptimArgs> {
        let text = file.text("optim_args")?.unwrap_or_default().replace(' ', "");
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, value)) if !value.contains('=') => Ok((name.to_owned(), value.to_owned())),
            _ => Err(file.error("optim_args", pair, "must be name=value, with commas between")),
        };
        let left = if text.is_empty() { Ok(BTreeMap::new()) } else { text.split(',').map(pair).collect() };
        Ok(OptimArgs { left: left?, asked: Vec::new() })
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.left.remove(name)
    }

    fn number(&mut self, file: &Section, name: &'static str) -> Result<Option<f64>> {
        let Some(word) = self.take(name) else { return Ok(None) };
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(file.error(&format!("optim_args.{name}"), word, "must be a number")),
        }
    }

    /// The Trainer passes over what it does not ask for; a slip of the pen would go unnoticed.
    fn finish(self, file: &Section, optim: &str) -> Result<()> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, value)) => {
                let asked = if self.asked.is_empty() { "none".into() } else { self.asked.join(", ") };
                let rule = format!("is not read for {optim}; there are {asked}");
                Err(file.error(&format!("optim_args.{name}"), value, rule))
            }
        }
    }
}
