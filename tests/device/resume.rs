//! A run that is stopped anywhere and resumed from its state, on fresh memory, on the same side or on the other, gives the
//! bits of a run that was never stopped.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Clip, Device, Edit, Error, Greedy, KnobValue, LossScale, Momentum, NonFinite, Optimizer,
    OptimizerBuilder, Plateau, Schedule, Sgd, Status, Stream, Tensor, knob, knob_steps, reached,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

const LENGTHS: [usize; 8] = [1, 5, 0, 64, 2_049, 130, 4_100, 17];
const CALLS: u64 = 72;

/// Everything that a state has to hold is in use: several rules and groups, knobs, both clocks, both kinds of metric rules,
/// windows, clipping, a dynamic loss scale, skips that raise, accumulation, an end.
fn optimizer(builder: OptimizerBuilder, tensors: &[Tensor]) -> Optimizer {
    let wsd = || {
        let peak = || knob("peak_lr", 2e-2);
        Schedule::linear(0.0, peak())
            .over(knob_steps("warmup_steps", 5))
            .then(Schedule::constant(peak()).over(knob_steps("stable_steps", 1_000)))
            .then(Schedule::cosine(reached(), knob("end_lr", 1e-3)).over(knob_steps("cooldown_steps", 9)))
    };
    let cosine = Schedule::cosine(1e-2, 1e-3).over(15).warmup(3);
    let tokens = Schedule::linear(0.5, 0.01).over(900).on_progress();
    let greedy = Greedy::new().factor(0.7).patience(0).smooth(4).pauses(1, 0).bounds(0.05, 4.0);
    builder
        .group(
            AdamW::new(wsd()).weight_decay(knob("decay", 0.1)).metric(Plateau::new().factor(0.6).patience(3)),
            &tensors[..3],
        )
        .group(Sgd::new(cosine).momentum(Momentum::Heavy, 0.9).metric(greedy), &tensors[3..5])
        .group(AdamW::new(tokens).metric(greedy.smooth(3).factor(0.9)), &tensors[5..7])
        .group(Sgd::new(wsd()), &tensors[7..])
        .clip(Clip::torch_norm(0.25))
        .loss_scale(LossScale::dynamic().init(16.0).interval(3).limits(2.0, 64.0))
        .non_finite(NonFinite::SkipAndRaise(2))
        .accumulate(Accumulate::mean(3))
        .progress_increment(16)
        .stop_at(15)
        .build()
        .unwrap()
}

/// The edit after call `call`, if there is one.
fn edit(call: u64, edit: Edit<'_>) -> Option<Edit<'_>> {
    match call {
        10 => Some(edit.set("peak_lr", 3e-2).progress_increment(40)),
        29 => Some(edit.now("stable_steps")),
        40 => Some(edit.set("end_lr", 2e-3).set("decay", 0.05)),
        46 => Some(edit.set_steps("cooldown_steps", 6)),
        61 => Some(edit.set_steps("stable_steps", 2)),
        _ => None,
    }
}

/// Falls, stalls with noise, and falls again.
fn metric(call: u64) -> f64 {
    let noise = f64::from(Random(call * 31 + 7).unit());
    match call {
        0..20 => 3.0 - 0.1 * call as f64 + 0.05 * noise,
        20..50 => 1.0 + 0.3 * noise,
        _ => 0.5 - 0.01 * call as f64 + 0.2 * noise,
    }
}

/// What call `call` puts into one gradient, if that is not finite. Every third call updates.
fn bad(call: u64) -> Option<f32> {
    match call {
        14 | 50 | 53 => Some(f32::INFINITY),
        20 => Some(f32::NAN),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Device,
    Host,
}

/// An optimizer on one side.
struct Run<'r> {
    rig: &'r Rig,
    side: Side,
    pairs: Vec<Pair>,
    opt: Optimizer,
    host: Stream,
}

/// All that can be seen of a run.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    status: Status,
    knobs: Vec<(String, KnobValue)>,
    params: Vec<Vec<f32>>,
    states: Vec<Vec<f32>>,
}

