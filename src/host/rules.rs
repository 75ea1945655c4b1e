//! Element arithmetic: `Adam` and `Sgd` of `kernels/adam.cuh` and `kernels/sgd.cuh`, operation for operation.

use crate::optim::{Decay, Direction, Momentum, adam_record, sgd_record};

/// Elements of a tensor, of each stream as many; the states in the order of the rule.
pub(super) struct Elements<'a> {
    pub param: &'a mut [f32],
    pub grad: &'a [f32],
    pub states: Vec<&'a mut [f32]>,
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
pub(super) fn adam(decay: Decay, direction: Direction, elements: Elements<'_>, record: &[f32]) {
    match (decay, direction) {
        (Decay::None, Direction::Minimize) => adam_loop::<NONE, false>(elements, record),
        (Decay::None, Direction::Maximize) => adam_loop::<NONE, true>(elements, record),
        (Decay::Coupled, Direction::Minimize) => adam_loop::<COUPLED, false>(elements, record),
        (Decay::Coupled, Direction::Maximize) => adam_loop::<COUPLED, true>(elements, record),
        (Decay::Decoupled, Direction::Minimize) => adam_loop::<DECOUPLED, false>(elements, record),
        (Decay::Decoupled, Direction::Maximize) => adam_loop::<DECOUPLED, true>(elements, record),
    }
}

#[inline(always)]
fn adam_loop<const DECAY: u8, const MAXIMIZE: bool>(elements: Elements<'_>, r: &[f32]) {
    let (weight_decay, eps) = (r[adam_record::WEIGHT_DECAY], r[adam_record::EPS]);
    let lr_weight_decay = r[adam_record::LR_WEIGHT_DECAY];
    let (one_minus_beta1, step_size) = (r[adam_record::ONE_MINUS_BETA1], r[adam_record::STEP_SIZE]);
    let (beta2, one_minus_beta2) = (r[adam_record::BETA2], r[adam_record::ONE_MINUS_BETA2]);
    let inv_sqrt_bias_correction2 = r[adam_record::INV_SQRT_BIAS_CORRECTION2];

    let Elements { param, grad, states } = elements;
    let Ok([exp_avg, exp_avg_sq]) = <[_; 2]>::try_from(states) else { unreachable!("two states") };
    let moments = exp_avg.iter_mut().zip(exp_avg_sq);
    for ((p, g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
        let mut g = if MAXIMIZE { -*g } else { *g };
        if DECAY == COUPLED {
            g = weight_decay.mul_add(*p, g);
        }
        *m = one_minus_beta1.mul_add(g - *m, *m);
        *v = beta2.mul_add(*v, one_minus_beta2 * (g * g));
        let update = *m / v.sqrt().mul_add(inv_sqrt_bias_correction2, eps);
        *p = match DECAY {
            DECOUPLED => *p - lr_weight_decay.mul_add(*p, step_size * update),
            _ => (-step_size).mul_add(update, *p),
        };
    }
}

/// Calls the monomorph of `sgd` for run-time options.
#[inline(always)]
pub(super) fn sgd(momentum: Momentum, decay: Decay, direction: Direction, elements: Elements<'_>, record: &[f32]) {
    match (decay, direction) {
        (Decay::None, Direction::Minimize) => sgd_loops::<NONE, false>(momentum, elements, record),
        (Decay::None, Direction::Maximize) => sgd_loops::<NONE, true>(momentum, elements, record),
        (_, Direction::Minimize) => sgd_loops::<COUPLED, false>(momentum, elements, record),
        (_, Direction::Maximize) => sgd_loops::<COUPLED, true>(momentum, elements, record),
    }
}

#[inline(always)]
fn sgd_loops<const DECAY: u8, const MAXIMIZE: bool>(momentum: Momentum, elements: Elements<'_>, r: &[f32]) {
    let (lr, weight_decay) = (r[sgd_record::LR], r[sgd_record::WEIGHT_DECAY]);
    let gradient = |p: f32, g: f32| {
        let g = if MAXIMIZE { -g } else { g };
        if DECAY == COUPLED { weight_decay.mul_add(p, g) } else { g }
    };
    let (factor, keep, take) = (r[sgd_record::MOMENTUM], r[sgd_record::KEEP], r[sgd_record::TAKE]);
    let buffer = elements.states.into_iter().next().unwrap_or_default();
    let elements = elements.param.iter_mut().zip(elements.grad);
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
