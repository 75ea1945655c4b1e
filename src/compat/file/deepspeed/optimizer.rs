//! The section `optimizer`: which class the engine makes of a type, whose case does not count where it is DeepSpeed's own.

use serde_json::{Map, Value, json};

use super::super::super::nearest::unknown_name;
use super::super::super::optimizer::class_names;
use super::super::section::Section;
use super::auto::Auto;
use crate::error::Result;

/// A class with its arguments, as [`OptimizerConfiguration`](super::super::super::OptimizerConfiguration) has it.
pub(in super::super) struct Made {
    pub library: &'static str,
    pub api: String,
    pub params: Value,
}

/// What the engine makes of a type.
enum Makes {
    /// `FusedAdam`, or torch's class where `torch_adam` says so. Weight decay is decoupled unless `adam_w_mode` is false, which
    /// `AdamW` does not ask. With the state on the host it is `DeepSpeedCPUAdam`, whose rule is the same.
    Adam {
        always_decoupled: bool,
    },
    /// A class of DeepSpeed's.
    Own(&'static str),
    /// A class of torch's.
    Torch(&'static str),
    Nothing(&'static str),
}

const PARAMETERIZED: &str =
    "it scales rates by the width of each layer, which is not in the file; its groups can be made in code";
const COMPRESSED: &str =
    "it keeps the second moment and sends compressed momenta after its first updates; 0.19.8 has it no more";
const TYPES: &[(&str, Makes)] = &[
    ("Adam", Makes::Adam { always_decoupled: false }),
    ("AdamW", Makes::Adam { always_decoupled: true }),
    ("Adagrad", Makes::Torch("Adagrad")),
    ("Lamb", Makes::Nothing("its trust ratio is held between min_coeff and max_coeff")),
    ("Lion", Makes::Own("FusedLion")),
    ("OneBitAdam", Makes::Nothing(COMPRESSED)),
    ("ZeroOneAdam", Makes::Nothing(COMPRESSED)),
    ("OneBitLamb", Makes::Nothing(COMPRESSED)),
    ("MuAdam", Makes::Nothing(PARAMETERIZED)),
    ("MuAdamW", Makes::Nothing(PARAMETERIZED)),
    ("MuSGD", Makes::Nothing(PARAMETERIZED)),
    ("Muon", Makes::Nothing("code marks the matrices that it is for, and Muon is not there yet")),
];

impl Made {
    pub fn read(mut section: Section, auto: &Auto) -> Result<Made> {
        let name = section.text("type")?.ok_or_else(|| section.error("type", "missing", "must be given"))?;
        let arguments = match section.section("params")? {
            None => json!({}),
            Some(mut params) => {
                if let Some(norm) = params.peek("max_grad_norm") {
                    let rule = "is not an argument that DeepSpeed takes here: gradient_clipping, beside optimizer, is";
                    return Err(params.error("max_grad_norm", norm, rule));
                }
                auto.fill(&mut params, "lr", "learning_rate")?;
                auto.fill_betas(&mut params)?;
                auto.fill(&mut params, "eps", "adam_epsilon")?;
                auto.fill(&mut params, "weight_decay", "weight_decay")?;
                params.rest()?
            }
        };
        section.leave(&[(&["legacy_fusion"], "of how a kernel is launched")]);
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        let of_torch = class_names("torch");
        let made = |library, api: &str, arguments| Made { library, api: api.into(), params: Value::Object(arguments) };
        let made = match TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, Makes::Adam { always_decoupled })) => adam(*always_decoupled, arguments, &section)?,
            Some((_, Makes::Own(class))) => made("deepspeed", class, arguments),
            Some((_, Makes::Torch(class))) => made("torch", class, arguments),
            Some((_, Makes::Nothing(why))) => {
                return Err(section.error("type", &name, format!("is not there yet: {why}")));
            }
            None if of_torch.contains(&&*name) => made("torch", &name, arguments),
            None => {
                let mut known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
                known.extend(of_torch.iter().filter(|of_torch| !TYPES.iter().any(|(own, _)| own == *of_torch)));
                return Err(section.error(
                    "type",
                    &name,
                    unknown_name("an optimizer that DeepSpeed makes from a file", &name, &known),
                ));
            }
        };
        section.finish()?;
        Ok(made)
    }
}

fn adam(always_decoupled: bool, mut arguments: Map<String, Value>, section: &Section) -> Result<Made> {
    let mut flag = |name: &str, default: bool| match arguments.remove(name) {
        None => Ok(default),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(other) => Err(section.error(&format!("params.{name}"), other, "must be true or false")),
    };
    let decoupled = flag("adam_w_mode", true)? || always_decoupled;
    let of_torch = flag("torch_adam", false)?;
    // Of the type that states have on the host.
    flag("fp32_optimizer_states", true)?;
    Ok(match (of_torch, decoupled) {
        (true, true) => Made { library: "torch", api: "AdamW".into(), params: Value::Object(arguments) },
        (true, false) => Made { library: "torch", api: "Adam".into(), params: Value::Object(arguments) },
        (false, decoupled) => {
            arguments.insert("adam_w_mode".into(), decoupled.into());
            Made { library: "deepspeed", api: "FusedAdam".into(), params: Value::Object(arguments) }
        }
    })
}