impl<'r> Run<'r> {
    /// Memory and optimizer are new; tensors start `skew` elements further than in a run with 0.
    fn new(rig: &'r Rig, side: Side, params: &[Vec<f32>], skew: usize) -> Run<'r> {
        let skews = |i: usize| ((i + skew) % 4, (i / 2 + skew) % 4);
        let pair = |(i, param): (usize, &Vec<f32>)| Pair::new(rig, param.clone(), vec![0.0; param.len()], skews(i));
        let mut pairs: Vec<Pair> = params.iter().enumerate().map(pair).collect();
        let opt = match side {
            Side::Device => {
                let tensors: Vec<Tensor> = pairs.iter().map(Pair::device_tensor).collect();
                optimizer(Optimizer::builder(&rig.device), &tensors)
            }
            Side::Host => {
                let tensors: Vec<Tensor> = pairs.iter_mut().map(Pair::host_tensor).collect();
                optimizer(Optimizer::builder(&Device::host()), &tensors)
            }
        };
        Run { rig, side, pairs, opt, host: Stream::host() }
    }

    fn start(rig: &'r Rig, side: Side) -> Run<'r> {
        let mut random = Random(77);
        Run::new(rig, side, &LENGTHS.map(|len| random.units(len)), 0)
    }

    /// A new run that goes on from what this one is, on `side`.
    fn resumed(&self, side: Side, state: &[u8], skew: usize) -> Run<'r> {
        let mut run = Run::new(self.rig, side, &self.seen().params, skew);
        let stream = if side == Side::Host { &run.host } else { &self.rig.stream };
        run.opt.load_state(state, stream).unwrap();
        run
    }

    fn stream(&self) -> &Stream {
        if self.side == Side::Host { &self.host } else { &self.rig.stream }
    }

    fn state(&self) -> Vec<u8> {
        self.opt.state(self.stream()).unwrap()
    }

    fn gradients(&mut self, call: u64) {
        let mut random = Random(1_000 + call);
        for (i, pair) in self.pairs.iter_mut().enumerate() {
            let mut grad = random.units(pair.param.len);
            if let (Some(bad), 3) = (bad(call), i) {
                grad[60] = bad;
            }
            pair.set_grad(self.rig, &grad);
        }
    }

    /// Gradients, a metric and the step.
    fn step(&mut self, call: u64) {
        self.gradients(call);
        let stream = if self.side == Side::Host { &self.host } else { &self.rig.stream };
        // SAFETY: a value has no address.
        unsafe { self.opt.observe(metric(call), stream) }.unwrap();
        self.opt.step(stream).unwrap();
    }

    /// [`Run::step`], and the edit that follows it.
    fn call(&mut self, call: u64) {
        self.step(call);
        let stream = if self.side == Side::Host { &self.host } else { &self.rig.stream };
        if let Some(edit) = edit(call, self.opt.edit()) {
            edit.apply(stream).unwrap();
        }
    }

    fn seen(&self) -> Seen {
        let read = |address: u64, len: usize| match self.side {
            Side::Device => self.rig.read(address, len),
            Side::Host if len == 0 => Vec::new(),
            // SAFETY: the optimizer gave the address of as many live values, and no step runs.
            Side::Host => unsafe { std::slice::from_raw_parts(address as usize as *const f32, len) }.to_vec(),
        };
        let tensors = || self.opt.tensors();
        let states = tensors().flat_map(|t| t.states.into_iter().map(move |state| (state.address, t.len as usize)));
        Seen {
            status: self.opt.status(self.stream()).unwrap(),
            knobs: self.opt.knobs().map(|(name, value)| (name.to_owned(), value)).collect(),
            params: tensors().map(|t| read(t.param, t.len as usize)).collect(),
            states: states.map(|(address, len)| read(address, len)).collect(),
        }
    }
}

#[track_caller]
fn assert_same(ours: &Seen, theirs: &Seen, what: &str) {
    // As text, in which a NaN equals any NaN.
    let text = |seen: &Seen| format!("{:?} {:?}", seen.status, seen.knobs);
    assert_eq!(text(ours), text(theirs), "{what}");
    for (i, (a, b)) in ours.params.iter().zip(&theirs.params).enumerate() {
        assert_same_bits(a, b, &format!("{what}, parameter {i}"));
    }
    for (i, (a, b)) in ours.states.iter().zip(&theirs.states).enumerate() {
        assert_same_bits(a, b, &format!("{what}, optimizer state {i}"));
    }
}

/// Calls after which runs are stopped: at the start, amid an accumulation, amid a growth interval, between two skips in a
/// row, after each edit, and where `now` is in force.
const STOPS: [u64; 9] = [0, 2, 11, 15, 30, 37, 43, 52, 65];

#[test]
fn a_run_stopped_anywhere_and_resumed_on_either_side_gives_the_bits_of_one_that_was_not() {
    let Some(rig) = Rig::new() else { return };
    let (mut device, mut host) = (Run::start(&rig, Side::Device), Run::start(&rig, Side::Host));
    // What was never stopped is seen after every call; resumed runs go on beside it.
    let mut resumed: Vec<(String, Run<'_>)> = Vec::new();
    for call in 0..CALLS {
        if STOPS.contains(&call) {
            let states = [device.state(), host.state()];
            assert!(states[0] == states[1], "before call {call}, both sides write one block");
            for (from, state) in [(&device, &states[0]), (&host, &states[1])] {
                for to in [Side::Device, Side::Host] {
                    let run = from.resumed(to, state, 1 + call as usize % 3);
                    assert!(run.state() == *state, "what was loaded is what is read back");
                    assert_same(&run.seen(), &from.seen(), &format!("loaded before call {call}"));
                    resumed.push((format!("stopped before call {call}, {:?} to {to:?}", from.side), run));
                }
            }
        }
        device.call(call);
        host.call(call);
        let seen = host.seen();
        assert_same(&device.seen(), &seen, &format!("never stopped, call {call}"));
        for (what, run) in &mut resumed {
            run.call(call);
            if call % 5 == 0 || call + 1 == CALLS {
                assert_same(&run.seen(), &seen, &format!("{what}, after call {call}"));
            }
        }
    }
    let state = host.state();
    assert!(resumed.iter().all(|(_, run)| run.state() == state), "and so are their last blocks");

    let status = host.seen().status;
    assert_eq!((status.t, status.skipped), (CALLS / 3 - 4, 4), "{status:?}");
    assert!(status.raised && status.stop && status.clip_factor < 1.0, "{status:?}");
    // Without its metric rules the rates would be those of the schedules.
    assert_ne!(status.scalar(0, "lr"), status.scalar(3, "lr"), "plateau acted");
    assert_ne!(status.scalar(1, "lr"), Some(1e-3), "greedy acted");
}

#[test]
fn replays_of_a_captured_step_go_on_from_the_loaded_state() {
    let Some(rig) = Rig::new() else { return };
    let mut device = Run::start(&rig, Side::Device);
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    device.opt.step(&rig.stream).unwrap();
    let before_end = [device.opt.state(&rig.stream).unwrap_err(), device.opt.load_state(&[], &rig.stream).unwrap_err()];
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for error in before_end {
        assert!(matches!(&error, Error::Argument { argument, .. } if argument == "stream"), "{error}");
    }

    // Another run on the host, further than the device's; then the device goes back to where that was first.
    let mut host = Run::start(&rig, Side::Host);
    (0..31).for_each(|call| host.call(call));
    let (early, params) = (host.state(), host.seen().params);
    (31..49).for_each(|call| host.call(call));
    let late = host.seen();
    for round in 0..2 {
        for _ in 0..4 + round {
            graph.launch().unwrap(); // leads somewhere else
        }
        for (pair, param) in device.pairs.iter_mut().zip(&params) {
            pair.param.write(&rig, param);
        }
        device.opt.load_state(&early, &rig.stream).unwrap();
        for call in 31..49 {
            device.gradients(call);
            // SAFETY: a value has no address.
            unsafe { device.opt.observe(metric(call), &rig.stream) }.unwrap();
            graph.launch().unwrap();
            if let Some(edit) = edit(call, device.opt.edit()) {
                edit.apply(&rig.stream).unwrap();
            }
        }
        assert_same(&device.seen(), &late, &format!("round {round}"));
    }
}

#[test]
fn edits_after_a_resume_do_and_refuse_what_they_would_have() {
    let Some(rig) = Rig::new() else { return };
    let mut host = Run::start(&rig, Side::Host);
    (0..32).for_each(|call| host.call(call));
    let state = host.state();
    let mut runs = [host.resumed(Side::Device, &state, 0), host.resumed(Side::Host, &state, 2), host];
    type Change = fn(Edit<'_>) -> Edit<'_>;
    let changes: [(Change, Option<&str>); 7] = [
        (|edit| edit.set_steps("warmup_steps", 3), Some("\"stable_steps\" was set to now")),
        (|edit| edit.set("peak_lr", 0.5), None), // the cool-down keeps the value that it started from
        (|edit| edit.set("end_lr", -1.0), Some("must not be negative")),
        (|edit| edit.now("cooldown_steps"), Some("the length of no piece")),
        (|edit| edit.now("stable_steps"), None),
        (|edit| edit.set_steps("stable_steps", 12), None),
        (|edit| edit.set_steps("warmup_steps", 2), None),
    ];
    for (i, (change, refusal)) in changes.into_iter().enumerate() {
        let outcomes: Vec<Result<(), Error>> = runs
            .iter_mut()
            .map(|run| {
                let stream = if run.side == Side::Host { &run.host } else { &rig.stream };
                change(run.opt.edit()).apply(stream)
            })
            .collect();
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[2]), "change {i}: {outcomes:?}");
        match refusal {
            None => assert_eq!(outcomes[2], Ok(()), "change {i}"),
            Some(part) => {
                let text = outcomes[2].as_ref().unwrap_err().to_string();
                assert!(text.contains(part), "change {i}: {text}");
            }
        }
        for run in &mut runs {
            let from = 32 + 3 * i as u64;
            (from..from + 3).for_each(|call| run.step(call)); // one update
        }
        let [device, other, host] = runs.each_ref().map(Run::seen);
        assert_same(&device, &host, &format!("on the device, change {i}"));
        assert_same(&other, &host, &format!("on the host, change {i}"));
    }
}

#[test]
fn a_state_is_read_with_five_copies_and_one_wait_however_many_tensors() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: driver calls are counted on the stand-in") };
    let pairs: Vec<Pair> = (0..300).map(|i| Pair::new(&rig, vec![1.0; 3], vec![0.5; 3], (i % 4, i % 4))).collect();
    let tensors: Vec<Tensor> = pairs.iter().map(Pair::device_tensor).collect();
    let rule = AdamW::new(0.1).metric(Greedy::new().smooth(4));
    let mut opt = Optimizer::builder(&rig.device).group(rule, &tensors).build().unwrap();
    opt.step(&rig.stream).unwrap();
    standin.reset_calls();
    let state = opt.state(&rig.stream).unwrap();
    assert_eq!((standin.calls("cuMemcpyDtoHAsync_v2"), standin.calls("cuStreamSynchronize")), (5, 1));
    standin.reset_calls();
    opt.load_state(&state, &rig.stream).unwrap();
    let calls = ["cuMemcpyHtoDAsync_v2", "cuLaunchKernel", "cuStreamSynchronize"].map(|name| standin.calls(name));
    assert_eq!(calls, [6, 1, 1]);
    rig.finish();
}

#[test]
fn a_refused_block_changes_nothing_on_the_device() {
    let Some(rig) = Rig::new() else { return };
    let mut run = Run::start(&rig, Side::Device);
    (0..8).for_each(|call| run.call(call));
    let (before, seen) = (run.state(), run.seen());
    for at in [0, 8, 12, 400, before.len() / 2, before.len() - 1] {
        let mut damaged = before.clone();
        damaged[at] ^= 1;
        let error = run.opt.load_state(&damaged, &rig.stream).unwrap_err();
        assert!(matches!(&error, Error::Argument { argument, .. } if argument.starts_with("state")), "{error}");
        assert_same(&run.seen(), &seen, "after a refusal");
        assert!(run.state() == before);
    }
    let error = run.opt.load_state(&before, &Stream::host()).unwrap_err();
    assert!(matches!(&error, Error::Argument { argument, .. } if argument == "stream"), "{error}");
    assert!(matches!(run.opt.state(&Stream::host()), Err(Error::Argument { .. })));
}
