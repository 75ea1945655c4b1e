//! Element arithmetic: `Adam` and `Sgd` of `kernels/adam.cuh` and `kernels/sgd.cuh`, operation for operation.

use crate::optim::{Decay, Direction, Momentum, adam_record, sgd_record};

/// One chunk of a tensor: equal lengths, except that states that the rule does not have are empty.
pub(super) struct Piece<'a> {
    pub param: &'a mut [f32],
    pub grad: &'a [f32],
    pub state: [&'a mut [f32]; 2],
}

/// What is done to each gradient: `GradientScalars` of `kernels/gradients.cuh`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GradientScalars {
    pub factor: Option<f32>,
    pub limit: Option<f32>,
}

impl GradientScalars {
    /// Whether anything is done at all.
    pub fn changes(self) -> bool {
        self.factor.is_some() || self.limit.is_some()
    }
}

/// Writes to `prepared` what the rule is to see of `grad`.
#[inline(always)]
pub(super) fn prepare(prepared: &mut [f32], grad: &[f32], scalars: GradientScalars) {
    prepared.copy_from_slice(grad);
    if let Some(factor) = scalars.factor {
        for g in prepared.iter_mut() {
            *g *= factor;
        }
    }
    if let Some(limit) = scalars.limit {
        for g in prepared.iter_mut() {
            // Comparisons, as in the kernel: they keep a NaN.
            if *g < -limit {
                *g = -limit;
            }
            if *g > limit {
                *g = limit;
            }
        }
    }
}

const NONE: u8 = Decay::None as u8;
const COUPLED: u8 = Decay::Coupled as u8;
const DECOUPLED: u8 = Decay::Decoupled as u8;

/// Calls the monomorph of `adam` for run-time options.
#[inline(always)]
pub(super) fn adam(decay: Decay, direction: Direction, piece: Piece<'_>, record: &[f32; 16]) {
    match (decay, direction) {
        (Decay::None, Direction::Minimize) => adam_loop::<NONE, false>(piece, record),
        (Decay::None, Direction::Maximize) => adam_loop::<NONE, true>(piece, record),
        (Decay::Coupled, Direction::Minimize) => adam_loop::<COUPLED, false>(piece, record),
        (Decay::Coupled, Direction::Maximize) => adam_loop::<COUPLED, true>(piece, record),
        (Decay::Decoupled, Direction::Minimize) => adam_loop::<DECOUPLED, false>(piece, record),
        (Decay::Decoupled, Direction::Maximize) => adam_loop::<DECOUPLED, true>(piece, record),
    }
}

#[inline(always)]
fn adam_loop<const DECAY: u8, const MAXIMIZE: bool>(piece: Piece<'_>, r: &[f32; 16]) {
    let (weight_decay, decay, eps) = (r[adam_record::WEIGHT_DECAY], r[adam_record::DECAY], r[adam_record::EPS]);
    let (one_minus_beta1, step_size) = (r[adam_record::ONE_MINUS_BETA1], r[adam_record::STEP_SIZE]);
    let (beta2, one_minus_beta2) = (r[adam_record::BETA2], r[adam_record::ONE_MINUS_BETA2]);
    let inv_sqrt_bias_correction2 = r[adam_record::INV_SQRT_BIAS_CORRECTION2];

    let [exp_avg, exp_avg_sq] = piece.state;
    let moments = exp_avg.iter_mut().zip(exp_avg_sq);
    for ((p, g), (m, v)) in piece.param.iter_mut().zip(piece.grad).zip(moments) {
        let mut g = if MAXIMIZE { -*g } else { *g };
        if DECAY == COUPLED {
            g = weight_decay.mul_add(*p, g);
        }
        if DECAY == DECOUPLED {
            *p *= decay;
        }
        *m = one_minus_beta1.mul_add(g - *m, *m);
        *v = beta2.mul_add(*v, one_minus_beta2 * (g * g));
        let denominator = v.sqrt().mul_add(inv_sqrt_bias_correction2, eps);
        *p = (-step_size).mul_add(*m / denominator, *p);
    }
}

/// Calls the monomorph of `sgd` for run-time options.
#[inline(always)]
pub(super) fn sgd(momentum: Momentum, decay: Decay, direction: Direction, piece: Piece<'_>, record: &[f32; 16]) {
    match (decay, direction) {
        (Decay::None, Direction::Minimize) => sgd_loops::<NONE, false>(momentum, piece, record),
        (Decay::None, Direction::Maximize) => sgd_loops::<NONE, true>(momentum, piece, record),
        (_, Direction::Minimize) => sgd_loops::<COUPLED, false>(momentum, piece, record),
        (_, Direction::Maximize) => sgd_loops::<COUPLED, true>(momentum, piece, record),
    }
}

#[inline(always)]
fn sgd_loops<const DECAY: u8, const MAXIMIZE: bool>(momentum: Momentum, piece: Piece<'_>, r: &[f32; 16]) {
    let (lr, weight_decay) = (r[sgd_record::LR], r[sgd_record::WEIGHT_DECAY]);
    let gradient = |p: f32, g: f32| {
        let g = if MAXIMIZE { -g } else { g };
        if DECAY == COUPLED { weight_decay.mul_add(p, g) } else { g }
    };
    let (factor, keep, take) = (r[sgd_record::MOMENTUM], r[sgd_record::KEEP], r[sgd_record::TAKE]);
    let [buffer, _] = piece.state;
    let elements = piece.param.iter_mut().zip(piece.grad);
    match momentum {
        Momentum::None => {
            for (p, g) in elements {
                *p = (-lr).mul_add(gradient(*p, *g), *p);
            }
        }
        Momentum::Heavy => {
            for ((p, g), buf) in elements.zip(buffer) {
                *buf = keep.mul_add(*buf, take * gradient(*p, *g));
                *p = (-lr).mul_add(*buf, *p);
            }
        }
        Momentum::Nesterov => {
            for ((p, g), buf) in elements.zip(buffer) {
                let g = gradient(*p, *g);
                *buf = keep.mul_add(*buf, take * g);
                *p = (-lr).mul_add(factor.mul_add(*buf, g), *p);
            }
        }
    }
}
