//! `CyclicLR` and `OneCycleLR`: schedulers with rates and a momentum of their own.

use super::super::shapes::whole;
use super::super::{Arguments, python};
use super::{Anneal, Cycle, Overwrites, Place};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// `CyclicLR`: a triangle between `base_lr` and `max_lr`, scaled by cycle or by step; the momentum goes the other way.
pub(super) fn cyclic(args: &mut Arguments, place: Place<'_>) -> Result<Cycle> {
    let base_lr = own(args, place, "base_lr", None)?;
    let max_lr = own(args, place, "max_lr", None)?;
    let up = args.f64_or("step_size_up", 2000.0)?;
    let down = args.optional_f64("step_size_down")?.unwrap_or(up);
    if up <= 0.0 {
        return Err(args.error("step_size_up", up, "must be above 0: torch divides by it"));
    }
    if down < 0.0 {
        return Err(args.error("step_size_down", down, "must not be negative"));
    }
    let (mode, gamma) = (args.text_or("mode", "triangular")?, args.f64_or("gamma", 1.0)?);
    let by_iteration = args.text_or("scale_mode", "cycle")? != "cycle";
    let cycle_number = || in_cycles(up + down) + 1.0;
    let scale = match (args.optional_text("scale_fn")?, mode.as_str()) {
        (Some(text), _) => {
            let of = if by_iteration { step() } else { cycle_number() };
            Some(python::expression("params.scale_fn", &text, "x", &of)?)
        }
        (None, "triangular") => None,
        (None, "triangular2") => Some(Schedule::constant(0.5).pow(in_cycles(up + down))),
        (None, "exp_range") => Some(Schedule::exponential_decay(1.0, gamma)),
        (None, other) => {
            return Err(args.error("mode", other, "must be triangular, triangular2 or exp_range without a scale_fn"));
        }
    };
    let between = |low: f64, high: f64| match &scale {
        None => triangle(low, high, up, down),
        Some(scale) => triangle(0.0, high - low, up, down) * scale.clone() + low,
    };
    let momenta = momenta(args, place, 0.8, 0.9)?;
    Ok(Cycle {
        lr: between(base_lr, max_lr),
        cycled: momenta.map(|(low, high)| between(high, low)),
        overwrites: Overwrites::Lr(base_lr),
    })
}

/// How many cycles of `len` steps are over.
fn in_cycles(len: f64) -> Schedule {
    match whole(len) {
        Some(len) => step().every(len),
        None => step().floor_div(len),
    }
}

/// From `low` to `high` over `up` steps and back over `down`, again and again.
fn triangle(low: f64, high: f64, up: f64, down: f64) -> Schedule {
    let fall = if down == 0.0 { Some(0) } else { whole(down) };
    if let (Some(rise), Some(fall)) = (whole(up), fall) {
        return Schedule::linear(low, high).over(rise).then(Schedule::linear(high, low).over(fall)).repeat();
    }
    let t = step().modulo(up + down);
    let rise = t.clone() / up;
    // Without steps down, no step is past the top.
    let fall = (-t.clone() + (up + down)) / if down > 0.0 { down } else { 1.0 };
    t.less_equal(up).select(rise, fall) * (high - low) + low
}

