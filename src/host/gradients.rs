//! The norm of all gradients, whether one is not finite, and what follows: `kernels/norm.cuh`, in the same order of
//! summation, and the decisions of `kernels/gradients.cuh`.

use super::memory;
use super::rests::rests;
use crate::gradient::{ClipForm, Factor, Norm, Verdict};
use crate::plan::layout::{Control, NORM_BLOCK, SECTION, VECTOR, WARP, WARPS};
use crate::plan::{HandedIn, Plan};

/// Adders of a level; `kernels/norm.cuh` has the same number.
const ADDERS: usize = 256;
/// Elements of a norm block that a warp adds.
const SPAN: usize = NORM_BLOCK as usize / WARPS as usize;

/// What is done to each gradient: `GradientScalars` of `kernels/gradients.cuh`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GradientScalars {
    pub factor: Option<f32>,
    pub limit: Option<f32>,
}

impl GradientScalars {
    /// Whether a rule sees anything but the gradient itself.
    pub fn changes(self) -> bool {
        self.factor.is_some() || self.limit.is_some()
    }

    /// What the rule is to see of `grad`: itself, or what is written to `prepared`.
    pub fn prepare<'a>(self, grad: &'a [f32], prepared: &'a mut Vec<f32>) -> &'a [f32] {
        if !self.changes() {
            return grad;
        }
        prepared.clear();
        prepared.extend_from_slice(grad);
        memory::with_fma(Prepare { scalars: self, prepared }, memory::Work::run);
        prepared
    }
}

struct Prepare<'a> {
    scalars: GradientScalars,
    prepared: &'a mut [f32],
}

impl memory::Work for Prepare<'_> {
    #[inline(always)]
    fn run(self) {
        let Prepare { scalars, prepared } = self;
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
}

/// The norm launch: writes the scratch part of `control`. Nothing if this optimizer has none.
pub(super) fn look(plan: &Plan, control: &mut Control, handed_in: HandedIn, calls: u32) {
    let Some(norm) = plan.gradients.norm else { return };
    let mut groups = Vec::with_capacity(plan.groups.len());
    let mut blocks = memory::map_norm_blocks(plan, |grad| norm_of_block(norm, grad)).into_iter();
    for group in 0..plan.groups.len() {
        let tensors = plan.tensors_of(group).map(|tensor| &plan.tensors[tensor]).map(|tensor| {
            // One that rests has no blocks: it adds nothing.
            let count = if rests(plan, tensor) { 0 } else { tensor.len.div_ceil(NORM_BLOCK) as usize };
            let blocks: Vec<Sum> = blocks.by_ref().take(count).collect();
            let sections: Vec<Sum> = blocks.chunks(SECTION as usize).map(|blocks| level(norm, blocks)).collect();
            level(norm, &sections)
        });
        groups.push(level(norm, &tensors.collect::<Vec<Sum>>()));
    }
    let all = level(norm, &groups);
    let mut scaled = if norm == Norm::Two { all.sum.sqrt() } else { all.sum };
    if let Some(square) = handed_in.norm_square {
        scaled = f64::from(memory::read(square)).sqrt();
    }
    let verdict = plan.gradients.judge(&plan.settings, scaled, unscale(control, handed_in), calls);
    (control.norm, control.clip_factor) = (verdict.norm, verdict.clip as f32);
    (control.factor, control.found) = (verdict.factor, u32::from(all.found));
    control.norm_call = control.calls as u32;
}

/// Whether a gradient of this step is not finite, as the engine says or as [`look`] saw.
pub(super) fn found(plan: &Plan, control: &Control, handed_in: HandedIn) -> bool {
    let handed = handed_in.found_inf.is_some_and(|found_inf| memory::read(found_inf) != 0.0);
    let seen = plan.gradients.norm.is_some() && control.found != 0;
    let norm = handed_in.norm_square.is_some_and(|square| !memory::read(square).is_finite());
    handed || (plan.gradients.skip && (seen || norm))
}

