//! Rates at addresses of the engine's: the host's bits at every launch, eager and replayed, with skips; what a launch costs; what moves
//! them besides the clock, and what survives a resume.

use instep::{
    CapturedGraph, Device, NonFinite, Plateau, RateGroup, RateOutput, Rates, RatesBuilder, Schedule, Stream, Telemetry,
    knob,
};

use crate::faults::{assert_caught, plant};
use crate::planted::Fault;
use crate::rig::{Array, Rig};

/// Numbers on the device and on the host, and the flag of each: four f32 and two f64.
struct Places {
    device: Array,
    host: Box<[f64; 4]>,
    found: Array,
    host_found: Box<f32>,
}

const BYTES: usize = 32;

impl Places {
    fn new(rig: &Rig) -> Places {
        let (device, found) = (rig.array(&[f32::NAN; 8], 0), rig.array(&[0.0], 0));
        Places { device, host: Box::new([f64::NAN; 4]), found, host_found: Box::new(0.0) }
    }

    /// The same rates on both sides.
    fn build(&mut self, rig: &Rig, options: impl Fn(RatesBuilder) -> RatesBuilder) -> [Rates; 2] {
        let on_device = (self.device.address(), self.found.address(), &rig.device);
        let on_host = (self.host.as_mut_ptr() as u64, &raw mut *self.host_found as u64, &Device::host());
        [on_device, on_host].map(|(at, found, device)| {
            // SAFETY: the memory outlives the rates, and all work is on one stream.
            let builder = unsafe { Rates::builder(device).group(group(at)).found_inf(found) };
            options(builder).build().unwrap()
        })
    }

    fn set_found(&mut self, rig: &Rig, flag: f32) {
        self.found.write(rig, &[flag]);
        *self.host_found = flag;
    }

    fn assert_equal(&self, rig: &Rig, what: &str) {
        let host: &[u8] = bytemuck::cast_slice(&self.host[..]);
        assert_eq!(rig.read_bytes(self.device.address(), BYTES), host, "{what}");
    }
}

fn schedule() -> Schedule {
    Schedule::cosine(knob("peak", 3e-4), 3e-5).over(7_000).warmup(900)
}

/// What AdamW's kernels of others read: rate, kept part, bias corrections.
fn group(at: u64) -> RateGroup {
    let group = RateGroup::new(schedule())
        .name("all")
        .schedule("weight_decay", Schedule::linear(0.1, 0.0).over(5_000))
        .schedule("beta2", 0.999)
        .value("keep", |s| 1.0 - s.get("lr") * s.get("weight_decay"))
        .value("root", |s| 1.0 / s.get("beta2").bias_correction().sqrt())
        .value("all_together", |s| s.get("keep") * s.get("root") + s.updates() * 0.5);
    let writes = [
        ("lr", RateOutput::f32(at)),
        ("keep", RateOutput::f32(at + 4)),
        ("root", RateOutput::f32(at + 8)),
        ("lr", RateOutput::f32(at + 12)),
        ("root", RateOutput::f64(at + 16)),
        ("all_together", RateOutput::f64(at + 24)),
    ];
    // SAFETY: as for the builder.
    writes.into_iter().fold(group, |group, (name, output)| unsafe { group.write(name, output) })
}

/// A launch of the device's, captured.
fn captured(rig: &Rig, rates: &mut Rates) -> CapturedGraph {
    rig.finish();
    rates.capture(&rig.stream, Rates::step).unwrap()
}

#[test]
fn ten_thousand_replays_with_skips_have_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let mut places = Places::new(&rig);
    let [mut device, mut host] = places.build(&rig, |builder| builder);
    let graph = captured(&rig, &mut device);
    let (mut t, mut skipped) = (0, 0);
    for replay in 0..10_000u64 {
        let skips = replay % 37 == 5 || replay % 1_000 < 3;
        if skips != (*places.host_found != 0.0) {
            places.set_found(&rig, if skips { f32::NAN } else { 0.0 });
        }
        graph.launch(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
        places.assert_equal(&rig, &format!("replay {replay}"));
        // The formulas themselves, apart from the machinery that both sides share.
        let lr = schedule().at(t).unwrap();
        let written: &[f32] = bytemuck::cast_slice(&places.host[..]);
        assert_eq!([written[0], written[3]], [lr as f32; 2], "replay {replay}");
        let keep = 1.0 - lr * Schedule::linear(0.1, 0.0).over(5_000).at(t).unwrap();
        assert_eq!(written[1], keep as f32, "replay {replay}");
        let root = 1.0 / (1.0 - 0.999f64.powi(t as i32 + 1)).sqrt();
        approx::assert_relative_eq!(places.host[2], root, max_relative = 1e-11);
        assert_eq!(places.host[3], keep * places.host[2] + t as f64 * 0.5, "replay {replay}");
        if skips { skipped += 1 } else { t += 1 }
    }
    for (rates, stream) in [(&device, &rig.stream), (&host, &Stream::host())] {
        let status = rates.status(stream).unwrap();
        assert_eq!((status.t, status.skipped), (t, skipped));
    }
    rig.finish();
}

