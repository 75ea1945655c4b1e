//! A resume into something else on either side: each change alone and all together, by replays of a step that was captured before.

use instep::{
    AdamW, Clip, Dtype, LoadOptions, Loaded, LossScale, Momentum, OptimizerBuilder, ParamForm, Plateau, Precision,
    Schedule, Sgd, StateForm, Stream, Tensor,
};

use crate::forms::sides::{Group, Kind, Shape, Sides};
use crate::rig::Rig;
use crate::values::Random;

type Options = fn(OptimizerBuilder, u64) -> OptimizerBuilder;

/// What an optimizer is made of.
#[derive(Clone, Copy)]
struct Made {
    lr: fn() -> Schedule,
    beta2: f64,
    states: StateForm,
    param: ParamForm,
    /// Of the first group; fewer or more tensors follow from it.
    shapes: &'static [Shape],
    options: Options,
}

const SHAPES: [Shape; 3] = [(5, (1, 0)), (2_100, (0, 2)), (300, (0, 0))];
const MORE: [Shape; 5] = [(5, (1, 0)), (2_100, (0, 2)), (300, (0, 0)), (70, (0, 0)), (4_100, (0, 1))];
const STOP: u64 = 90;

fn nothing(builder: OptimizerBuilder, _: u64) -> OptimizerBuilder {
    builder
}

fn more(builder: OptimizerBuilder, _: u64) -> OptimizerBuilder {
    builder.clip(Clip::torch_norm(0.5)).loss_scale(LossScale::dynamic().init(8.0)).metric(Plateau::new().patience(1))
}

const FIRST: Made = Made {
    lr: || Schedule::cosine(0.1, 0.0).over(100),
    beta2: 0.999,
    states: StateForm::F32,
    param: ParamForm::Master,
    shapes: &SHAPES,
    options: nothing,
};

/// Two groups of f32 and one of bf16.
fn sides<'r>(rig: &'r Rig, made: Made) -> Sides<'r> {
    let kind = |dtype| Kind::new(dtype, dtype, Precision::new().param(made.param));
    type Add = Box<dyn Fn(OptimizerBuilder, Precision, &[Tensor]) -> OptimizerBuilder>;
    let states = made.states;
    let adam: Add = Box::new(move |builder, _, tensors| {
        let precision = Precision::new().states(states).quantize_from(256);
        builder.group_in(precision, AdamW::new((made.lr)()).beta2(made.beta2), tensors)
    });
    let sgd: Add =
        Box::new(|builder, _, tensors| builder.group(Sgd::new(0.05).momentum(Momentum::Heavy, 0.9), tensors));
    let halves: Add = Box::new(|builder, precision, tensors| builder.group_in(precision, AdamW::new(1e-3), tensors));
    let of_f32 = Kind::new(Dtype::F32, Dtype::F32, Precision::new());
    let groups: Vec<Group<Add>> = vec![
        (adam, of_f32.clone(), made.shapes.to_vec()),
        (sgd, of_f32, vec![(70, (0, 3))]),
        (halves, kind(Dtype::Bf16), vec![(261, (0, 0)), (9, (1, 1))]),
    ];
    Sides::new(rig, Random::units, &groups, made.options)
}

/// The run that is stopped, with its state.
fn stopped(rig: &Rig) -> (Sides<'_>, Vec<u8>) {
    let mut first = sides(rig, FIRST);
    for _ in 0..STOP {
        first.step();
        first.renew(None);
    }
    let states = [first.device.state(&rig.stream).unwrap(), first.host.state(&Stream::host()).unwrap()];
    assert!(states[0] == states[1], "both sides write one block");
    let [state, _] = states;
    (first, state)
}

/// Loads it on both sides, which tell the same.
fn load(rig: &Rig, into: &mut Sides<'_>, state: &[u8], options: LoadOptions) -> Loaded {
    let refused = [
        into.device.load_state(state, &rig.stream).unwrap_err(),
        into.host.load_state(state, &Stream::host()).unwrap_err(),
    ];
    assert_eq!(refused[0], refused[1]);
    let device = into.device.load_state_with(state, options, &rig.stream).unwrap_or_else(|error| panic!("{error}"));
    let host = into.host.load_state_with(state, options, &Stream::host()).unwrap();
    assert_eq!(device, host);
    let text = refused[0].to_string();
    assert!(device.changes().iter().all(|change| text.contains(&change.to_string())), "{text}\n\n{device}");
    device
}

/// The bytes of all states of the device's tensors that are stored as they were.
fn moments(rig: &Rig, sides: &Sides<'_>, of: &str) -> Vec<Vec<u8>> {
    let views = sides.device.tensors().filter(|view| view.name == of);
    let all = views.flat_map(|view| {
        let len = view.len as usize;
        view.states.into_iter().map(move |state| (state.address, 4 * len)).collect::<Vec<_>>()
    });
    all.map(|(address, len)| rig.read_bytes(address, len)).collect()
}

struct Case {
    made: Made,
    options: LoadOptions,
    /// How many changes are told.
    changes: usize,
}

