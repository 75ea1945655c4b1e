//! Decoupled weight decay at the rates of fine-tuning: of a decay far below the spacing of f32 all arrives beside an update,
//! and none where there is none.

use approx::abs_diff_eq;
use instep::{AdamW, Device, Optimizer, Stream};

use crate::owned::Pair;

const ELEMENTS: usize = 1 << 20;

/// Uniform in [low, high): Knuth's MMIX, as in `host`.
fn uniform(seed: u64, (low, high): (f64, f64)) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..ELEMENTS).map(|_| next() as f32).collect()
}

/// The parameters after one update with this decay. `eps` is of the gradients' size, so that updates have all sizes.
fn updated(lr: f64, weight_decay: f64, param: &[f32], grad: &[f32]) -> Vec<f32> {
    let pair = Pair::new(param, grad);
    let rule = AdamW::new(lr).weight_decay(weight_decay).eps(1.0);
    let mut opt = Optimizer::builder(&Device::host()).group(rule, &[pair.tensor()]).build().unwrap();
    opt.step(&Stream::host()).unwrap();
    pair.param.read()
}

#[test]
fn all_of_a_decay_below_the_spacing_of_f32_arrives_beside_an_update() {
    let (param, grad) = (uniform(1, (0.25, 4.0)), uniform(2, (-2.0, 2.0)));
    // lr · weight_decay, where `p · (1 - lr · weight_decay)` in f32 would bring 0, 120 and 89 %.
    for product in [2e-8, 1e-7, 2e-7, 1e-5] {
        let lr = 1e-5;
        let weight_decay = product / lr;
        let with = updated(lr, weight_decay, &param, &grad);
        let mut wanted = 0.0;
        let mut arrived = 0.0;
        for ((p, g), new) in param.iter().zip(&grad).zip(with) {
            let (p, g) = (f64::from(*p), f64::from(*g));
            // The first update: both moments are those of the one gradient.
            let update = lr * g / (g.abs() + 1.0);
            wanted += product * p;
            arrived += p - update - f64::from(new);
        }
        let share = arrived / wanted;
        assert!(
            abs_diff_eq!(share, 1.0, epsilon = 0.02),
            "lr · weight_decay = {product:e}: {:.1} % arrived",
            100.0 * share
        );
    }
}

#[test]
fn without_an_update_f32_absorbs_a_decay_below_half_its_spacing() {
    let (param, grad) = (uniform(1, (1.0, 2.0)), vec![0.0; ELEMENTS]);
    assert_eq!(updated(1.0, 2e-8, &param, &grad), param, "under 2^-25 of the parameter");
    let decayed = updated(1.0, 2e-7, &param, &grad);
    assert!(decayed.iter().zip(&param).all(|(new, old)| new < old), "above it every parameter moves");
}
