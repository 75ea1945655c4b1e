//! Keras' optimizers, as of 3.15.1 (`keras/src/optimizers/{base_optimizer,adam,sgd,…}.py`).
//!
//! Every class decays the parameter itself, by the rate times `weight_decay`, before its update, and may clip and average. Where a
//! formula is that of a rule here but for the place of `epsilon`, the rule's own is chosen so that both are the same; where it is not,
//! the class is refused. What acts on a whole optimizer, loss scaling and accumulation, is for whoever reads a file.

use super::schedulefree::warmed_up;
use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::{Error, Result};
use crate::gradient::Clip;
use crate::optim::{Adadelta, Adagrad, AdamW, Ema, Lamb, Lars, Lion, NAdam, RmsProp, ScheduleFreeAdamW, Sgd};
use crate::schedule::{Schedule, step};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "SGD", lr: ("learning_rate", Some(0.01)), read: sgd },
    Class { name: "Adam", lr: LR, read: |options| adam(options, Some(0.0)) },
    Class { name: "AdamW", lr: LR, read: |options| adam(options, None) },
    Class { name: "RMSprop", lr: LR, read: rmsprop },
    Class { name: "Adagrad", lr: LR, read: adagrad },
    Class { name: "Adadelta", lr: LR, read: adadelta },
    Class { name: "Nadam", lr: LR, read: nadam },
    Class { name: "Lion", lr: LR, read: lion },
    Class { name: "Lamb", lr: LR, read: lamb },
    Class { name: "ScheduleFreeAdamW", lr: ("learning_rate", Some(0.0025)), read: schedule_free },
    Class {
        name: "Adamax",
        lr: LR,
        read: |_| refused("Adamax", "adds epsilon to the maximum, and the rule adamax puts it inside"),
    },
    Class { name: "Ftrl", lr: LR, read: |_| refused("Ftrl", "has no rule here") },
    Class { name: "Adafactor", lr: LR, read: |_| refused("Adafactor", "has no rule here") },
    Class { name: "Muon", lr: LR, read: |_| refused("Muon", "has no rule here") },
    Class {
        name: "MultiOptimizer",
        lr: LR,
        read: |_| refused("MultiOptimizer", "is several optimizers: read each by itself"),
    },
];

const LR: (&str, Option<f64>) = ("learning_rate", Some(1e-3));

/// What a class is by default that Keras has one of.
const EPSILON: f64 = 1e-7;

fn refused(class: &str, why: &str) -> Result<GroupConfig> {
    Err(Error::argument("api", class, why))
}

/// Why a rule takes no weight decay.
const NO_DECAY: &str = "a decay apart from the gradient is not there for this rule: leave it null";

