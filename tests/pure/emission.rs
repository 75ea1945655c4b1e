//! The CUDA text that is generated for an optimizer: what it depends on, and what it is, in `tests/golden/emitted/`.
//! `INSTEP_BLESS=1` writes those files anew; read the difference before you keep it.

use std::path::Path;
use std::slice::from_ref;

use instep::{Adam, AdamW, Device, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Warmup, step};

use crate::owned::Pair;

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// The text for one plain SGD group a schedule, each as its learning rate.
fn emit_rates(rates: &[Schedule]) -> String {
    let pairs: Vec<Pair> = rates.iter().map(|_| Pair::small()).collect();
    let groups = rates.iter().zip(&pairs);
    groups.fold(builder(), |b, (lr, pair)| b.group(Sgd::new(lr.clone()), &[pair.tensor()])).emit().unwrap()
}

/// How many programs the text has.
fn programs(text: &str) -> usize {
    text.matches("double program_").count()
}

/// Compares `text` with the file `name`.
#[track_caller]
pub fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/emitted").join(name);
    if std::env::var("INSTEP_BLESS").is_ok_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = text.lines().zip(kept.lines()).enumerate();
    let first = lines.find(|(_, (ours, kept))| ours != kept);
    assert!(
        text == kept,
        "{} is out of date (INSTEP_BLESS=1 rewrites it); first difference: {first:?}; the text is now:\n{text}",
        path.display()
    );
}

/// Every form of the language, by name.
fn forms() -> Vec<(&'static str, Schedule)> {
    let ramp = || Schedule::linear(0.1, 0.3).over(7);
    vec![
        ("constant", Schedule::constant(0.25)),
        ("linear", ramp()),
        ("cosine", Schedule::cosine(0.3, 0.1).over(7)),
        ("cosine_power", Schedule::cosine_power(0.3, 0.1, 2.0, 1.5).over(7)),
        ("polynomial", Schedule::polynomial(0.3, 0.1, 2.0).over(7)),
        ("polynomial_k", Schedule::polynomial_k(0.3, 0.1, 2.0, 1.5).over(7)),
        ("one_minus_sqrt", Schedule::one_minus_sqrt(0.3, 0.1).over(7)),
        ("power_rise", Schedule::power_rise(0.1, 0.3, 3.0).over(7)),
        ("exponential", Schedule::exponential(0.3, 0.1).over(7)),
        ("tanh_ramp", Schedule::tanh_ramp(0.3, 0.1, -7.0, 3.0).over(7)),
        ("rex", Schedule::rex(0.3, 0.1, 0.5).over(7)),
        ("half_life", Schedule::half_life(0.3, 0.1).over(7)),
        ("log_rise", Schedule::log_rise(0.1, 0.3).over(7)),
        ("exponential_decay", Schedule::exponential_decay(0.3, 0.9)),
        ("step_decay", Schedule::step_decay(0.3, 0.9, 5)),
        ("multi_step", Schedule::multi_step(0.3, 0.1, [5, 17])),
        ("multi_step_fractions", Schedule::multi_step_fractions(0.3, 0.1, 60, [0.3, 0.6, 0.9])),
        ("inverse_sqrt", Schedule::inverse_sqrt(0.1, 10.0)),
        ("inverse_time", Schedule::inverse_time(0.1, 0.05)),
        ("power_law", Schedule::power_law(0.3, -0.5, 1.0)),
        ("piecewise_constant", Schedule::piecewise_constant([10, 20], [1.0, 0.5, 0.25])),
        ("piecewise_linear", Schedule::piecewise_linear([5, 20, 50], [0.1, 1.0, 0.2])),
        ("piecewise_cosine", Schedule::piecewise_cosine([5, 20, 50], [0.1, 1.0, 0.2])),
        ("over", Schedule::exponential_decay(0.3, 1.1).over(9)),
        ("then", ramp().then(Schedule::constant(0.3).over(5)).then(Schedule::cosine(0.3, 0.0).over(20))),
        ("join", Schedule::join([ramp(), Schedule::constant(0.1)], [4])),
        ("delay", ramp().delay(3)),
        ("every", ramp().every(4)),
        ("on_progress", ramp().on_progress()),
        ("warmup", Schedule::constant(0.3).warmup(5)),
        ("warmup from the first", Schedule::constant(0.3).warmup_as(Warmup::FromFirst, 5)),
        ("warmup between", Schedule::constant(0.3).warmup_as(Warmup::Between, 5)),
        ("warmup, zero twice", Schedule::constant(0.3).warmup_as(Warmup::ZeroTwice, 5)),
        ("clamp", ramp().clamp(0.15, 0.25)),
        ("repeat", ramp().repeat()),
        ("repeat_times", ramp().repeat_times(3)),
        ("product", ramp() * Schedule::step_decay(1.0, 0.5, 3)),
        ("arithmetic", ((step() + 1.0) / (100.0 - step().min(50.0))).max(0.0)),
        ("whole numbers", (step().floor_div(10.0) + step().modulo(7.0) + (step() * 0.3).floor()).max(0.0)),
        ("functions", (step() * 0.1).sin().abs() + (step() * 0.1).cos().pow_int(2) + (step() * 0.1).tanh().max(0.0)),
        ("powers", (step() + 1.0).pow(-0.5) + (step() + 1.0).ln().sqrt() + (-(step() * 0.01)).exp()),
        ("select", step().less(3.0).select(ramp(), 0.5)),
        ("comparisons", step().less_equal(3.0) * 0.5 + step().equal(7.0)),
    ]
}

