//! Bias corrections: of every kind of beta, for every past of a tensor, on the device as on the host, and as the formula
//! says. And tables that are too large to be staged in shared memory.

use approx::abs_diff_eq;
use instep::{AdamW, Edit, Momentum, OptimizerBuilder, Schedule, Sgd, Stream, Tensor, knob, knob_steps, reached};

use crate::rig::Rig;
use crate::twins::Twins;

const PASTS: [u64; 3] = [0, 3, 1 << 40];

fn with_past(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().zip(PASTS).map(|(tensor, updates)| tensor.clone().updates(updates)).collect()
}

/// A beta, and what it is at update `t`.
type Beta = (&'static str, fn() -> Schedule, fn(u64) -> f64);

/// `before` an edit at update 4, and after it.
const BETAS: [Beta; 5] = [
    ("constant", || 0.9.into(), |_| 0.9),
    ("constant near 1", || 0.9995.into(), |_| 0.9995),
    ("zero", || 0.0.into(), |_| 0.0),
    ("a knob", || knob("beta", 0.8).into(), |t| if t < 4 { 0.8 } else { 0.95 }),
    ("scheduled", || Schedule::linear(0.5, 0.9).over(8), |t| 0.5 + 0.05 * t.min(8) as f64),
];

#[test]
fn every_bias_correction_is_the_hosts_and_that_of_the_formula() {
    let Some(rig) = Rig::new() else { return };
    // One of the two betas is 0: its bias correction is 1, and the other shows in what an update does to a parameter.
    let rule =
        |first: Schedule, second: Schedule| AdamW::new(1.0).weight_decay(0.0).eps(1e-30).beta1(first).beta2(second);
    for first in [true, false] {
        let zero = || Schedule::from(0.0);
        let mut twins = Twins::new(&rig, &[5; 3 * BETAS.len()], |builder, tensors| {
            BETAS.iter().zip(tensors.chunks(3)).fold(builder, |builder, ((_, beta, _), tensors)| {
                let rule = if first { rule(beta(), zero()) } else { rule(zero(), beta()) };
                builder.group(rule, &with_past(tensors))
            })
        });
        for t in 0..7 {
            if t == 4 {
                twins.edit(|edit| edit.set("beta", 0.95));
            }
            // From 0, so that the parameter is what the update was.
            for pair in &mut twins.pairs {
                pair.host_param.fill(0.0);
                pair.param.write(&rig, &[0.0; 5]);
            }
            twins.steps(1);
            twins.expect_same(&format!("update {t}"));
            let tensors: Vec<_> = twins.device.tensors().map(|tensor| tensor.states.clone()).collect();
            for (i, states) in tensors.iter().enumerate() {
                let ((name, _, beta), past) = (BETAS[i / 3], PASTS[i % 3]);
                let (m, v) = (rig.read(states[0].address, 1)[0], rig.read(states[1].address, 1)[0]);
                let (m, root, update) = (f64::from(m), f64::from(v).sqrt(), -f64::from(twins.pairs[i].host_param[0]));
                let found = if first { m / root / update } else { (update * root / m).powi(2) };
                let expected = -((past + t + 1) as f64 * beta(t).ln()).exp_m1();
                let what = format!("beta{}: {name}, {past} updates before, update {t}", if first { 1 } else { 2 });
                let close = abs_diff_eq!(found, expected, epsilon = 1e-6 * expected);
                assert!(close, "{what}: {found}, but it is {expected}");
            }
        }
    }
}

/// Groups with schedules of their own, tensors with pasts of their own: more than 4 KiB of tables and 256 values.
fn many_groups(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    tensors.chunks(3).enumerate().fold(builder, |builder, (i, tensors)| {
        let scale = 1.0 + i as f64;
        let peak = || knob("peak", 1e-2);
        let warm = Schedule::linear(1e-6 * scale, peak()).over(knob_steps("warmup", 3));
        let stable = warm.then(Schedule::constant(peak()).over(knob_steps("stable", 100)));
        let falling = stable.clone().then(Schedule::cosine(peak(), 1e-6 * scale).over(6));
        match i % 4 {
            0 => builder.group(Sgd::new(falling).momentum(Momentum::Heavy, 0.9), &with_past(tensors)),
            1 => builder.group(AdamW::new(falling).beta1(knob("beta", 0.9)), &with_past(tensors)),
            _ => {
                let lr = stable.then(Schedule::cosine(reached(), 1e-6 * scale).over(6));
                builder.group(AdamW::new(lr).weight_decay(1e-3 * scale), &with_past(tensors))
            }
        }
    })
}

/// What is edited before update `t`.
fn edit(t: usize) -> Option<fn(Edit<'_>) -> Edit<'_>> {
    match t {
        1 => Some(|edit| edit.set("peak", 3e-2)),
        3 => Some(|edit| edit.set("beta", 0.7).set("peak", 2e-2)),
        5 => Some(|edit| edit.now("stable")),
        8 => Some(|edit| edit.set("peak", 5e-3).set_steps("stable", 4)),
        _ => None,
    }
}

#[test]
fn tables_and_values_that_are_too_large_to_be_staged_give_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    // 9 groups are staged, 300 are not; between them the values alone fit.
    for groups in [9, 40, 300] {
        let lengths: Vec<usize> = (0..3 * groups).map(|i| 1 + i % 7).collect();
        let mut twins = Twins::new(&rig, &lengths, many_groups);
        let graph = twins.capture();
        for t in 0..10 {
            if let Some(change) = edit(t) {
                twins.edit(change);
            }
            if t % 2 == 0 {
                graph.launch().unwrap();
                twins.host.step(&Stream::host()).unwrap();
            } else {
                twins.steps(1);
            }
            if t == 6 {
                twins.skipped_step();
            }
            twins.expect_same(&format!("{groups} groups, update {t}"));
        }
    }
}
