//! The norm of all gradients over structures that exercise every level of its sums: blocks, sections, tensors, groups. Its
//! bits are the host's, and it is the norm.

use approx::abs_diff_eq;
use instep::{Clip, Norm, OptimizerBuilder, Sgd, Tensor};

use crate::rig::Rig;
use crate::sides::{Group, Shape, Sides};
use crate::values::Random;

const NORMS: [Norm; 3] = [Norm::Two, Norm::One, Norm::Max];

fn sgd(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(Sgd::new(0.1), tensors)
}

/// Groups of tensors with these lengths, at addresses that fit vectors and at others.
fn groups(lengths: &[Vec<usize>]) -> Vec<Group<'static>> {
    let shapes = |lengths: &Vec<usize>| -> Vec<Shape> {
        lengths.iter().enumerate().map(|(i, len)| (*len, (0, if i % 3 == 2 { i % 4 } else { 0 }))).collect()
    };
    lengths.iter().map(|lengths| (&sgd as _, shapes(lengths))).collect()
}

/// The norm of all gradients by a plain sum in their order.
fn plain(norm: Norm, gradients: impl Iterator<Item = f32>) -> f64 {
    let magnitudes = gradients.map(|g| f64::from(g).abs());
    match norm {
        Norm::Two => magnitudes.map(|x| x * x).sum::<f64>().sqrt(),
        Norm::One => magnitudes.sum(),
        _ => magnitudes.fold(0.0, f64::max),
    }
}

fn assert_norm(rig: &Rig, norm: Norm, what: &str, lengths: &[Vec<usize>]) {
    let mut sides = Sides::new(rig, Random::spread, &groups(lengths), |b, _| b.clip(Clip::torch_norm(1.0).by(norm)));
    let expected = plain(norm, sides.gradients());
    sides.step();
    sides.assert_equal(&format!("{norm:?}, {what}"));
    let found = sides.device.status(&rig.stream).unwrap().norm;
    let close = abs_diff_eq!(found, expected, epsilon = 1e-12 * expected);
    assert!(close, "{norm:?}, {what}: {found:e}, but the norm is {expected:e}");
}

#[test]
fn every_structure_of_tensors_and_groups_has_the_hosts_norm_and_the_right_one() {
    let Some(rig) = Rig::new() else { return };
    let structures: Vec<(&str, Vec<Vec<usize>>)> = vec![
        ("one element", vec![vec![1]]),
        ("one block", vec![vec![4_096]]),
        ("one packed tensor", vec![vec![100]]),
        ("two blocks, the second of one element", vec![vec![4_097]]),
        ("four blocks", vec![vec![12_289]]),
        ("many blocks beside packs", vec![vec![30_000, 5, 1_024, 1_025, 300]]),
        ("groups of one tensor", vec![vec![5_000], vec![3], vec![4_096]]),
        ("groups of several", vec![vec![5_000, 2, 900], vec![64; 20], vec![9_000, 4_097]]),
        ("empty tensors among others", vec![vec![0, 70, 0], vec![0], vec![0, 0], vec![8_193]]),
        ("all but one empty", vec![vec![0, 0], vec![0, 9, 0]]),
        ("all tensors empty", vec![vec![0, 0], vec![0]]),
        ("one empty tensor", vec![vec![0]]),
        ("257 tensors", vec![vec![5; 257]]),
        ("700 tensors", vec![(0..700).map(|i| i % 9).collect()]),
        ("300 groups", (0..300).map(|i| vec![i % 7; 1 + i % 3]).collect()),
    ];
    for norm in NORMS {
        for (what, lengths) in &structures {
            assert_norm(&rig, norm, what, lengths);
        }
    }
}

#[test]
fn a_tensor_of_more_than_one_section_has_the_hosts_norm_and_the_right_one() {
    let Some(rig) = Rig::new() else { return };
    // 1,026 blocks: one section of 1,024, which its adders go through four times, and one of two.
    assert_norm(&rig, Norm::Two, "two sections", &[vec![4_194_304 + 5_000]]);
}
