//! Builder, configuration, text, configuration, builder: the ends are the same.

use crate::backend::Device;
use crate::config::Config;
use crate::gradient::{Accumulate, Clip, LossScale, NonFinite, Norm};
use crate::kernels::Unit;
use crate::optim::{Adam, AdamW, Momentum, Parity, Sgd};
use crate::optimizer::{Observed, Optimizer, OptimizerBuilder};
use crate::plan::{Plan, Purpose, Tensor};
use crate::precision::{ParamForm, Precision, StateForm};
use crate::rule::{
    Element, Hyperparameter, Of, Over, Range, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Tape, TapeRule, Terms,
};
use crate::schedule::{Better, Greedy, Improvement, Plateau, Schedule, knob};
use crate::telemetry::Telemetry;

crate::rule::scalars! { OwnScalars { lr } }

/// A rule of one's own that states all that can be stated.
#[derive(Debug, Clone)]
struct Own {
    lr: Schedule,
}

impl Rule for Own {
    const NAME: &'static str = "anchored";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 2];
    type Scalars<T> = OwnScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        let share = Hyperparameter::new("share", &0.5.into(), Range::BelowOne).default(0.25);
        [Hyperparameter::new("lr", &self.lr, Range::NotNegative), share]
    }
    fn streams(&self) -> [Stream; 2] {
        [Stream::new("anchor").starts(Start::Param).read_only(), Stream::new("mean").starts(Start::Value(0.5)).exact()]
    }
    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("square", Over::All)]
    }
    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("farthest", Of::Group, 0.125)]
    }
    fn resolve<W: Scalar>(&self, [lr, share]: [W; 2], step: &mut Step<'_, W>) -> OwnScalars<W::Element> {
        let farthest = step.remembered(0).max(step.sum(0) / step.len(0));
        step.remember(0, farthest);
        OwnScalars { lr: (lr * share / farthest).round() }
    }
    fn measure<E: Element>(&self, _: &OwnScalars<E>, p: E, _: E, [anchor, _]: [E; 2], terms: &mut Terms<E>) {
        terms.add_product(0, p - anchor, p - anchor);
    }
    fn apply<E: Element>(&self, s: &OwnScalars<E>, p: E, g: E, [anchor, mean]: [E; 2]) -> (E, [E; 2]) {
        let mean = mean + E::literal(0.1) * (g - mean);
        ((-s.lr).fma(mean, p), [anchor, mean])
    }
}