#[test]
fn the_text_of_every_form_is_as_kept() {
    let texts = forms().into_iter().map(|(name, schedule)| {
        let text = emit_rates(&[schedule]);
        // The rate is the first program; the others are those of the other hyperparameters.
        let begin = text.find("__device__").expect("a program");
        let end = begin + text[begin..].find("\n}\n").expect("its end") + 3;
        format!("// {name}\n{}\n", &text[begin..end])
    });
    check("forms.cuh", &texts.collect::<String>());
}

#[test]
fn the_text_of_one_rule_with_one_schedule_is_as_kept() {
    let pair = Pair::small();
    let lr = Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800));
    check("adamw.cuh", &builder().group(AdamW::new(lr), &[pair.tensor()]).emit().unwrap());
}

#[test]
fn the_text_of_several_rules_is_as_kept() {
    let pairs: Vec<Pair> = (0..5).map(|_| Pair::small()).collect();
    let lr = || Schedule::cosine(0.1, 0.0).over(100);
    let text = builder()
        .group(AdamW::new(lr()).weight_decay(Schedule::linear(0.1, 0.2).over(50)), &[pairs[0].tensor()])
        .group(Adam::new(lr()).maximize(), &[pairs[1].tensor()])
        .group(Sgd::new(lr()), &[pairs[2].tensor()])
        .group(Sgd::new(lr()).momentum(Momentum::Heavy, 0.9).weight_decay(1e-4), &[pairs[3].tensor()])
        .group(Sgd::new(lr()).momentum(Momentum::Nesterov, 0.9).maximize(), &[pairs[4].tensor()]);
    check("several_rules.cuh", &text.emit().unwrap());
}

#[test]
fn equal_groups_give_equal_text() {
    for (name, schedule) in forms() {
        assert_eq!(emit_rates(from_ref(&schedule)), emit_rates(from_ref(&schedule)), "{name}");
    }
}

#[test]
fn constants_and_tensors_are_not_part_of_the_text() {
    let text = |peak: f64, steps: u64, eps: f64, len: usize| {
        let pairs = [Pair::new(&vec![1.0; len], &vec![1.0; len]), Pair::small()];
        let tensors: Vec<_> = pairs.iter().take(1 + len % 2).map(Pair::tensor).collect();
        let lr = Schedule::linear(0.0, peak).over(steps).then(Schedule::exponential_decay(peak, 1.0 / peak));
        builder().group(AdamW::new(lr).eps(eps), &tensors).emit().unwrap()
    };
    let first = text(2.0, 200, 1e-8, 1);
    assert_eq!(first, text(7.25, 1, 0.5, 10_000));
    assert!(!first.contains("1e-8") && !first.contains("200"), "{first}");
    assert_ne!(first, emit_rates(&[Schedule::constant(1.0)]));
}

#[test]
fn groups_that_differ_in_constants_alone_share_their_programs() {
    let rates: Vec<Schedule> = (1..=64u64).map(|i| Schedule::linear(0.0, i as f64).over(100 * i)).collect();
    let (one, all) = (emit_rates(&rates[..1]), emit_rates(&rates));
    // The rate, and the constants of the other hyperparameters.
    assert_eq!(programs(&one), 2, "{one}");
    assert_eq!(one, all);
}

#[test]
fn each_structure_is_a_program_of_its_own() {
    let (a, b) = (Schedule::linear(0.0, 1.0).over(5), Schedule::cosine(0.0, 1.0).over(5));
    assert_eq!(programs(&emit_rates(&[a.clone(), b.clone()])), 3);
    assert_eq!(programs(&emit_rates(&[a.clone(), b.clone(), a.clone(), b.clone(), a])), 3);
    let texts: Vec<String> =
        [b.clone().repeat(), b.clone().clamp(0.1, 0.2), b.over(3)].map(|s| emit_rates(&[s])).into();
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2]);
}

#[test]
fn emit_checks_what_build_checks() {
    assert!(builder().emit().is_err());
    let pair = Pair::small();
    assert!(builder().group(Sgd::new(-1.0), &[pair.tensor()]).emit().is_err());
}
