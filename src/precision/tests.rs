//! The arithmetic of storing, against what it is to be, on inputs that are chosen and on all there are.

use super::random::{Dice, Throws};
use super::{Constant, Form, Half, Rounding, StateForm, Storage, Stored, StoredMut, Values, codes, round};

/// Random bits of element after element.
fn random(len: usize) -> Vec<u32> {
    let mut bits = Vec::new();
    Throws { dice: Dice { seed: 42, t: 3 }, tensor: 5, place: 0 }.fill(0, len, &mut bits);
    bits
}

fn value(half: Half, bits: u16) -> f32 {
    let mut x = [0.0];
    round::widen(half, &[bits], &mut x);
    x[0]
}

#[test]
fn every_finite_element_of_16_bits_survives_both_roundings() {
    for half in [Half::Bf16, Half::F16] {
        for bits in (0..=u16::MAX).filter(|bits| !value(half, *bits).is_nan()) {
            let (x, mut to) = (value(half, bits), [0]);
            assert_eq!(round::nearest_of(half, x), bits, "{half} {x:e}");
            for random in [0, 1 << 15, 1 << 31, u32::MAX] {
                round::stochastic(half, &[x], &[random], &mut to);
                assert_eq!(to[0], bits, "{half} {x:e}, random {random:#x}");
            }
        }
    }
}

#[test]
fn one_nan_is_stored_whatever_nan_it_was() {
    for bits in [0x7f80_0001, 0x7fc0_0000, 0xff80_0001, 0xffff_ffff] {
        let x = f32::from_bits(bits);
        for half in [Half::Bf16, Half::F16] {
            let mut to = [0];
            round::stochastic(half, &[x], &[u32::MAX], &mut to);
            assert_eq!([round::nearest_of(half, x), to[0]], [0x7fff; 2], "{half} {bits:#x}");
        }
        let (mut upper, mut lower) = ([0], [1]);
        round::split(&[x], &mut upper, &mut lower);
        assert_eq!((upper, lower), ([0x7fff], [0]));
    }
}

/// Within 3 standard errors of a rounding up or down with the right chance.
#[test]
fn the_mean_error_of_a_million_stochastic_roundings_is_0() {
    const COUNT: usize = 1_000_000;
    let random = random(COUNT);
    let normal = [1.0, 1.001, 1.5003, -0.7391, 3.14159e-3, 123.456, 65_503.9];
    let subnormal_bf16 = [1.0e-39, 3.3e-40, -7.7e-39];
    // The last ones drop up to 40 bits.
    let subnormal_f16 = [3.3e-5, 1.234e-6, -7.9e-8, 3.1e-8, 2.9e-9, 1.1e-10, 7.0e-11];
    for (half, values) in
        [(Half::Bf16, &normal[..]), (Half::Bf16, &subnormal_bf16), (Half::F16, &normal), (Half::F16, &subnormal_f16)]
    {
        for x in values {
            let (from, mut to) = (vec![*x; COUNT], vec![0u16; COUNT]);
            round::stochastic(half, &from, &random, &mut to);
            let mut back = vec![0.0f32; COUNT];
            round::widen(half, &to, &mut back);
            let (low, high) = back.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                (low.min(f64::from(*x)), high.max(f64::from(*x)))
            });
            let x = f64::from(*x);
            assert!(low <= x && x <= high, "{half} {x:e}: from {low:e} to {high:e}");
            let share = if high > low { (x - low) / (high - low) } else { 0.0 };
            let standard_error = (high - low) * (share * (1.0 - share) / COUNT as f64).sqrt();
            let mean = back.iter().map(|back| f64::from(*back) - x).sum::<f64>() / COUNT as f64;
            assert!(
                mean.abs() <= 3.0 * standard_error,
                "{half} {x:e}: mean error {mean:e}, standard error {standard_error:e}"
            );
        }
    }
}

#[test]
fn two_streams_of_a_pair_share_a_throw_and_not_their_bits() {
    let bits = |place| {
        let mut bits = Vec::new();
        Throws { dice: Dice { seed: 1, t: 2 }, tensor: 3, place }.fill(8, 6, &mut bits);
        bits
    };
    assert_eq!(bits(2).len(), 8);
    assert!(bits(2).iter().zip(bits(3)).all(|(even, odd)| even.rotate_left(16) == odd));
    assert_ne!(bits(0), bits(2));
}

