//! The ring of telemetry: every call is recorded once, as the CPU backend records it, and read without waiting.

use instep::{
    Accumulate, AdamW, Clip, Device, DoWG, LossScale, Momentum, NAdam, NonFinite, Optimizer, OptimizerBuilder, Plateau,
    Prodigy, Schedule, Sgd, Stream, Telemetry, TelemetryReader, TelemetryRecord, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::twins::Twins;
use crate::values::Random;
use crate::zero_wait::assert_polls;

fn groups(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    let lr = Schedule::linear(0.0, 1e-2).over(5).then(Schedule::cosine(1e-2, 1e-4).over(20));
    builder
        .group(AdamW::new(lr.clone()).weight_decay(0.1).metric(Plateau::new().factor(0.5).patience(0)), &tensors[..1])
        .group(Sgd::new(lr * 0.5).momentum(Momentum::Heavy, 0.9), &tensors[1..])
}

fn two_groups<'r>(rig: &'r Rig, telemetry: &Telemetry) -> Twins<'r> {
    Twins::new(rig, &[70, 8], |builder, tensors| groups(builder, tensors).telemetry(telemetry.clone()))
}

/// A record without its columns, to be compared across optimizers.
fn bits(record: &TelemetryRecord) -> (u64, u64, [bool; 2], [u32; 2], u64, Vec<u32>) {
    let values = record.values().iter().map(|value| value.to_bits()).collect();
    let factors = [record.loss_scale.to_bits(), record.clip_factor.to_bits()];
    (record.t, record.skipped, [record.applied, record.raised], factors, record.norm.to_bits(), values)
}

/// Polls both until nothing more comes.
fn finish(rig: &Rig, device: &mut TelemetryReader, host: &mut TelemetryReader) -> Vec<TelemetryRecord> {
    let records = device.finish(&rig.stream).unwrap();
    let expected = host.finish(&Stream::host()).unwrap();
    assert_eq!(records.iter().map(bits).collect::<Vec<_>>(), expected.iter().map(bits).collect::<Vec<_>>());
    records
}

#[test]
fn every_call_is_recorded_as_on_the_host_with_what_it_used() {
    let Some(rig) = Rig::new() else { return };
    type Form = fn(OptimizerBuilder) -> OptimizerBuilder;
    let forms: [Form; 4] = [
        |b| b,
        |b| b.clip(Clip::torch_norm(0.5)).loss_scale(LossScale::dynamic().init(64.0).interval(2)),
        |b| b.accumulate(Accumulate::mean(3)).clip(Clip::optax_norm(0.5)),
        |b| b.loss_scale(LossScale::dynamic().init(8.0).interval(2)),
    ];
    for (i, form) in forms.into_iter().enumerate() {
        for telemetry in [Telemetry::ring(16), Telemetry::ring(16).groups([1]).mapped()] {
            let mut twins = Twins::new(&rig, &[3_000, 70], |builder, tensors| {
                form(groups(builder, tensors)).telemetry(telemetry.clone())
            });
            let (mut device, mut host) = (twins.device.telemetry().unwrap(), twins.host.telemetry().unwrap());
            for call in 0..12 {
                twins.observe(f64::from(call / 3));
                if call % 5 == 2 { twins.skipped_step() } else { twins.steps(1) }
            }
            twins.expect_same("after all calls");
            let records = finish(&rig, &mut device, &mut host);
            let updates = if i == 2 { 4 } else { 12 };
            assert_eq!(records.len(), updates, "form {i}: a call that lets gradients accumulate is none");
            assert!(records.iter().enumerate().all(|(call, record)| record.call() == call as u64));
            let skipped = records.iter().filter(|record| !record.applied).count() as u64;
            let status = twins.device.status(&rig.stream).unwrap();
            assert!(skipped == status.skipped && skipped > 0, "form {i}: {skipped} skipped, {status:?}");
            let last = records.last().unwrap();
            assert_eq!((last.norm, last.clip_factor), (status.norm, status.clip_factor), "form {i}");
            let columns: Vec<_> = last.columns().iter().map(|column| column.group).collect();
            assert_eq!(columns.contains(&0), telemetry == Telemetry::ring(16));
            assert!(last.scalar(1, "momentum") == Some(0.9) && last.scalar(2, "lr").is_none());
        }
    }
}

