//! What `{:?}` shows: what a user said, and neither addresses nor tables.

use instep::{
    AdamW, Clip, Device, Ema, GroupRule, LossScale, Momentum, NonFinite, Optimizer, OptimizerBuilder, Plateau,
    Precision, Schedule, Sgd, StateForm, Stream, Telemetry, knob, knob_steps,
};

use crate::owned::Pair;

fn groups(pairs: &[Pair; 3]) -> OptimizerBuilder {
    let lr = Schedule::cosine(knob("peak_lr", 3e-4), 3e-5).over(knob_steps("total", 1_800)).warmup(200);
    let [a, b, c] = [0, 1, 2].map(|i| pairs[i].tensor().name(["a", "b", "c"][i]));
    Optimizer::builder(&Device::host()).group(AdamW::new(lr).amsgrad(true), &[a, b]).group_in(
        Precision::new().states(StateForm::Bf16),
        Sgd::new(0.05).momentum(Momentum::Nesterov, 0.9).metric(Plateau::new()).then(Ema::new(0.999)),
        &[c],
    )
}

fn expect(shown: impl std::fmt::Debug, expected: &str) {
    let shown = format!("{shown:#?}");
    assert_eq!(shown, expected, "\n{shown}");
    assert!(!shown.contains("0x"), "{shown}");
}

#[test]
fn an_optimizer_shows_what_was_said() {
    let pairs = [Pair::small(), Pair::small(), Pair::small()];
    let mut opt = groups(&pairs).build().unwrap();
    opt.step(&Stream::host()).unwrap();
    opt.edit().set("peak_lr", 0.001).apply(&Stream::host()).unwrap();
    expect(
        &opt,
        r#"Optimizer {
    device: host,
    updates: 1,
    groups: [
        adamw with amsgrad = true: 2 tensors, 8 elements; lr linear warm-up from 0 over 200 steps, then half a cosine from peak_lr to 3e-5 over total steps, weight_decay 0.01, beta1 0.9, beta2 0.999, eps 1e-8,
        sgd with momentum = "nesterov", then ema: 1 tensor, 4 elements; lr 0.05, weight_decay 0, momentum 0.9, dampening 0, ema_decay 0.999; metric plateau; precision states bf16,
    ],
    knobs: [
        "peak_lr" 0.001,
        "total" 1800 steps,
    ],
}"#,
    );
    expect(
        groups(&pairs),
        r#"OptimizerBuilder {
    device: host,
    groups: [
        adamw with amsgrad = true: 2 tensors, 8 elements; lr linear warm-up from 0 over 200 steps, then half a cosine from peak_lr to 3e-5 over total steps, weight_decay 0.01, beta1 0.9, beta2 0.999, eps 1e-8,
        sgd with momentum = "nesterov", then ema: 1 tensor, 4 elements; lr 0.05, weight_decay 0, momentum 0.9, dampening 0, ema_decay 0.999; metric plateau; precision states bf16,
    ],
}"#,
    );
}

#[test]
fn options_that_are_not_the_defaults_are_shown() {
    let pairs = [Pair::small(), Pair::small(), Pair::small()];
    let builder = groups(&pairs)
        .clip(Clip::torch_norm(1.0))
        .loss_scale(LossScale::dynamic())
        .non_finite(NonFinite::SkipAndRaise(3))
        .metric(Plateau::new())
        .stop_at(900)
        .telemetry(Telemetry::ring(64))
        .seed(7);
    expect(
        builder.build().unwrap(),
        r#"Optimizer {
    device: host,
    updates: 0,
    groups: [
        adamw with amsgrad = true: 2 tensors, 8 elements; lr linear warm-up from 0 over 200 steps, then half a cosine from peak_lr to 3e-5 over total steps, weight_decay 0.01, beta1 0.9, beta2 0.999, eps 1e-8,
        sgd with momentum = "nesterov", then ema: 1 tensor, 4 elements; lr 0.05, weight_decay 0, momentum 0.9, dampening 0, ema_decay 0.999; metric plateau; precision states bf16,
    ],
    knobs: [
        "peak_lr" 0.0003,
        "total" 1800 steps,
    ],
    clip: torch's by the 2-norm above 1,
    loss_scale: dynamic,
    non_finite: skipped, with a flag after 3 in a row,
    stop_at: 900,
    metric: plateau,
    telemetry: a ring of 64 records,
    seed: 7,
}"#,
    );
    let builder = groups(&pairs).stop_at(0);
    expect(
        builder,
        r#"OptimizerBuilder {
    device: host,
    groups: [
        adamw with amsgrad = true: 2 tensors, 8 elements; lr linear warm-up from 0 over 200 steps, then half a cosine from peak_lr to 3e-5 over total steps, weight_decay 0.01, beta1 0.9, beta2 0.999, eps 1e-8,
        sgd with momentum = "nesterov", then ema: 1 tensor, 4 elements; lr 0.05, weight_decay 0, momentum 0.9, dampening 0, ema_decay 0.999; metric plateau; precision states bf16,
    ],
    refused: stop_at is 0, but must be at least 1,
}"#,
    );
}

#[test]
fn many_groups_and_tensors_fit_on_a_screen() {
    let pairs: Vec<Pair> = (0..40).map(|_| Pair::small()).collect();
    let builder = pairs.iter().fold(Optimizer::builder(&Device::host()), |builder, pair| {
        builder.group(Sgd::new(Schedule::multi_step(0.1, 0.5, (1..=500).collect::<Vec<u64>>())), &[pair.tensor()])
    });
    let shown = format!("{:#?}", builder.build().unwrap());
    assert!(shown.lines().count() < 20 && shown.lines().all(|line| line.chars().count() < 250), "{shown}");
    assert!(shown.contains("and 28 more groups"), "{shown}");
}

#[test]
fn an_edit_shows_what_is_asked_for() {
    let pairs = [Pair::small(), Pair::small(), Pair::small()];
    let mut opt = groups(&pairs).build().unwrap();
    let edit = opt.edit().set("peak_lr", 0.001).set_steps("total", 900).progress_increment(2);
    expect(
        &edit,
        r#"Edit {
    set: [
        "peak_lr" 0.001,
        "total" 900 steps,
    ],
    progress_increment: 2,
}"#,
    );
    expect(Stream::host(), "Stream(host)");
    expect(
        pairs[0].tensor().name("a"),
        r#"Tensor {
    name: "a",
    elements: 4,
    param: f32,
    grad: f32,
}"#,
    );
}