#[test]
fn a_launch_is_one_and_two_driver_calls_whatever_the_number_of_addresses() {
    let Some(rig) = Rig::new() else { return };
    for count in [1usize, 255, 256, 257, 10_000] {
        let mut array = rig.array(&vec![f32::NAN; count], 0);
        let lr = Schedule::linear(1.0, 2.0).over(4);
        let group = (0..count).fold(RateGroup::new(lr), |group, i| {
            // SAFETY: the array outlives the rates, and all work is on one stream.
            unsafe { group.write("lr", RateOutput::f32(array.address() + 4 * i as u64)) }
        });
        let mut rates = Rates::builder(&rig.device).group(group).build().unwrap();
        if let Some(standin) = rig.standin {
            standin.reset_calls();
        }
        rates.step(&rig.stream).unwrap();
        if let Some(standin) = rig.standin {
            let log = standin.call_log();
            assert_eq!(standin.calls("cuLaunchKernel"), 1, "{count} addresses: {log:?}");
            assert!(standin.total_calls() <= 2, "{count} addresses: {log:?}");
        }
        assert_eq!(array.read(&rig), vec![1.0; count], "{count} addresses");
        array.write(&rig, &vec![f32::NAN; count]);
        rates.step(&rig.stream).unwrap();
        assert_eq!(array.read(&rig), vec![1.25; count], "{count} addresses");
    }
    rig.finish();
}

#[test]
fn knobs_metrics_telemetry_and_a_resume_are_those_of_an_optimizer() {
    let Some(rig) = Rig::new() else { return };
    let mut places = Places::new(&rig);
    let options = |builder: RatesBuilder| {
        let plateau = Plateau::new().factor(0.5).patience(0);
        let ends = builder.metric(plateau).telemetry(Telemetry::ring(64)).stop_at(30);
        ends.non_finite(NonFinite::SkipAndRaise(5))
    };
    let [mut device, mut host] = places.build(&rig, options);
    let (on_device, on_host) = (&rig.stream, &Stream::host());
    let step = |places: &mut Places, device: &mut Rates, host: &mut Rates, what: &str| {
        device.step(on_device).unwrap();
        host.step(on_host).unwrap();
        places.assert_equal(&rig, what);
        places.host[0]
    };
    for call in 0..10 {
        places.set_found(&rig, if call == 4 { 1.0 } else { 0.0 });
        if call % 3 == 0 {
            // SAFETY: a value has no address.
            unsafe { device.observe(1.0, on_device) }.unwrap();
            // SAFETY: as above.
            unsafe { host.observe(1.0, on_host) }.unwrap();
        }
        if call == 7 {
            device.edit().set("peak", 1e-3).apply(on_device).unwrap();
            host.edit().set("peak", 1e-3).apply(on_host).unwrap();
        }
        step(&mut places, &mut device, &mut host, &format!("call {call}"));
    }
    let status = host.status(on_host).unwrap();
    assert_eq!((status.t, status.skipped), (9, 1));
    let records = [device.telemetry().unwrap().finish(on_device), host.telemetry().unwrap().finish(on_host)];
    let [of_device, of_host] = records.map(Result::unwrap);
    assert_eq!(of_device.len(), 10);
    for (one, other) in of_device.iter().zip(&of_host) {
        assert_eq!((one.t, one.applied, one.scalar(0, "lr")), (other.t, other.applied, other.scalar(0, "lr")));
    }

    // Each side goes on from the other's block; what was captured stays right.
    let blocks = [device.state(on_device).unwrap(), host.state(on_host).unwrap()];
    assert!(blocks[0] == blocks[1], "the states of both sides are one");
    let [mut device, mut host] = places.build(&rig, options);
    let graph = captured(&rig, &mut device);
    graph.launch(&rig.stream).unwrap();
    host.step(on_host).unwrap();
    device.load_state(&blocks[1], on_device).unwrap();
    host.load_state(&blocks[0], on_host).unwrap();
    for call in 10..31 {
        assert!(!host.stopped(), "call {call}");
        graph.launch(&rig.stream).unwrap();
        host.step(on_host).unwrap();
        places.assert_equal(&rig, &format!("call {call}"));
    }
    assert!(host.stopped() && device.stopped());
    rig.finish();
}

const FAULTS: &[Fault] = &[
    (
        "the half of another update is written",
        "(t & 1) * step.cohort_capacity * COHORT_MEMORY",
        "(~t & 1) * step.cohort_capacity * COHORT_MEMORY",
    ),
    ("what the update before left is written", "rules.cohort_memory + 2 * pair + 1", "rules.cohort_memory + 2 * pair"),
    (
        "blocks write the rows of the first",
        "i = place * THREADS + threadIdx.x;\n  if (i >= rules",
        "i = threadIdx.x;\n  if (i >= rules",
    ),
    ("an f64 is written as an f32", "if (output.wide)", "if (false)"),
    (
        "a block that writes takes no ticket",
        "if (threadIdx.x == 0) scratch.begin(step.control, call, tiles);\n    write_outputs",
        "write_outputs",
    ),
];

/// Skipped and applied updates, and more addresses than one block takes.
#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("faults are planted on the stand-in");
    plant(standin);
    for seed in 0..4 {
        standin.seed(seed);
        let mut places = Places::new(&rig);
        let [mut device, mut host] = places.build(&rig, |builder| builder);
        let array = rig.array(&[f32::NAN; 600], 0);
        let group = (0..600).fold(RateGroup::new(Schedule::linear(1.0, 2.0).over(8)), |group, i| {
            // SAFETY: the array outlives the rates, and all work is on one stream.
            unsafe { group.write("lr", RateOutput::f32(array.address() + 4 * i)) }
        });
        let mut many = Rates::builder(&rig.device).group(group).build().unwrap();
        for call in 0..6u8 {
            places.set_found(&rig, f32::from(call % 3 == 1));
            device.step(&rig.stream).unwrap();
            host.step(&Stream::host()).unwrap();
            many.step(&rig.stream).unwrap();
            places.assert_equal(&rig, &format!("call {call}"));
            assert_eq!(array.read(&rig), [1.0 + f32::from(call) / 8.0; 600], "call {call}");
        }
    }
}

#[test]
fn every_planted_fault_of_what_is_written_is_caught() {
    assert_caught("rates::scenario", FAULTS);
}
