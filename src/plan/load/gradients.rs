//! What is done with gradients, and the control block that goes with it.

use super::options::Word;
use super::report::Findings;
use crate::error::number;
use crate::gradient::{Factor, Gradients};
use crate::plan::Plan;
use crate::plan::kept::Kept;
use crate::plan::layout::Control;
use crate::settings::Settings;

/// Control and settings that are in force from now on. How many calls make an update is the block's where both accumulate; when to stop and
/// what the step observes is the plan's.
pub(super) fn compare(plan: &Plan, kept: &Kept, findings: &mut Findings) -> (Control, Settings) {
    let (theirs, ours) = (Side { gradients: kept.gradients, settings: &kept.settings }, Side::of(plan));
    let (mut control, mut settings) = (kept.control, plan.settings);
    clipping(&theirs, &ours, findings);
    let scales_alike = loss_scale(&theirs, &ours, &control, findings);
    accumulation(&theirs, &ours, &control, findings);
    if theirs.gradients.accumulate && ours.gradients.accumulate {
        let [stored, here] = [&theirs, &ours].map(|side| side.settings.accumulate);
        settings.accumulate = stored;
        match stored {
            0 => findings.refuse("accumulate.calls", "0", here.to_string(), "must be at least 1"),
            _ if stored != here => findings.keeps("accumulate.calls", stored.to_string(), here.to_string()),
            _ => {}
        }
    } else if !ours.gradients.accumulate {
        control.micro_step = 0;
    }
    if control.increment != plan.increment {
        let [stored, here] = [control.increment, plan.increment].map(|increment| increment.to_string());
        findings.keeps("progress_increment", stored, here);
    }
    if !scales_alike {
        if !(theirs.gradients.dynamic && ours.gradients.dynamic) {
            control.loss_scale = settings.loss_scale;
            control.growth_tracker = 0;
        }
        if theirs.settings.hysteresis != settings.hysteresis {
            control.hysteresis = settings.hysteresis;
        }
    }
    if theirs != ours {
        renew(ours.gradients, &settings, &mut control);
    }
    if ends(theirs.settings) != ends(&settings) {
        // Another end is looked for now.
        control.stop = u32::from(settings.stop_at != 0 && control.t >= settings.stop_at);
    }
    (control, settings)
}

/// What is compiled in, with its numbers.
#[derive(Debug)]
struct Side<'a> {
    gradients: Gradients,
    settings: &'a Settings,
}

impl<'a> Side<'a> {
    fn of(plan: &'a Plan) -> Side<'a> {
        Side { gradients: plan.gradients, settings: &plan.settings }
    }

    /// The settings of a loss scale, as files have them.
    fn scale(&self) -> [(&'static str, String); 8] {
        let s = self.settings;
        [
            ("init", number(s.loss_scale)),
            ("growth", number(s.growth)),
            ("backoff", number(s.backoff)),
            ("interval", s.growth_interval.to_string()),
            ("min", number(s.min_scale)),
            ("max", number(s.max_scale)),
            ("hysteresis", s.hysteresis.to_string()),
            ("consecutive_hysteresis", (s.consecutive_hysteresis != 0).to_string()),
        ]
    }

    /// The engine gives the inverse scale or the squared norm.
    fn handed_in(&self) -> bool {
        self.gradients.factor == Factor::Computed
    }
}

/// In all that changes what is done with gradients.
impl PartialEq for Side<'_> {
    fn eq(&self, other: &Side<'_>) -> bool {
        let bits = |side: &Side<'_>| {
            (side.scale(), side.settings.max_norm.to_bits(), side.settings.raise_after, side.settings.mean)
        };
        self.gradients == other.gradients && bits(self) == bits(other)
    }
}

/// Calls that were made under other options leave nothing for the next one to go by.
fn renew(gradients: Gradients, settings: &Settings, control: &mut Control) {
    let calls = control.micro_step + 1;
    let verdict = gradients.judge(settings, 0.0, 1.0 / f64::from(control.loss_scale), calls);
    (control.factor, control.clip_factor, control.norm, control.found) = (verdict.factor, 1.0, 0.0, 0);
    if !gradients.skip {
        control.skipped_in_a_row = 0;
    }
}

