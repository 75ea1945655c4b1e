//! `pytorch_optimizer`.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdEMAMix, Adopt, Lion, NovoGrad, StableAdamW, Yogi};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "Lion", lr: ("lr", Some(1e-4)), read: lion },
    Class { name: "StableAdamW", lr: LR, read: stableadamw },
    Class { name: "AdEMAMix", lr: LR, read: ademamix },
    Class { name: "ADOPT", lr: LR, read: adopt },
    Class { name: "Yogi", lr: ("lr", Some(1e-2)), read: yogi },
    Class { name: "NovoGrad", lr: LR, read: novograd },
];

const LR: (&str, Option<f64>) = ("lr", Some(1e-3));

/// The rate, the decay and the first two betas, and the options that all classes have. `decouple`: whether the decay is decoupled
/// if nothing is said.
struct Read {
    group: GroupConfig,
    decoupled: bool,
}

fn read(options: &mut Options, weight_decay: f64, decouple: bool) -> Result<Read> {
    options.off("fixed_decay", "a weight decay that does not follow the rate")?;
    let decoupled = options.flag("weight_decouple", decouple)?;
    let group = GroupConfig::new(options.lr()?).with("weight_decay", options.weight_decay(weight_decay)?);
    Ok(Read { group, decoupled })
}

fn with_betas(group: GroupConfig, options: &mut Options, default: [f64; 2]) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", default)?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)))
}

/// The rule with the direction and, where it is not decoupled, the coupled decay.
fn directed(options: &mut Options, rule: RuleConfig, decoupled: bool) -> Result<RuleConfig> {
    let rule = options.passed(rule, &["maximize"])?;
    Ok(if decoupled { rule } else { rule.with("coupled_weight_decay", true) })
}

fn lion(options: &mut Options) -> Result<GroupConfig> {
    let Read { group, decoupled } = read(options, 0.0, true)?;
    if !decoupled {
        return Err(options.error("weight_decouple", false, "Lion with coupled weight decay is not there yet"));
    }
    let rule = options.caution(RuleConfig::of::<Lion>(), "cautious", "count")?;
    Ok(with_betas(group, options, [0.9, 0.99])?.rule(directed(options, rule, true)?))
}

fn stableadamw(options: &mut Options) -> Result<GroupConfig> {
    options.value("kahan_sum");
    let Read { group, decoupled } = read(options, 1e-2, true)?;
    let group = with_betas(group, options, [0.9, 0.99])?.with("eps", options.number("eps", 1e-8)?);
    Ok(group.rule(directed(options, RuleConfig::of::<StableAdamW>(), decoupled)?))
}

/// The warm-ups are arguments here, and schedules in ours.
fn ademamix(options: &mut Options) -> Result<GroupConfig> {
    let Read { group, decoupled } = read(options, 0.0, false)?;
    let [beta1, beta2, beta3] = options.triple("betas", [0.9, 0.999, 0.9999])?;
    let (alpha, steps) = (options.number("alpha", 5.0)?, options.optional_number("t_alpha_beta3")?);
    let mut group = group
        .with("beta1", options.beta1(beta1))
        .with("beta2", options.beta2(beta2))
        .with("beta3", beta3)
        .with("alpha", alpha)
        .with("eps", options.number("eps", 1e-8)?);
    if let Some(steps) = steps {
        group.set("alpha", AdEMAMix::alpha_warmup(alpha, steps));
        group.set("beta3", AdEMAMix::beta3_warmup(beta1, beta3, steps));
    }
    Ok(group.rule(directed(options, RuleConfig::of::<AdEMAMix>(), decoupled)?))
}

fn adopt(options: &mut Options) -> Result<GroupConfig> {
    let Read { group, decoupled } = read(options, 0.0, false)?;
    let group = with_betas(group, options, [0.9, 0.9999])?.with("eps", options.number("eps", 1e-6)?);
    let rule = options.power("clip_lambda", RuleConfig::of::<Adopt>(), Some("present"))?;
    let rule = if decoupled { rule.with("decay_at_first", true) } else { rule };
    let rule = options.caution(rule, "cautious", "count")?;
    Ok(group.rule(directed(options, rule, decoupled)?))
}

fn yogi(options: &mut Options) -> Result<GroupConfig> {
    let Read { group, decoupled } = read(options, 0.0, true)?;
    let start = options.number("initial_accumulator", 1e-6)?;
    if start != 1e-6 {
        let rule = "a start of the moments other than 1e-6 is not there yet";
        return Err(options.error("initial_accumulator", start, rule));
    }
    let group = with_betas(group, options, [0.9, 0.999])?.with("eps", options.number("eps", 1e-3)?);
    Ok(group.rule(directed(options, RuleConfig::of::<Yogi>(), decoupled)?))
}

fn novograd(options: &mut Options) -> Result<GroupConfig> {
    let Read { group, decoupled } = read(options, 0.0, false)?;
    let group = with_betas(group, options, [0.95, 0.98])?.with("eps", options.number("eps", 1e-8)?);
    let rule = RuleConfig::of::<NovoGrad>().with("whole_first", true);
    let rule = options.passed(rule, &["grad_averaging", "maximize"])?;
    Ok(group.rule(if decoupled { rule.with("decoupled_weight_decay", true) } else { rule }))
}