/// How a rule takes the weight decay that all classes have.
enum Decays {
    /// As Keras does.
    Apart,
    /// Not at all: the rule has no such decay, for which this is said.
    Never(&'static str),
}

/// The group with what every class has: the rate, the decay, clipping, and the average of the parameters.
fn group(options: &mut Options, rule: RuleConfig, weight_decay: f64, decays: Decays) -> Result<GroupConfig> {
    options.ignore("name");
    options.ignore("jit_compile");
    options.ignore("is_legacy_optimizer");
    options.number_where(
        "decay",
        |decay| decay == 0.0,
        "Keras 3 ignores it: InverseTimeDecay is a learning_rate that does it",
    )?;
    let mut group = GroupConfig::new(options.lr()?);
    match decays {
        Decays::Apart => group.set("weight_decay", options.weight_decay(weight_decay)?),
        Decays::Never(why) => {
            options.number_where("weight_decay", |decay| decay == 0.0, why)?;
        }
    }
    clip(options)?;
    for (name, what) in [
        ("loss_scale_factor", "a scale of the loss is for the whole optimizer: say it as scaler"),
        ("gradient_accumulation_steps", "accumulation is for the whole optimizer: say it of a file, or to the builder"),
    ] {
        options.number_where(name, |_| false, what)?;
    }
    Ok(match average(options)? {
        None => group.rule(rule),
        Some(decay) => group.with("ema_decay", decay).rule(rule.then(RuleConfig::of::<Ema>())),
    })
}

/// `global_clipnorm` is optax's rule; one of 0 or below clips nothing.
fn clip(options: &mut Options) -> Result<()> {
    const NAMES: [&str; 3] = ["clipnorm", "global_clipnorm", "clipvalue"];
    let given: Vec<&str> = NAMES.into_iter().filter(|name| options.peek(name).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let value = options.peek(second).cloned().unwrap_or_default();
        return Err(options.error(second, value, format!("must be null beside {first}: Keras takes one of them")));
    }
    let rule = "clips each variable by its own norm, which is not there; global_clipnorm is by that of all";
    options.number_where("clipnorm", |norm| norm <= 0.0, rule)?;
    let by_norm = options.optional_number("global_clipnorm")?.filter(|norm| *norm > 0.0).map(Clip::optax_norm);
    let by_value = options.optional_number("clipvalue")?.filter(|limit| *limit > 0.0).map(Clip::value);
    options.clip = by_norm.or(by_value);
    Ok(())
}

/// The decay of the average of the parameters; None without `use_ema`. The average after the first update is the parameter.
fn average(options: &mut Options) -> Result<Option<Schedule>> {
    let momentum = options.number("ema_momentum", 0.99)?;
    let overwrites = options.optional_number("ema_overwrite_frequency")?;
    if !options.flag("use_ema", false)? {
        return Ok(None);
    }
    match overwrites {
        Some(frequency) if frequency != 0.0 => {
            let rule = "parameters that are overwritten by their average are not there yet: null keeps both";
            Err(options.error("ema_overwrite_frequency", frequency, rule))
        }
        _ => Ok(Some(step().less(1.0).select(0.0, momentum))),
    }
}

/// The rate is in the momentum buffer. Where it is constant that is ours; where it moves, LARS without a weight decay, which scales
/// nothing, is the rule that can keep it there.
fn sgd(options: &mut Options) -> Result<GroupConfig> {
    let (momentum, nesterov) = (options.number("momentum", 0.0)?, options.flag("nesterov", false)?);
    let rule = RuleConfig::of::<Sgd>().with("decoupled_weight_decay", true);
    if momentum == 0.0 {
        return group(options, rule, 0.0, Decays::Apart);
    }
    if options.rate_moves() {
        let rule = RuleConfig::of::<Lars>().with("lr_in_momentum", true);
        let rule = if nesterov { rule.with("nesterov", true) } else { rule };
        let why = "a decay beside a momentum that holds a moving rate is not there yet: leave one of them out";
        return Ok(group(options, rule, 0.0, Decays::Never(why))?.with("momentum", momentum));
    }
    let rule = rule.with("momentum", if nesterov { "nesterov" } else { "heavy" });
    Ok(group(options, rule, 0.0, Decays::Apart)?.with("momentum", momentum))
}

/// Keras adds `epsilon` to the root of a second moment that is not corrected: ours is corrected, and `epsilon` with it.
fn adam(options: &mut Options, weight_decay: Option<f64>) -> Result<GroupConfig> {
    let (beta1, beta2) = (options.number("beta_1", 0.9)?, options.number("beta_2", 0.999)?);
    let epsilon = options.number("epsilon", EPSILON)?;
    let rule = options.passed(RuleConfig::of::<AdamW>(), &["amsgrad"])?;
    if weight_decay.is_none() && options.names_null("weight_decay") {
        return Err(options.error("weight_decay", "null", "must be a number: Keras raises"));
    }
    let group = group(options, rule, weight_decay.unwrap_or(0.004), Decays::Apart)?;
    let correction = if beta2 > 0.0 && beta2 < 1.0 {
        (1.0 - Schedule::constant(beta2).pow(step() + 1.0)).sqrt()
    } else {
        1.0.into()
    };
    Ok(group.with("beta1", beta1).with("beta2", beta2).with("eps", epsilon / correction))
}

/// `epsilon` is in the root, and the rate in the momentum.
fn rmsprop(options: &mut Options) -> Result<GroupConfig> {
    let (rho, momentum) = (options.number("rho", 0.9)?, options.number("momentum", 0.0)?);
    let epsilon = options.number("epsilon", EPSILON)?;
    let mut rule = RuleConfig::of::<RmsProp>().with("eps_in_root", true).with("decoupled_weight_decay", true);
    if momentum > 0.0 {
        rule = rule.with("lr_in_momentum", true);
    }
    let rule = options.passed(rule, &["centered"])?;
    let group = group(options, rule, 0.0, Decays::Apart)?.with("alpha", rho).with("eps", epsilon);
    Ok(if momentum > 0.0 { group.with("momentum", momentum) } else { group })
}

/// `epsilon` is in the root, where it is as if the sum had started from so much more. What our rule adds to the root then must be
/// above 0, and is far below its spacing.
fn adagrad(options: &mut Options) -> Result<GroupConfig> {
    let start = options.number("initial_accumulator_value", 0.1)?;
    let epsilon = options.number("epsilon", EPSILON)?;
    if !(epsilon > 0.0 && start >= 0.0) {
        let rule = "must be above 0, and initial_accumulator_value not negative";
        return Err(options.error("epsilon", epsilon, rule));
    }
    let group = group(options, RuleConfig::of::<Adagrad>(), 0.0, Decays::Never(NO_DECAY))?;
    Ok(group.with("initial_accumulator_value", start + epsilon).with("eps", f64::from(f32::MIN_POSITIVE)))
}

fn adadelta(options: &mut Options) -> Result<GroupConfig> {
    let (rho, epsilon) = (options.number("rho", 0.95)?, options.number("epsilon", EPSILON)?);
    Ok(group(options, RuleConfig::of::<Adadelta>(), 0.0, Decays::Never(NO_DECAY))?
        .with("rho", rho)
        .with("eps", epsilon))
}

/// Its momentum grows as torch's does with a `momentum_decay` of 1.
fn nadam(options: &mut Options) -> Result<GroupConfig> {
    let (beta1, beta2) = (options.number("beta_1", 0.9)?, options.number("beta_2", 0.999)?);
    let epsilon = options.number("epsilon", EPSILON)?;
    let rule = RuleConfig::of::<NAdam>().with("decoupled_weight_decay", true);
    let group = group(options, rule, 0.0, Decays::Apart)?.with("beta1", beta1).with("beta2", beta2);
    Ok(group.with("eps", epsilon).with("momentum_decay", 1.0))
}

fn lion(options: &mut Options) -> Result<GroupConfig> {
    let (beta1, beta2) = (options.number("beta_1", 0.9)?, options.number("beta_2", 0.99)?);
    if beta1 <= 0.0 {
        return Err(options.error("beta_1", beta1, "must be above 0: Keras raises"));
    }
    Ok(group(options, RuleConfig::of::<Lion>(), 0.0, Decays::Apart)?.with("beta1", beta1).with("beta2", beta2))
}

/// The norm is that of the parameter after its decay.
fn lamb(options: &mut Options) -> Result<GroupConfig> {
    let (beta1, beta2) = (options.number("beta_1", 0.9)?, options.number("beta_2", 0.999)?);
    let epsilon = options.number("epsilon", EPSILON)?;
    let rule = RuleConfig::of::<Lamb>().with("decoupled_weight_decay", true).with("always_adapt", true);
    let group = group(options, rule, 0.0, Decays::Apart)?;
    Ok(group.with("beta1", beta1).with("beta2", beta2).with("eps", epsilon))
}

/// The average weighs all steps alike. A decay would move it where the peer finds it again from the parameter.
fn schedule_free(options: &mut Options) -> Result<GroupConfig> {
    let (beta1, beta2) = (options.number("beta_1", 0.9)?, options.number("beta_2", 0.999)?);
    let (epsilon, warmup) = (options.number("epsilon", 1e-8)?, options.number("warmup_steps", 0.0)?);
    let mut group = group(options, RuleConfig::of::<ScheduleFreeAdamW>(), 0.0, Decays::Never(NO_DECAY))?;
    let lr = warmed_up(group.lr().clone(), warmup);
    group.set("lr", lr);
    let group = group.with("weight_decay", 0.0).with("weight_power", 0.0).with("weight_lr_power", 0.0);
    Ok(group.with("beta1", beta1).with("beta2", beta2).with("eps", epsilon))
}