#[test]
fn a_rate_is_that_of_the_update_of_the_record() {
    let Some(rig) = Rig::new() else { return };
    let lr = Schedule::linear(1.0, 0.0).over(10);
    let mut twins = Twins::new(&rig, &[8], |builder, tensors| {
        builder.group(Sgd::new(lr.clone()), tensors).telemetry(Telemetry::ring(64))
    });
    let mut telemetry = twins.device.telemetry().unwrap();
    twins.steps(4);
    twins.skipped_step();
    twins.steps(4);
    let records = telemetry.finish(&rig.stream).unwrap();
    assert_eq!(records.len(), 9);
    for record in records {
        assert_eq!(record.scalar(0, "lr"), Some(lr.at(record.t).unwrap() as f32), "{record:?}");
        assert_eq!(record.applied, (record.t, record.skipped) != (4, 0), "{record:?}");
    }
}

#[test]
fn the_flag_after_too_many_skips_is_in_the_record_of_the_call_that_raises_it() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[8], |builder, tensors| {
        let builder = builder.group(Sgd::new(0.1), tensors).telemetry(Telemetry::ring(64).mapped());
        builder.non_finite(NonFinite::SkipAndRaise(2))
    });
    let (mut device, mut host) = (twins.device.telemetry().unwrap(), twins.host.telemetry().unwrap());
    for skip in [true, false, true, true, false] {
        if skip { twins.skipped_step() } else { twins.steps(1) }
    }
    let records = finish(&rig, &mut device, &mut host);
    let raised: Vec<bool> = records.iter().map(|record| record.raised).collect();
    assert_eq!(raised, [false, false, false, true, true]);
    twins.expect_same("after all calls");
}

#[test]
fn a_ring_that_is_polled_too_seldom_loses_its_oldest_records_and_says_how_many() {
    let Some(rig) = Rig::new() else { return };
    for telemetry in [Telemetry::ring(8), Telemetry::ring(8).mapped(), Telemetry::ring(1)] {
        let kept = if telemetry == Telemetry::ring(1) { 1 } else { 8 };
        let mut twins = two_groups(&rig, &telemetry);
        let mut reader = twins.device.telemetry().unwrap();
        twins.steps(20);
        let calls = |reader: &mut TelemetryReader| -> Vec<u64> {
            reader.finish(&rig.stream).unwrap().iter().map(|record| record.t).collect()
        };
        assert_eq!(calls(&mut reader), (20 - kept..20).collect::<Vec<_>>());
        assert_eq!(reader.lost(), 20 - kept);
        twins.steps(1);
        assert_eq!(calls(&mut reader), [20]);
        assert_eq!(calls(&mut twins.device.telemetry().unwrap()), (21 - kept..21).collect::<Vec<_>>(), "a new reader");
    }
}

#[test]
fn polls_between_steps_bring_every_record_once() {
    let Some(rig) = Rig::new() else { return };
    for telemetry in [Telemetry::ring(64), Telemetry::ring(64).mapped()] {
        let mut twins = two_groups(&rig, &telemetry);
        let mut reader = twins.device.telemetry().unwrap();
        let (mut random, mut calls) = (Random(3), Vec::new());
        for _ in 0..60 {
            twins.steps(1);
            if random.unit() > 0.0 {
                calls.extend(reader.poll().unwrap().iter().map(|record| record.t));
            }
            if random.unit() > 0.8 {
                rig.finish();
            }
        }
        let before = calls.len();
        calls.extend(reader.finish(&rig.stream).unwrap().iter().map(|record| record.t));
        assert_eq!(calls, (0..60).collect::<Vec<_>>());
        assert!(before > 0 && reader.lost() == 0, "polls brought {before} records");
    }
}

#[test]
fn what_an_earlier_poll_has_copied_is_not_lost_at_the_end() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = two_groups(&rig, &Telemetry::ring(4));
    let mut reader = twins.device.telemetry().unwrap();
    twins.steps(4);
    rig.finish();
    assert!(reader.poll().unwrap().is_empty(), "the first poll starts a copy");
    rig.context.synchronize().unwrap(); // it has come
    twins.steps(2);
    let calls: Vec<u64> = reader.finish(&rig.stream).unwrap().iter().map(TelemetryRecord::call).collect();
    assert_eq!((calls, reader.lost()), (vec![0, 1, 2, 3, 4, 5], 0));
}

