//! Parameters for evaluation: shown and put back bit for bit in every form, with the host's bits, and no update meanwhile.

use instep::{
    Dtype, Ema, GroupRule, Lookahead, Momentum, NonFinite, Optimizer, OptimizerBuilder, ParamForm, Precision,
    ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSgd, Sgd, StateForm, Stream,
};

use crate::faults::{assert_caught, plant};
use crate::forms::sides::{Add, Group, Kind, Sides};
use crate::planted::Fault;
use crate::rig::{Pair, Rig};
use crate::values::Random;
use crate::while_loop::{self, WhileLoop};

const RULES: [Add; 5] = [
    |b, p, t| b.group_in(p, ScheduleFreeAdamW::new(1e-2).weight_decay(0.1), t),
    |b, p, t| b.group_in(p, ScheduleFreeSgd::new(0.1).momentum(0.7), t),
    |b, p, t| b.group_in(p, ScheduleFreeRAdam::new(1e-2).beta2(0.9).sgd_phase(true), t),
    |b, p, t| {
        let momentum = Sgd::new(0.1).momentum(Momentum::Heavy, 0.9);
        b.group_in(p, momentum.then(Lookahead::new(2.0, 0.5)).then(Ema::new(Ema::warmup(0.9)).eval()), t)
    },
    // It shows nothing else.
    |b, p, t| b.group_in(p, Sgd::new(0.1).then(Ema::new(0.5)), t),
];

fn kinds() -> [Kind; 6] {
    use Dtype::{Bf16, F16, F32};
    let of = |param, states| Precision::new().param(param).states(states);
    let second_moment = |p: Precision, form| p.state("exp_avg_sq", form);
    let eight = Precision::new().param(ParamForm::Master);
    [
        Kind::new(F32, F32, of(ParamForm::Master, StateForm::F32)),
        Kind::new(Bf16, Bf16, of(ParamForm::Master, StateForm::F32)),
        Kind::new(F16, F32, second_moment(eight, StateForm::EightBit)),
        Kind::new(Bf16, F32, of(ParamForm::Remainder, StateForm::Bf16)),
        Kind::new(Bf16, Bf16, of(ParamForm::Stochastic, StateForm::Bf16)),
        Kind::new(F16, F16, of(ParamForm::Nearest, StateForm::F32)),
    ]
}

/// Every rule in every form; 8-bit second moments with those that have one.
fn groups() -> Vec<Group> {
    let (mut groups, shapes): (Vec<Group>, _) =
        (Vec::new(), |i: usize| vec![(5, (i % 4, 0)), (257, (0, 0)), (2_100, (0, i % 4))]);
    for (i, kind) in kinds().into_iter().enumerate() {
        for (k, rule) in RULES.into_iter().enumerate().filter(|(k, _)| i != 2 || [0, 2].contains(k)) {
            groups.push((rule, kind.clone(), shapes(i + k)));
        }
    }
    groups
}

fn options(builder: OptimizerBuilder, _: u64) -> OptimizerBuilder {
    builder.non_finite(NonFinite::Skip)
}

fn shown(sides: &Sides<'_>, rig: &Rig) -> [bool; 2] {
    let status = sides.device.status(&rig.stream).unwrap();
    [status.shown, status.called_while_shown]
}

#[test]
fn parameters_for_evaluation_come_and_go_without_losing_a_bit() {
    let Some(rig) = Rig::new() else { return };
    let mut sides = Sides::new(&rig, Random::units, &groups(), options);
    // Before the first update both are one.
    let before = sides.params.bytes();
    sides.show(true);
    sides.assert_equal("shown before the first update");
    assert!(sides.params.bytes() == before, "averages begin with the parameters");
    sides.show(false);
    for round in 0..4 {
        for step in 0..=round {
            sides.renew((round == 2 && step == 1).then_some(f32::INFINITY));
            sides.step();
        }
        let before = sides.params.bytes();
        sides.show(true);
        sides.assert_equal(&format!("round {round}, shown"));
        assert!(sides.params.bytes() != before, "round {round}: others are shown");
        sides.show(true);
        sides.assert_equal(&format!("round {round}, shown once more"));
        sides.show(false);
        sides.show(false);
        sides.assert_equal(&format!("round {round}, put back"));
        assert!(sides.params.bytes() == before, "round {round}: bit for bit");
    }
    assert_eq!(shown(&sides, &rig), [false, false]);
}