/// Every rule in every form, and builders that together are told everything.
fn builders() -> Vec<OptimizerBuilder> {
    let empty = || Optimizer::builder(&Device::host());
    let sgd = || empty().group(Sgd::new(0.1), &[]);
    let lr = || Schedule::cosine(knob("peak_lr", 3e-4), 3e-5).over(1_800).warmup(200);
    let plateau = || Plateau::new().factor(0.5).improvement(Improvement::relative(Better::Higher, 0.01));
    let dynamic = LossScale::dynamic().init(8.0).growth(4.0).backoff(0.25).interval(7).limits(0.5, 64.0).hysteresis(3);
    vec![
        empty()
            .group(AdamW::new(lr()).weight_decay(0.1).beta1(0.8).beta2(0.95).eps(1e-6), &[])
            .group(AdamW::new(0.1).maximize().metric(plateau()), &[])
            .group(Adam::new(0.1).weight_decay(knob("weight_decay", 0.0)).maximize(), &[])
            .group(Adam::new(0.1).metric(Greedy::new().smooth(3)), &[])
            .group(AdamW::new(0.1).weight_decay(0.0), &[])
            .group(Sgd::new(0.1).weight_decay(0.01).metric(plateau()), &[])
            .group(Sgd::new(0.1).maximize(), &[])
            .group(Sgd::new(0.1).momentum(Momentum::None, 0.0), &[])
            .group(Sgd::new(0.1).momentum(Momentum::Heavy, Schedule::linear(0.8, 0.9).over(9)).dampening(0.5), &[])
            .group(Sgd::new(lr()).momentum(Momentum::Nesterov, 0.9).maximize(), &[]),
        empty()
            .group(AdamW::new(0.1).parity(Parity::TorchForLoop).maximize(), &[])
            .group(Adam::new(0.1).parity(Parity::TorchFused), &[])
            .group(Sgd::new(0.1).parity(Parity::TorchFused).momentum(Momentum::Nesterov, 0.9), &[])
            .group(Own { lr: lr() }, &[])
            .group(TapeRule::new(Tape::of(&Own { lr: 0.1.into() }).unwrap()).set("lr", 0.2).metric(plateau()), &[]),
        sgd().clip(Clip::torch_norm(1.0)).norm(Norm::Two),
        sgd().clip(Clip::torch_norm(1.0).by(Norm::Two)).non_finite(NonFinite::Propagate),
        sgd().clip(Clip::optax_norm(0.1).by(Norm::Max)).non_finite(NonFinite::Skip),
        sgd().clip(Clip::value(0.3)).norm(Norm::One).non_finite(NonFinite::SkipAndRaise(5)),
        sgd().loss_scale(LossScale::fixed(128.0)).accumulate(Accumulate::sum(3)).zero_gradients(),
        sgd().loss_scale(LossScale::dynamic()).accumulate(Accumulate::mean(4)),
        sgd().loss_scale(dynamic),
        sgd().loss_scale(dynamic.consecutive_hysteresis().stop_at_min()),
        sgd().metric(plateau()).stop_on_plateau().stop_at(99).stop_below(1e-7).progress_increment(256).check_order(),
        observing(sgd().metric(Greedy::new().reset_after(2))),
        sgd().telemetry(Telemetry::ring(9)),
        sgd()
            .precision(Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16).quantize_from(7))
            .group_in(Precision::new().param(ParamForm::Remainder), Sgd::new(0.1), &[])
            .group_in(Precision::new().state("exp_avg", StateForm::EightBit), AdamW::new(0.1), &[])
            .seed(42),
        sgd().group(Sgd::new(0.2), &[]).telemetry(Telemetry::ring(9).groups([1]).mapped()),
    ]
}

/// As `observe_every(3, …)` has it, whose address is no part of a configuration.
fn observing(mut builder: OptimizerBuilder) -> OptimizerBuilder {
    (builder.features.observe_every, builder.observed) = (Some(3), Some(Observed::f32(64)));
    builder
}

/// What a builder comes to: its text, its numbers, and what no kernel sees.
fn outcome(builder: OptimizerBuilder) -> String {
    let (telemetry, check_order) = (builder.features.telemetry.clone(), builder.check_order);
    let plan = builder.plan(Purpose::Text).unwrap();
    let text = Unit::new(&plan).generated().to_owned();
    let Plan { settings, gradients, features, increment, metrics, constants, seed, .. } = plan;
    let of_plan = format!("{settings:?} {gradients:?} {features:?} {increment} {metrics:?} {constants:?} {seed}");
    format!("{of_plan} {telemetry:?} {check_order}\n{text}")
}

#[test]
fn a_builder_a_configuration_and_its_texts_say_the_same() {
    for (case, builder) in builders().into_iter().enumerate() {
        let config = builder.config().unwrap_or_else(|e| panic!("{case}: {e}"));
        let outcome_of_builder = outcome(builder);
        let texts = [config.to_json().unwrap(), config.to_toml().unwrap()];
        let read = [Config::from_json(&texts[0]), Config::from_toml(&texts[1])];
        for (read, text) in read.into_iter().zip(&texts) {
            let read = read.unwrap_or_else(|e| panic!("{case}: {e} in {text}"));
            assert_eq!(read, config, "{case}: {text}");
            let none: Vec<&[Tensor]> = vec![&[]; read.groups.len()];
            let again = read.builder(&Device::host(), &none).unwrap_or_else(|e| panic!("{case}: {e} in {text}"));
            assert_eq!(again.config().unwrap(), config, "{case}: {text}");
            assert_eq!(outcome(again), outcome_of_builder, "{case}: {text}");
        }
    }
}

#[test]
fn a_group_that_breaks_a_rule_has_no_configuration() {
    let builder =
        Optimizer::builder(&Device::host()).group(Sgd::new(0.1), &[]).group(Sgd::new(0.1).dampening(0.5), &[]);
    let error = builder.config().unwrap_err().to_string();
    assert!(error.starts_with("groups[1].dampening is set, but must not be set with the form none"), "{error}");
}
