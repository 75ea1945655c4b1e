//! The norm of all gradients, whether one is not finite, and what follows: `kernels/norm.cuh`, in the same order of
//! summation, and the decisions of `kernels/gradients.cuh`.

use super::memory;
use super::rules::GradientScalars;
use crate::gradient::{ClipForm, Factor, Norm, Verdict};
use crate::plan::layout::{Control, Partial, WARP};
use crate::plan::{HandedIn, Plan};

/// Adders of the last summation; `kernels/norm.cuh` has the same number.
const ADDERS: usize = 256;

/// The norm launch: writes the scratch part of `control`. Nothing if this optimizer has none.
pub(super) fn look(plan: &Plan, control: &mut Control, handed_in: HandedIn) {
    let Some(norm) = plan.gradients.norm else { return };
    let partials = memory::map_norm_blocks(plan, |grad| norm_of_block(norm, grad));
    let mut adders = [Partial { sum: 0.0, found: 0, reserved: 0 }; ADDERS];
    for (i, partial) in partials.iter().enumerate() {
        let adder = &mut adders[i % ADDERS];
        *adder = add(norm, *adder, *partial);
    }
    let mut apart = ADDERS / 2;
    while apart > 0 {
        for k in 0..apart {
            adders[k] = add(norm, adders[k], adders[k + apart]);
        }
        apart /= 2;
    }
    let mut scaled = if norm == Norm::Two { adders[0].sum.sqrt() } else { adders[0].sum };
    if let Some(square) = handed_in.norm_square {
        scaled = f64::from(memory::read(square)).sqrt();
    }
    let verdict = plan.gradients.judge(&plan.settings, scaled, unscale(control, handed_in), control.micro_step + 1);
    (control.norm, control.clip_factor) = (verdict.norm, verdict.clip as f32);
    (control.factor, control.found) = (verdict.factor, adders[0].found);
}

/// Whether a gradient of this step is not finite, as the engine says or as [`look`] saw.
pub(super) fn found(plan: &Plan, control: &Control, handed_in: HandedIn) -> bool {
    let handed = handed_in.found_inf.is_some_and(|found_inf| memory::read(found_inf) != 0.0);
    let seen = plan.gradients.norm.is_some() && control.found != 0;
    let norm = handed_in.norm_square.is_some_and(|square| !memory::read(square).is_finite());
    handed || (plan.gradients.skip && (seen || norm))
}

/// What the engine hands in makes of this step, where nothing is known of all gradients: what the commit notes.
pub(super) fn computed(plan: &Plan, control: &Control, handed_in: HandedIn) -> Verdict {
    let norm = handed_in.norm_square.map_or(0.0, |square| f64::from(memory::read(square)).sqrt());
    let verdict = plan.gradients.judge(&plan.settings, norm, unscale(control, handed_in), control.micro_step + 1);
    // 0 without a norm, also where the scale is not finite.
    Verdict { norm: if handed_in.norm_square.is_some() { verdict.norm } else { 0.0 }, ..verdict }
}

/// What is done to each gradient of this step.
pub(super) fn scalars(plan: &Plan, control: &Control, handed_in: HandedIn) -> GradientScalars {
    let factor = match plan.gradients.factor {
        Factor::None => None,
        Factor::Stored => Some(control.factor),
        Factor::Computed => Some(computed(plan, control, handed_in).factor),
    };
    let limit = (plan.gradients.clip == Some(ClipForm::Value)).then_some(plan.settings.limit);
    GradientScalars { factor, limit }
}

fn unscale(control: &Control, handed_in: HandedIn) -> f64 {
    match handed_in.inv_scale {
        Some(inv_scale) => f64::from(memory::read(inv_scale)),
        None => 1.0 / f64::from(control.loss_scale),
    }
}

fn norm_of_block(norm: Norm, grad: &[f32]) -> Partial {
    let mut lanes = [0.0f64; WARP];
    for (i, g) in grad.iter().enumerate() {
        let lane = &mut lanes[i / 4 % WARP];
        let x = f64::from(*g);
        *lane = match norm {
            // The kernel's fma: the square of an f32 is exact in f64, so this has the same bits.
            Norm::Two => *lane + x * x,
            Norm::One => *lane + x.abs(),
            Norm::Max => add_sums(norm, *lane, x.abs()),
        };
    }
    let mut apart = WARP / 2;
    while apart > 0 {
        let before = lanes;
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane = add_sums(norm, before[l], before[l ^ apart]);
        }
        apart /= 2;
    }
    let found = grad.iter().any(|g| !g.is_finite());
    Partial { sum: lanes[0], found: u32::from(found), reserved: 0 }
}

fn add(norm: Norm, a: Partial, b: Partial) -> Partial {
    Partial { sum: add_sums(norm, a.sum, b.sum), found: a.found | b.found, reserved: 0 }
}

fn add_sums(norm: Norm, a: f64, b: f64) -> f64 {
    match norm {
        Norm::Two | Norm::One => a + b,
        // A NaN stays, whichever side it is on.
        Norm::Max if b <= a || a.is_nan() => a,
        Norm::Max => b,
    }
}