#[test]
fn no_update_is_made_while_parameters_for_evaluation_are_shown() {
    let Some(rig) = Rig::new() else { return };
    let mut sides = Sides::new(&rig, Random::units, &groups(), options);
    sides.step();
    let step = sides.capture();
    sides.replay(&step);
    sides.show(true);
    let (params, t) = (sides.params.bytes(), sides.device.status(&rig.stream).unwrap().calls);
    assert_eq!(shown(&sides, &rig), [true, false]);
    sides.replay(&step);
    assert_eq!(shown(&sides, &rig), [true, true]);
    sides.device.edit().lower_flags().apply(&rig.stream).unwrap();
    sides.host.edit().lower_flags().apply(&Stream::host()).unwrap();
    sides.step();
    sides.device.parameters_changed(&rig.stream).unwrap();
    sides.host.parameters_changed(&Stream::host()).unwrap();
    sides.assert_equal("after steps that are none");
    assert!(sides.params.bytes() == params);
    assert_eq!(shown(&sides, &rig), [true, true]);
    assert_eq!(sides.device.status(&rig.stream).unwrap().calls, t);
    sides.show(false);
    for _ in 0..2 {
        sides.replay(&step);
        sides.assert_equal("replays go on");
    }
    assert_eq!(sides.device.status(&rig.stream).unwrap().calls, t + 2);
}

/// No end would come.
#[test]
fn a_loop_ends_at_once_while_parameters_for_evaluation_are_shown() {
    let Some(rig) = Rig::new() else { return };
    if let Some(why) = while_loop::unavailable() {
        return println!("skipped: {why}");
    }
    let pair = Pair::new(&rig, vec![1.0; 5], vec![1.0; 5], (0, 0));
    let rule = ScheduleFreeSgd::new(1e-3);
    let mut opt = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]).stop_at(10).build().unwrap();
    let condition = opt.stop_condition().unwrap();
    rig.finish();
    let body = |handle| {
        opt.step(&rig.stream)?;
        // SAFETY: captured into the graph of the handle; the condition outlives the graph.
        Ok(unsafe { condition.set(handle, &rig.stream) }?)
    };
    let whole = WhileLoop::capture(&rig.engine, |_| Ok(()), body).unwrap();
    opt.eval(&rig.stream).unwrap();
    whole.launch().unwrap();
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.stop, status.called_while_shown), (0, false, true));
    opt.train(&rig.stream).unwrap();
    whole.launch().unwrap();
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.stop), (10, true));
}

/// The block says what is shown, and has the parameters for training.
#[test]
fn a_state_of_the_moment_brings_the_parameters_for_training_back() {
    let Some(rig) = Rig::new() else { return };
    let (mut first, mut second) =
        (Sides::new(&rig, Random::units, &groups(), options), Sides::new(&rig, Random::units, &groups(), options));
    (0..3).for_each(|_| first.step());
    let training = first.params.bytes();
    first.show(true);
    let states = [first.device.state(&rig.stream).unwrap(), first.host.state(&Stream::host()).unwrap()];
    assert!(states[0] == states[1], "the states of both sides are one");
    second.step();
    second.take_memory(&first);
    second.device.load_state(&states[1], &rig.stream).unwrap();
    second.host.load_state(&states[0], &Stream::host()).unwrap();
    second.show(false);
    second.assert_equal("put back");
    assert!(second.params.bytes() == training);
    first.show(false);
    // What was put aside once is no part of it later.
    let states = [&first, &second].map(|sides| sides.host.state(&Stream::host()).unwrap());
    assert!(states[0] == states[1] && states[0] == second.device.state(&rig.stream).unwrap());
    first.step();
    second.step();
    second.assert_equal("the run goes on");
    assert!(first.params.bytes() == second.params.bytes());
}