fn ends(settings: &Settings) -> (u64, u32, u32, u32) {
    (settings.stop_at, settings.stop_below.to_bits(), settings.stop_on_plateau, settings.stop_at_min_scale)
}

fn clipping(theirs: &Side<'_>, ours: &Side<'_>, findings: &mut Findings) {
    let clip = |side: &Side<'_>| side.gradients.clip_words(side.settings.max_norm);
    let clips_alike = theirs.gradients.clip == ours.gradients.clip
        && theirs.settings.max_norm.to_bits() == ours.settings.max_norm.to_bits()
        && theirs.settings.limit.to_bits() == ours.settings.limit.to_bits();
    if !clips_alike {
        findings.differs(Word::Clipping, "clip", clip(theirs), clip(ours));
    }
    let policy = |side: &Side<'_>| side.gradients.skip_words(side.settings);
    // With a dynamic scale they are skipped in any case.
    let of_scale = theirs.gradients.dynamic != ours.gradients.dynamic;
    let skips = theirs.gradients.skip != ours.gradients.skip && !of_scale;
    if skips || theirs.settings.raise_after != ours.settings.raise_after {
        findings.differs(Word::Clipping, "gradients that are not finite", policy(theirs), policy(ours));
    }
    let norms = theirs.gradients.norm != ours.gradients.norm;
    if norms && clips_alike && !skips && !of_scale {
        let norm = |side: &Side<'_>| side.gradients.norm_words();
        findings.differs(Word::Clipping, "norm", norm(theirs), norm(ours));
    }
    if theirs.handed_in() != ours.handed_in() {
        let by_norm = [theirs, ours].into_iter().any(|side| side.handed_in() && side.gradients.clips_by_norm());
        let words = |side: &Side<'_>| if side.handed_in() { "from the engine" } else { "not from the engine" };
        match by_norm {
            true => findings.differs(Word::Clipping, "norm_square", words(theirs), words(ours)),
            false => findings.differs(Word::LossScale, "inv_scale", words(theirs), words(ours)),
        }
    }
}

/// Whether both are one.
fn loss_scale(theirs: &Side<'_>, ours: &Side<'_>, control: &Control, findings: &mut Findings) -> bool {
    let numbers = theirs.scale().into_iter().zip(ours.scale());
    let other = numbers.filter(|((_, theirs), (_, ours))| theirs != ours);
    let other: Vec<_> = other.collect();
    if theirs.gradients.dynamic == ours.gradients.dynamic && other.is_empty() {
        return true;
    }
    if theirs.gradients.dynamic && ours.gradients.dynamic {
        let note = format!("it stays {}, as the run has it", number(control.loss_scale));
        for ((name, stored), (_, here)) in other {
            let place = format!("loss_scale.{name}");
            findings.differs_with(Word::LossScale, place, stored, here, &*note);
        }
        return false;
    }
    let words = |side: &Side<'_>| side.gradients.scale_words(side.settings);
    let [now, before] = [ours.settings.loss_scale, control.loss_scale].map(number);
    let note = format!("it is {now} from now on, and was {before}");
    findings.differs_with(Word::LossScale, "loss_scale", words(theirs), words(ours), note);
    false
}

fn accumulation(theirs: &Side<'_>, ours: &Side<'_>, control: &Control, findings: &mut Findings) {
    let words = |side: &Side<'_>| side.gradients.accumulate_words(side.settings);
    let kind = |side: &Side<'_>| (side.gradients.accumulate, side.settings.mean);
    if kind(theirs) != kind(ours) {
        let note = match (control.micro_step, ours.gradients.accumulate) {
            (0, _) | (_, true) => String::new(),
            (calls, false) => format!("the next call updates with what {calls} before it have accumulated"),
        };
        findings.differs_with(Word::Accumulation, "accumulate", words(theirs), words(ours), note);
    }
    if theirs.gradients.zero != ours.gradients.zero {
        let words = |side: &Side<'_>| if side.gradients.zero { "after use" } else { "not" };
        findings.differs(Word::Accumulation, "gradients zeroed", words(theirs), words(ours));
    }
}