#[test]
fn a_parameter_and_its_remainder_are_the_f32_value_exactly() {
    let mut seed = 1u32;
    let mut all: Vec<u32> = (0..200_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed
        })
        .collect();
    // Ties, infinities, the largest, what the upper half is rounded past, zeros.
    all.extend([
        0x3f80_8000,
        0x3f81_8000,
        0xbf80_8000,
        0x7f80_0000,
        0xff80_0000,
        0x7f7f_ffff,
        0x7f7f_8000,
        0,
        1 << 31,
        0x8000,
    ]);
    let values: Vec<f32> = all.into_iter().map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    let (mut upper, mut lower) = (vec![0; values.len()], vec![0; values.len()]);
    round::split(&values, &mut upper, &mut lower);
    let mut back = vec![0.0; values.len()];
    round::join(&upper, &lower, &mut back);
    for ((x, upper), back) in values.iter().zip(&upper).zip(&back) {
        assert_eq!(x.to_bits(), back.to_bits(), "{x:e}");
        // Ties go away from zero: what is left of a half unit is added to the magnitude.
        let away = f32::from_bits(u32::from(round::nearest_of(Half::Bf16, *x)) << 16).to_bits() >> 16;
        let tie = x.to_bits() & 0xffff == 0x8000;
        assert_eq!(u32::from(*upper), if tie { (x.to_bits() >> 16) + 1 } else { away }, "{x:e}");
    }
}

/// `len` values of magnitudes from 10^-8 to 1.
fn spread(len: usize, sign: bool) -> Vec<f32> {
    let bits = random(2 * len);
    let magnitude = |i: usize| 10f32.powf(-8.0 * (bits[2 * i] >> 8) as f32 / (1 << 24) as f32);
    (0..len).map(|i| magnitude(i) * if sign && bits[2 * i + 1] & 1 == 1 { -1.0 } else { 1.0 }).collect()
}

fn coded(values: Values, from: &[f32], random: &[u32]) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    let (mut codes, mut scales) = (vec![0; from.len()], vec![0.0; from.len().div_ceil(256)]);
    codes::encode(values, from, random, &mut codes, &mut scales);
    let mut back = vec![0.0; from.len()];
    codes::decode(values, &codes, &scales, &mut back);
    (codes, scales, back)
}

#[test]
fn the_error_of_a_code_is_within_its_bound_and_0_on_average() {
    const ROUNDS: usize = 2_000;
    for (values, sign, top) in
        [(Values::Any, true, 127), (Values::NotNegative, false, 255), (Values::Denominator, false, 255)]
    {
        let from = spread(256, sign);
        let largest = from.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let mut sums = vec![0.0f64; from.len()];
        let all = random(256 * ROUNDS);
        for random in all.chunks(256) {
            let (_, scales, back) = coded(values, &from, random);
            let scale = scales[0];
            assert!(scale >= largest && scale <= 1.125 * largest, "scale {scale:e} of {largest:e}");
            let origin = f32::from_bits(scale.to_bits() - (top << 20));
            assert!(f64::from(origin) < 1.5 * f64::from(scale) * 2f64.powf(-f64::from(top) / 8.0));
            for ((x, back), sum) in from.iter().zip(&back).zip(&mut sums) {
                let bound = (x.abs() + origin) / 8.0 * 1.000_001;
                assert!((back - x).abs() <= bound, "{values:?}: {x:e} became {back:e}, scale {scale:e}");
                *sum += f64::from(back - x);
            }
            assert!(
                from.iter().zip(&back).all(|(x, back)| values != Values::Denominator || (*x == 0.0) == (*back == 0.0))
            );
        }
        let tail = f64::from(largest) * 1e-9;
        for (x, sum) in from.iter().zip(&sums) {
            let mean = sum / ROUNDS as f64;
            let most = f64::from(x.abs()) / 8.0 + f64::from(largest) * 2e-5;
            // Five standard errors of an error of at most half a step's deviation; a denominator is kept above 0.
            let bound =
                5.0 * most / 2.0 / (ROUNDS as f64).sqrt() + if values == Values::Denominator { tail } else { 0.0 };
            assert!(mean.abs() <= bound, "{values:?} {x:e}: mean error {mean:e}, at most {bound:e}");
        }
    }
}

#[test]
fn a_block_of_zeros_is_zeros_and_a_block_with_a_nan_or_an_infinity_is_nan() {
    let random = random(512);
    for values in [Values::Any, Values::NotNegative, Values::Denominator] {
        let (codes, scales, back) = coded(values, &[0.0; 300], &random);
        assert!(codes.iter().all(|code| *code == 0) && scales == [0.0; 2] && back.iter().all(|x| x.to_bits() == 0));
        for bad in [f32::NAN, f32::INFINITY] {
            let mut from = [0.5; 300];
            from[17] = bad;
            let (codes, scales, back) = coded(values, &from, &random);
            assert!(scales[0].is_nan() && !scales[1].is_nan());
            assert!(back[..256].iter().all(|x| x.is_nan()) && codes[..256].iter().all(|code| *code == 0));
            assert!(back[256..].iter().all(|x| (x - 0.5).abs() < 0.07), "{values:?}: another block is as it was");
        }
    }
}