#[test]
fn without_other_parameters_there_is_nothing_to_show() {
    let Some(rig) = Rig::new() else { return };
    let group: Group = (RULES[4], kinds()[0].clone(), vec![(8, (0, 0))]);
    let mut sides = Sides::new(&rig, Random::units, &[group], |builder, _| builder);
    let errors =
        [sides.device.eval(&rig.stream), sides.host.train(&Stream::host())].map(|e| e.unwrap_err().to_string());
    let rule = "but no rule of this optimizer has other parameters for evaluation";
    assert_eq!(errors, [format!("mode is eval, {rule}"), format!("mode is train, {rule}")]);
    let show: fn(&mut Optimizer, &Stream) -> instep::Result<()> = Optimizer::eval;
    assert!(show(&mut sides.host, &rig.stream).is_err());
}

const FAULTS: &[Fault] = &[
    ("nothing is put aside", "if constexpr (HAS_ASIDE<R, S>) x[R::STREAMS] = x[PARAM_AT];", ""),
    ("what was shown is put back", "if constexpr (HAS_ASIDE<R, S>) x[PARAM_AT] = x[R::STREAMS];", ""),
    (
        "averages begin with nothing",
        "    R::start(own, scalars);\n    x[PARAM_AT] = R::show",
        "    x[PARAM_AT] = R::show",
    ),
    (
        "a master is shown",
        "struct Storage<Shown<Master<Half>>> : Storage<Master<Half>> {",
        "struct Storage<Shown<Master<Half>>> : Storage<Master<Half>> {};\ntemplate <class Half>\nstruct Unused {",
    ),
    ("what is shown is shown again", "blockIdx.x != 0 && shown != step.choice", "blockIdx.x != 0"),
    ("nothing says what is shown", "store_relaxed(&own.control->shown, step.choice);", ""),
    ("an update is made meanwhile", "if (load_relaxed(&step.control->shown) == 0) return false;", "return false;"),
    ("nothing says that an update was to be made", "store_row(&step.control->called_while_shown, 1u);", ";"),
    ("a flag stays", "store_row(&control->called_while_shown, 0u);", ""),
    (
        "the wrong record is shown by",
        "scalars_of<R>(s, now, of)), step(s), t(now)",
        "scalars_of<R>(s, now + 1, of)), step(s), t(now)",
    ),
];

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    plant(rig.standin.expect("faults are planted on the stand-in"));
    let shapes = || vec![(5, (0, 0)), (2_100, (0, 1))];
    let [plain, master, .., nearest] = kinds();
    let groups: [Group; 3] = [
        (RULES[0], plain.clone(), shapes()),
        (RULES[1], master, shapes()),
        (|b, p, t| b.group_in(p, Sgd::new(0.1).then(Ema::new(Ema::warmup(0.9)).eval()), t), nearest, shapes()),
    ];
    let mut sides = Sides::new(&rig, Random::units, &groups, options);
    sides.show(true);
    sides.assert_equal("shown before the first update");
    sides.show(false);
    for round in 0..2 {
        sides.step();
        sides.step();
        sides.show(true);
        sides.assert_equal(&format!("round {round}, shown"));
        sides.show(true);
        sides.step();
        sides.assert_equal(&format!("round {round}, shown once more"));
        sides.device.edit().lower_flags().apply(&rig.stream).unwrap();
        sides.host.edit().lower_flags().apply(&Stream::host()).unwrap();
        sides.show(false);
        sides.assert_equal(&format!("round {round}, put back"));
    }
}

#[test]
fn every_planted_fault_of_what_is_shown_is_caught() {
    assert_caught("shown::scenario", FAULTS);
}