fn cases() -> [Case; 7] {
    let lr = || Schedule::cosine(0.1, 0.0).over(190);
    let words = LoadOptions::new;
    let all = words().schedules().constants().metrics().clipping().loss_scale().tensors().precision().masters();
    [
        Case { made: Made { lr, ..FIRST }, options: words().schedules(), changes: 1 },
        Case {
            made: Made { lr: || Schedule::cosine(0.03, 0.0).over(100), ..FIRST },
            options: words().schedules(),
            changes: 1,
        },
        Case {
            made: Made { options: |builder, _| builder.clip(Clip::torch_norm(0.5)), ..FIRST },
            options: words().clipping(),
            changes: 1,
        },
        Case { made: Made { states: StateForm::EightBit, ..FIRST }, options: words().precision(), changes: 2 },
        Case {
            made: Made { shapes: &[(5, (1, 0)), (2_100, (0, 2))], ..FIRST },
            options: words().tensors(),
            changes: 1,
        },
        Case { made: Made { param: ParamForm::Remainder, ..FIRST }, options: words().masters(), changes: 1 },
        Case {
            made: Made {
                lr,
                beta2: 0.99,
                states: StateForm::EightBit,
                param: ParamForm::Remainder,
                shapes: &[(5, (1, 0)), (2_100, (0, 2))],
                options: more,
            },
            options: all,
            // Of tensors, schedule, beta2, clip, loss scale; of three groups' metric rules; of two states; of masters.
            changes: 5 + 3 + 2 + 1,
        },
    ]
}

#[test]
fn a_run_goes_on_as_something_else_by_replays_of_what_was_captured_before() {
    let Some(rig) = Rig::new() else { return };
    let (first, state) = stopped(&rig);
    for (i, Case { made, options, changes }) in cases().into_iter().enumerate() {
        let mut second = sides(&rig, made);
        for _ in 0..3 {
            second.step();
            second.renew(None);
        }
        let step = second.capture();
        if made.shapes.len() == SHAPES.len() {
            second.take_memory(&first);
        }
        let before = second.params.bytes();
        let loaded = load(&rig, &mut second, &state, options);
        assert_eq!((loaded.t(), loaded.changes().len()), (STOP, changes), "case {i}: {loaded}");
        assert!(second.params.bytes() == before, "case {i}: parameters are the engine's");
        for name in ["0.0", "1.0", "2.0"] {
            assert!(moments(&rig, &first, name) == moments(&rig, &second, name), "case {i}, {name}: as they were");
        }
        let states = [second.device.state(&rig.stream).unwrap(), second.host.state(&Stream::host()).unwrap()];
        assert!(states[0] == states[1], "case {i}: both sides have one state");
        let lr = (made.lr)().at(STOP).unwrap() as f32;
        assert_eq!(second.device.status(&rig.stream).unwrap().scalar(0, "lr"), Some(lr), "case {i}");
        for replay in 0..4 {
            second.replay(&step);
            second.assert_equal(&format!("case {i}, replay {replay}"));
            second.renew((i == 6 && replay == 1).then_some(f32::NAN));
        }
        let status = second.device.status(&rig.stream).unwrap();
        assert_eq!(status.t + status.skipped, STOP + 4, "case {i}");
        assert_eq!(status.clip_factor < 1.0, [2, 6].contains(&i), "case {i}: {status:?}");
        // And back, from what it has come to.
        let state = second.device.state(&rig.stream).unwrap();
        let mut third = sides(&rig, FIRST);
        if made.shapes.len() == SHAPES.len() {
            third.take_memory(&second);
            load(&rig, &mut third, &state, options);
            third.step();
            third.assert_equal(&format!("case {i}, back"));
        }
    }
}

/// A remainder and a master stand for one f32 value, so a run goes to and fro without another bit.
#[test]
fn a_run_that_goes_on_with_remainders_and_back_with_masters_is_the_run_that_was_not_stopped() {
    let Some(rig) = Rig::new() else { return };
    let (mut first, state) = stopped(&rig);
    let mut between = sides(&rig, Made { param: ParamForm::Remainder, ..FIRST });
    between.take_memory(&first);
    load(&rig, &mut between, &state, LoadOptions::new().masters());
    let mut second = sides(&rig, FIRST);
    second.take_memory(&first);
    let state = between.device.state(&rig.stream).unwrap();
    load(&rig, &mut second, &state, LoadOptions::new().masters());
    for call in 0..3 {
        first.step();
        second.step();
        second.assert_equal(&format!("call {call}"));
        assert!(first.params.bytes() == second.params.bytes(), "call {call}");
    }
}

#[test]
fn two_tensors_more_begin_while_all_else_goes_on() {
    let Some(rig) = Rig::new() else { return };
    let (first, state) = stopped(&rig);
    let [.., mut all] = cases();
    all.made.shapes = &MORE;
    let alone = Case { made: Made { shapes: &MORE, ..FIRST }, options: LoadOptions::new().tensors(), changes: 1 };
    for (i, Case { made, options, changes }) in [alone, all].into_iter().enumerate() {
        let mut second = sides(&rig, made);
        second.step();
        let step = second.capture();
        let loaded = load(&rig, &mut second, &state, options);
        assert_eq!((loaded.t(), loaded.changes().len()), (STOP, changes), "case {i}: {loaded}");
        assert!(moments(&rig, &first, "0.0") == moments(&rig, &second, "0.0"), "case {i}: as they were");
        let fresh = moments(&rig, &second, "0.3");
        assert!(fresh.iter().flatten().all(|byte| *byte == 0), "case {i}: new ones begin");
        for replay in 0..4 {
            second.replay(&step);
            second.assert_equal(&format!("case {i}, replay {replay}"));
            second.renew(None);
        }
    }
}