/// What the engine hands in makes of this step, where nothing is known of all gradients: what the commit notes.
pub(super) fn computed(plan: &Plan, control: &Control, handed_in: HandedIn, calls: u32) -> Verdict {
    let norm = handed_in.norm_square.map_or(0.0, |square| f64::from(memory::read(square)).sqrt());
    let verdict = plan.gradients.judge(&plan.settings, norm, unscale(control, handed_in), calls);
    // 0 without a norm, also where the scale is not finite.
    Verdict { norm: if handed_in.norm_square.is_some() { verdict.norm } else { 0.0 }, ..verdict }
}

/// What is done to each gradient of this step, which is made of `calls` calls. `flush`: the commit before could not know them.
pub(super) fn scalars(plan: &Plan, control: &Control, handed_in: HandedIn, calls: u32, flush: bool) -> GradientScalars {
    let unknown = flush && plan.gradients.norm.is_none();
    let factor = match plan.gradients.factor {
        Factor::None => None,
        Factor::Stored if !unknown => Some(control.factor),
        Factor::Stored | Factor::Computed => Some(computed(plan, control, handed_in, calls).factor),
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

/// Of magnitudes or squares, and whether a gradient among them is not finite.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    found: bool,
}

fn norm_of_block(norm: Norm, grad: &[f32]) -> Sum {
    let add = |lane: f64, x: f64| match norm {
        // The kernel's fma: the square of an f32 is exact in f64, so this has the same bits.
        Norm::Two => lane + x * x,
        Norm::One => lane + x.abs(),
        Norm::Max => add_sums(norm, lane, x.abs()),
    };
    let sum = in_lanes(norm, grad.iter().map(|g| f64::from(*g)), add);
    Sum { sum, found: grad.iter().any(|g| !g.is_finite()) }
}

/// Adds the elements of a norm block: those of each lane, lanes in pairs, spans in pairs.
pub(super) fn in_lanes(norm: Norm, elements: impl Iterator<Item = f64>, add: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [[0.0f64; WARP]; WARPS as usize];
    for (i, x) in elements.enumerate() {
        let lane = &mut lanes[i / SPAN][i % SPAN / VECTOR as usize % WARP];
        *lane = add(*lane, x);
    }
    let mut spans = lanes.map(|mut lanes| add_in_pairs(norm, &mut lanes));
    add_in_pairs(norm, &mut spans)
}

/// Adds the places of a level: 256 adders, then those of each warp, then the warps.
pub(super) fn level_of(norm: Norm, places: impl Iterator<Item = f64>) -> f64 {
    let mut adders = [0.0f64; ADDERS];
    for (i, place) in places.enumerate() {
        adders[i % ADDERS] = add_sums(norm, adders[i % ADDERS], place);
    }
    let mut warps: Vec<f64> = adders.chunks_mut(WARP).map(|lanes| add_in_pairs(norm, lanes)).collect();
    add_in_pairs(norm, &mut warps)
}

fn level(norm: Norm, places: &[Sum]) -> Sum {
    let sum = level_of(norm, places.iter().map(|place| place.sum));
    Sum { sum, found: places.iter().any(|place| place.found) }
}

/// Adds a power of two of values in pairs that are half of them apart, a quarter, ..., 1 apart.
fn add_in_pairs(norm: Norm, values: &mut [f64]) -> f64 {
    let mut apart = values.len() / 2;
    while apart > 0 {
        for i in 0..apart {
            values[i] = add_sums(norm, values[i], values[i + apart]);
        }
        apart /= 2;
    }
    values[0]
}

fn add_sums(norm: Norm, a: f64, b: f64) -> f64 {
    match norm {
        Norm::Two | Norm::One => a + b,
        // A NaN stays, whichever side it is on.
        Norm::Max if b <= a || a.is_nan() => a,
        Norm::Max => b,
    }
}