#[test]
fn after_a_state_is_loaded_a_reader_goes_on_with_the_calls_that_follow_it() {
    let Some(rig) = Rig::new() else { return };
    // The ring is emptied while a copy of it is on its way: what that brings is of the former run, and is thrown away.
    if let Some(standin) = rig.standin {
        standin.let_streams_race();
    }
    for telemetry in [Telemetry::ring(8), Telemetry::ring(8).mapped()] {
        let mut twins = two_groups(&rig, &telemetry);
        let (mut device, mut host) = (twins.device.telemetry().unwrap(), twins.host.telemetry().unwrap());
        twins.steps(2);
        let state = twins.device.state(&rig.stream).unwrap();
        twins.steps(3);
        finish(&rig, &mut device, &mut host);
        twins.steps(1); // of the former run, and read by nobody
        device.poll().unwrap(); // whose copy is of that run
        twins.device.load_state(&state, &rig.stream).unwrap();
        twins.host.load_state(&state, &Stream::host()).unwrap();
        assert_polls(&rig, &mut device);
        twins.steps(3);
        let calls: Vec<u64> = finish(&rig, &mut device, &mut host).iter().map(TelemetryRecord::call).collect();
        assert_eq!((calls, device.lost()), (vec![2, 3, 4], 0));
        let mut late = twins.device.telemetry().unwrap();
        assert_eq!(late.finish(&rig.stream).unwrap().len(), 3, "a new reader sees this run alone");
    }
}

#[test]
fn a_reader_outlives_its_optimizer_and_may_live_on_another_thread() {
    let Some(rig) = Rig::new() else { return };
    for telemetry in [Telemetry::ring(8), Telemetry::ring(8).mapped()] {
        let mut twins = two_groups(&rig, &telemetry);
        let mut reader = twins.device.telemetry().unwrap();
        twins.steps(3);
        rig.finish();
        drop(twins);
        let calls = std::thread::scope(|scope| {
            let read = || reader.finish(&rig.stream).unwrap().iter().map(|record| record.t).collect::<Vec<_>>();
            scope.spawn(read).join().unwrap()
        });
        assert_eq!(calls, [0, 1, 2]);
    }
}

#[test]
fn the_memory_of_ring_and_reader_is_given_back() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: memory is counted on the stand-in") };
    for telemetry in [Telemetry::ring(8), Telemetry::ring(8).mapped()] {
        let pair = Pair::new(&rig, vec![1.0; 8], vec![1.0; 8], (0, 0));
        rig.finish();
        let before = standin.live_bytes();
        let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[pair.device_tensor()]);
        let mut opt = builder.telemetry(telemetry).build().unwrap();
        let mut reader = opt.telemetry().unwrap();
        opt.step(&rig.stream).unwrap();
        reader.poll().unwrap(); // its copy is on its way
        drop(opt);
        drop(reader);
        rig.finish();
        assert_eq!(standin.live_bytes(), before);
    }
}

#[test]
fn an_optimizer_without_telemetry_has_no_reader() {
    let Some(rig) = Rig::new() else { return };
    let mut pair = Pair::new(&rig, vec![1.0; 8], vec![1.0; 8], (0, 0));
    let device = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[pair.device_tensor()]).build().unwrap();
    let host = Optimizer::builder(&Device::host()).group(Sgd::new(0.1), &[pair.host_tensor()]).build().unwrap();
    let refusals = [device.telemetry(), host.telemetry()].map(|reader| reader.unwrap_err().to_string());
    assert!(refusals[0] == refusals[1] && refusals[0].contains("built without"), "{refusals:?}");
}

/// What a group remembers is in the record as the update left it; a skipped one left what was there.
#[test]
fn estimates_are_recorded_as_on_the_host() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[70, 8, 5_000, 300], |builder, tensors| {
        let builder = builder.group(NAdam::new(1e-3), &tensors[..1]).group(DoWG::default(), &tensors[1..2]);
        let builder = builder.group(AdamW::new(1e-3), &tensors[2..3]).group(Prodigy::default().d0(1e-3), &tensors[3..]);
        builder.telemetry(Telemetry::ring(16))
    });
    let (mut device, mut host) = (twins.device.telemetry().unwrap(), twins.host.telemetry().unwrap());
    for call in 0..9 {
        if call % 4 == 2 {
            twins.skipped_step()
        } else {
            twins.steps(1)
        }
        let status = twins.host.status(&Stream::host()).unwrap();
        twins.expect_same(&format!("call {call}"));
        let record = finish(&rig, &mut device, &mut host).pop().unwrap();
        for (group, name) in [(1, "estim_sq_dist"), (3, "d"), (3, "d_numerator")] {
            let left = status.remembered(group, name).map(|value| value as f32);
            assert_eq!(record.scalar(group, name), left, "call {call}, {name} of group {group}");
        }
        assert_eq!((record.scalar(0, "mu_product"), record.scalar(2, "d")), (None, None), "a cohort's is not shown");
    }
    assert!(twins.host.status(&Stream::host()).unwrap().remembered(3, "d").unwrap() > 1e-3, "it grew");
}