/// `OneCycleLR`: up to `max_lr` and down in two phases or three, whose ends need not be integers.
///
/// Torch allows one step more than `total_steps`, and extrapolates there to a rate below 0 or one that rises again (issue
/// 38170): a longer run is refused. With `pct_start` 0 there is no rise, and the peak is left out.
pub(super) fn one_cycle(args: &mut Arguments, place: Place<'_>) -> Result<Cycle> {
    args.expect_integer("total_steps")?;
    let (epochs, per_epoch) = (args.optional_steps("epochs")?, args.optional_steps("steps_per_epoch")?);
    let total = match (args.optional_steps("total_steps")?, epochs, per_epoch) {
        (Some(total), ..) => total,
        (None, Some(epochs), Some(per_epoch)) => match epochs.checked_mul(per_epoch).filter(|total| *total < 1 << 63) {
            Some(total) => total,
            None => {
                let rule = format!("must come to less than 2^63 steps over {epochs} epochs");
                return Err(args.error("steps_per_epoch", per_epoch, rule));
            }
        },
        (None, ..) => return Err(args.missing("total_steps")),
    };
    if total == 0 {
        return Err(args.error("total_steps", total, "must be at least 1"));
    }
    if let Some(horizon) = place.horizon.filter(|horizon| *horizon > total) {
        let rule = format!("{horizon} steps will be taken: torch extrapolates at index total_steps and then raises");
        return Err(args.error("total_steps", total, rule));
    }
    args.expect_float("pct_start")?;
    let pct = args.f64_or("pct_start", 0.3)?;
    if !(0.0..=1.0).contains(&pct) {
        return Err(args.error("pct_start", pct, "must lie between 0 and 1"));
    }
    if pct * total as f64 == 1.0 {
        let rule = "makes a first phase of no steps, by whose length torch divides";
        return Err(args.error("pct_start", pct, rule));
    }
    let anneal = Anneal::read(args)?;
    let max_lr = own(args, place, "max_lr", None)?;
    let (div, final_div) = (args.f64_or("div_factor", 25.0)?, args.f64_or("final_div_factor", 1e4)?);
    for (name, value) in [("div_factor", div), ("final_div_factor", final_div)] {
        if value == 0.0 {
            return Err(args.error(name, value, "must not be 0: torch divides by it"));
        }
    }
    let (rise, end) = (pct * total as f64 - 1.0, total as f64 - 1.0);
    let ends = match args.bool_or("three_phase", false)? {
        false => vec![rise, end],
        true => vec![rise, 2.0 * pct * total as f64 - 2.0, end],
    };
    let through = |first: f64, peak: f64, back: f64, last: f64| match ends.len() {
        2 => phases(&ends, &[first, peak, last], anneal),
        _ => phases(&ends, &[first, peak, back, last], anneal),
    };
    let initial = max_lr / div;
    let momenta = momenta(args, place, 0.85, 0.95)?;
    Ok(Cycle {
        lr: through(initial, max_lr, initial, initial / final_div),
        cycled: momenta.map(|(low, high)| through(high, low, high, high)),
        overwrites: Overwrites::InitialLr(initial),
    })
}

/// From `values[i]` to `values[i + 1]` between `ends[i - 1]` (0 at first) and `ends[i]`, which is the last step of phase i.
/// A phase in which no step falls takes no time.
fn phases(ends: &[f64], values: &[f64], anneal: Anneal) -> Schedule {
    let (mut pieces, mut boundaries) = (Vec::new(), Vec::new());
    let (mut start, mut first) = (0.0, 0u64);
    for (i, end) in ends.iter().enumerate() {
        let after = if *end < 0.0 { 0 } else { (*end as u64).saturating_add(1) };
        if after > first {
            if !pieces.is_empty() {
                boundaries.push(first);
            }
            let phase = Phase { start, end: *end, from: values[i], to: values[i + 1], anneal };
            pieces.push(phase.starting_at(first).over(after - 1 - first));
            first = after;
        }
        start = *end;
    }
    Schedule::join(pieces, boundaries)
}

/// A phase between two times that need not be steps.
struct Phase {
    start: f64,
    end: f64,
    from: f64,
    to: f64,
    anneal: Anneal,
}

impl Phase {
    /// The phase on a clock that is 0 at step `first`.
    fn starting_at(&self, first: u64) -> Schedule {
        let len = self.end - self.start;
        if self.start == 0.0 && first == 0 && len.fract() == 0.0 {
            let len = len as u64;
            return match self.anneal {
                Anneal::Cosine => Schedule::cosine(self.from, self.to).over(len),
                Anneal::Linear => Schedule::linear(self.from, self.to).over(len),
            };
        }
        match self.anneal {
            // What is left, and not what is done: near the end the cosine keeps all its digits.
            Anneal::Cosine => {
                let left = (-step() + (self.end - first as f64)) / len;
                (left * std::f64::consts::FRAC_PI_2).sin().pow_int(2) * (self.from - self.to) + self.to
            }
            Anneal::Linear => (step() + (first as f64 - self.start)) / len * (self.to - self.from) + self.from,
        }
    }
}

/// A value for this group.
fn own(args: &mut Arguments, place: Place<'_>, name: &str, default: Option<f64>) -> Result<f64> {
    let values = args.numbers_per_group(name, place.count)?;
    values.map(|all| all[place.index]).or(default).ok_or_else(|| args.missing(name))
}

/// `base_momentum` and `max_momentum`, if the momentum or the first beta is cycled.
fn momenta(args: &mut Arguments, place: Place<'_>, low: f64, high: f64) -> Result<Option<(f64, f64)>> {
    let cycled = args.bool_or("cycle_momentum", true)?;
    let low = own(args, place, "base_momentum", Some(low))?;
    let high = own(args, place, "max_momentum", Some(high))?;
    if cycled && place.group.momentum.is_none() && place.group.betas.is_none() {
        let rule = "needs an optimizer with momentum or betas";
        return Err(args.error("cycle_momentum", true, rule));
    }
    Ok(cycled.then_some((low, high)))
}