#[test]
fn the_smallest_and_the_largest_blocks_have_finite_scales() {
    let random = random(256);
    for values in [Values::Any, Values::NotNegative, Values::Denominator] {
        for x in [f32::MIN_POSITIVE, 1e-45, 1e-40, f32::MAX, 3.3e38] {
            let (_, scales, back) = coded(values, &[x; 256], &random);
            assert!(scales[0].is_finite() && back.iter().all(|back| back.is_finite()), "{values:?} {x:e}");
            if x > 1.0 {
                assert!(back.iter().all(|back| (back - x).abs() <= x / 8.0), "{values:?} {x:e}: {:e}", back[0]);
            }
            assert!(values != Values::Denominator || back.iter().all(|back| *back > 0.0), "{x:e} is no 0");
        }
    }
}

/// A second moment of gradients that got smaller, over 10,000 updates with beta2 = 0.999.
fn fallen(form: Form) -> f64 {
    let storage = Storage { form, values: Values::Denominator };
    const LEN: usize = 256;
    let (mut half, mut codes, mut scales) = (vec![0u16; LEN], vec![0u8; LEN], vec![0.0f32; 1]);
    let mut v = vec![1.0f32; LEN];
    for t in 0..10_000 {
        let throws = Throws { dice: Dice { seed: 9, t }, tensor: 0, place: 3 };
        let mut stored = match form {
            Form::Half(half_of, rounding) => StoredMut::Half(half_of, rounding, storage.values, &mut half),
            _ => StoredMut::EightBit(storage.values, &mut codes, &mut scales),
        };
        stored.store(&v, throws, 0, &mut Vec::new());
        stored.as_stored().load(&mut v);
        v.iter_mut().for_each(|v| *v = 0.999f32.mul_add(*v, 0.001 * 1e-4));
    }
    v.iter().map(|v| f64::from(*v)).sum::<f64>() / LEN as f64
}

#[test]
fn a_second_moment_falls_in_every_form_but_bf16_rounded_to_nearest() {
    let expected = 1e-4 + 0.999f64.powi(10_000);
    for form in [Form::Half(Half::Bf16, Rounding::Stochastic), Form::EightBit] {
        let v = fallen(form);
        assert!((v / expected - 1.0).abs() < 0.1, "{form}: {v:e} instead of {expected:e}");
    }
    assert!(fallen(Form::Half(Half::Bf16, Rounding::Nearest)) > 0.9, "it stalls, which is why it is not the default");
    assert_eq!(StateForm::Bf16.form(), Form::Half(Half::Bf16, Rounding::Stochastic));
}

#[test]
fn a_start_is_stored_as_near_as_its_form_holds_it() {
    let of = |form| Storage { form, values: Values::NotNegative }.constant(0.1);
    assert_eq!(of(Form::F32), Constant::F32(0.1));
    assert_eq!(of(Form::Half(Half::Bf16, Rounding::Stochastic)), Constant::Half(0x3dcd));
    let Constant::EightBit(code, scale) = of(Form::EightBit) else { panic!("codes") };
    let mut x = [0.0];
    Stored::EightBit(Values::NotNegative, &[code], &[scale]).load(&mut x);
    assert!((x[0] - 0.1).abs() <= 0.1 / 16.0, "{}", x[0]);
    let tiny = Storage { form: Form::Half(Half::F16, Rounding::Nearest), values: Values::Denominator };
    assert_eq!([tiny.constant(1e-10), tiny.constant(0.0)], [Constant::Half(1), Constant::Half(0)]);
    assert_eq!(Storage { form: Form::EightBit, values: Values::Any }.constant(0.0), Constant::EightBit(0, 0.0));
}

#[test]
fn what_a_group_says_stands_before_what_is_said_for_all() {
    use super::{ParamForm, Precision};
    let all = Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16).state("exp_avg_sq", StateForm::F32);
    let named = Precision::new().state("exp_avg", StateForm::EightBit).quantize_from(7).over(&all);
    assert_eq!(named, all.clone().state("exp_avg", StateForm::EightBit).quantize_from(7));
    let states = Precision::new().states(StateForm::EightBit).over(&all);
    assert_eq!(states, Precision::new().param(ParamForm::Stochastic).states(StateForm::EightBit));
    assert_eq!(Precision::new().over(&all), all);
}
