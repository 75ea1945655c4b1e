//! Rounding to f32 hides 29 bits of a value. The device computes those as the host does, too: every function and curve of
//! the kernels, operation for operation.

use instep::{Optimizer, Schedule, Sgd, step};

use crate::rig::{Pair, Rig};

const STEPS: u64 = 60;

/// One schedule for each function of `kernels/math.cuh` and `kernels/curves.cuh`, with values in [0, 2^10).
fn schedules() -> Vec<Schedule> {
    let x = || step() * 0.37 + 0.003;
    vec![
        x().exp().over(18),
        (x() + 1.0).ln(),
        x().sin().abs(),
        (x() * 1e6).cos().abs(),
        (x() * 0.1).tanh(),
        x().sqrt(),
        x().pow(0.71),
        (1.0 / (x() + 1.0)).pow(37.0),
        (x() * 1e-9 + 1.0).pow(2e8).over(STEPS),
        (x() * 1e-3 - 1.01).pow_int(66).over(STEPS),
        (x() * 1e-9 + 1.0).pow_int(-200_000_001),
        x().modulo(0.3),
        x().floor_div(0.3) * 0.1,
        Schedule::linear(0.1, 0.7).over(STEPS),
        Schedule::cosine(0.1, 0.7).over(STEPS),
        Schedule::cosine_power(0.7, 0.1, 0.9, 1.7).over(STEPS),
        Schedule::polynomial(0.7, 0.1, 2.3).over(STEPS),
        Schedule::polynomial_k(0.7, 0.1, 0.9, 1.7).over(STEPS),
        Schedule::power_rise(0.1, 0.7, 0.3).over(STEPS),
        Schedule::exponential(0.7, 0.1).over(STEPS),
        Schedule::tanh_ramp(0.7, 0.1, -7.0, 3.0).over(STEPS),
        Schedule::rex(0.7, 0.1, 0.9).over(STEPS),
        Schedule::half_life(0.7, 0.1).over(STEPS),
        Schedule::log_rise(0.1, 0.7).over(STEPS),
        Schedule::exponential_decay(0.7, 0.97),
        Schedule::inverse_sqrt(0.7, 13.0),
        Schedule::inverse_time(0.7, 0.13),
        Schedule::power_law(0.7, -0.51, 1.5),
        Schedule::piecewise_linear([0, 7, STEPS], [0.1, 0.7, 0.2]),
        Schedule::piecewise_cosine([0, 7, STEPS], [0.1, 0.7, 0.2]),
    ]
}

#[test]
fn the_lowest_bits_of_every_function_and_curve_are_the_hosts() {
    let Some(rig) = Rig::new() else { return };
    // What is left of a value is exact, and small enough for f32 to hold.
    let lowest: Vec<Schedule> = schedules().into_iter().map(|schedule| schedule.modulo(2.0f64.powi(-40))).collect();
    let pair = Pair::new(&rig, vec![1.0; lowest.len()], vec![1.0; lowest.len()], (0, 0));
    let builder = (0..).zip(&lowest).fold(Optimizer::builder(&rig.device), |builder, (i, schedule)| {
        // SAFETY: element `i` of two arrays that outlive the optimizer; all work is on one stream.
        let tensor = unsafe { instep::Tensor::f32(pair.param.address() + 4 * i, pair.grad.address() + 4 * i, 1) };
        builder.group(Sgd::new(schedule.clone()), &[tensor])
    });
    let mut opt = builder.build().unwrap();
    let mut seen = vec![0; lowest.len()];
    for t in 0..STEPS {
        let status = opt.status(&rig.stream).unwrap();
        for (group, schedule) in lowest.iter().enumerate() {
            let (ours, host) = (status.scalar(group, "lr").unwrap(), schedule.at(t).unwrap() as f32);
            assert_eq!(ours.to_bits(), host.to_bits(), "step {t}, {schedule:?}: {ours:e}, host {host:e}");
            seen[group] += usize::from(host != 0.0);
        }
        opt.step(&rig.stream).unwrap();
    }
    rig.finish();
    let blind = lowest.iter().zip(seen).find(|(_, seen)| *seen < 10);
    assert!(blind.is_none(), "has hardly any low bits: {blind:?}");
}
