//! A state block goes into an optimizer, which may be another one than it came from. Everything is matched by the names of tensors:
//! groups are matched through theirs, with what they remember. What differs is found as a whole before anything is changed.
//!
//! `options` is what may differ, `report` what is told, `matched` who is whose; then one file each for what is compared:
//! `schedules`, `gradients`, `metrics`, `remembered`, `forms`; `memory` puts states in their places. Start at [`decode`].

mod forms;
mod gradients;
mod matched;
mod memory;
mod metrics;
mod options;
mod remembered;
mod report;
mod schedules;

pub use options::LoadOptions;
pub use report::Loaded;

use super::block::Reader;
use super::kept::Kept;
use super::layout::Control;
use super::state::{STATES, Tables, expect_little_endian};
use super::{Editable, Plan};
use crate::error::{Error, Result};
use forms::Sources;
use matched::Matched;
use report::Findings;

/// A block that was checked against a plan.
#[derive(Debug)]
pub(crate) struct Loading<'a> {
    pub tables: Tables,
    /// What the host knows of the knobs from now on.
    pub editable: Editable,
    pub loaded: Loaded,
    sources: Sources<'a>,
}

/// Checks all of `block`, and that it differs from `plan` in nothing but what `options` allow.
pub(crate) fn decode<'a>(plan: &Plan, block: &'a [u8], options: LoadOptions) -> Result<Loading<'a>> {
    expect_little_endian()?;
    let mut block = Reader::open(block)?;
    let kept = Kept::read(&mut block)?;
    let mut section = block.section(STATES, "states")?;
    let states = memory::pieces(&kept.tensors, &mut section)?;
    section.end()?;
    block.end()?;
    expect_countable(&kept.control)?;

    let mut findings = Findings::new(options, kept.control.t);
    let matched = Matched::new(plan, &kept, &mut findings);
    let (editable, constants) = schedules::compare(plan, &kept, &matched, &mut findings)?;
    let (control, settings) = gradients::compare(plan, &kept, &mut findings);
    let (metric_states, windows) = metrics::compare(plan, &kept, &matched, &mut findings);
    let sources = forms::compare(plan, &kept, &matched, states, &mut findings);
    if findings.all_allowed() {
        // Of other tensors they would say nothing new.
        if let Err(error) = plan.counts_agree(kept.control.t, &matched.counts(&kept)) {
            findings.refuse_error(error);
        }
    }
    let remembered = remembered::compare(plan, &kept, &matched, &mut findings);
    let loaded = findings.finish()?;
    let tables = Tables { control, settings, constants, metric_states, windows, remembered };
    Ok(Loading { tables, editable, loaded, sources })
}

/// Counters that the next call can raise.
fn expect_countable(control: &Control) -> Result<()> {
    let calls = control.t.checked_add(control.skipped).and_then(|calls| calls.checked_add(1));
    if calls.is_none() || control.calls == u64::MAX || control.micro_step == u32::MAX {
        let counters = format!("{}, {} and {}", control.t, control.skipped, control.micro_step);
        return Err(Error::argument("state.control.t, .skipped and .micro_step", counters, "must be numbers of calls"));
    }
    Ok(())
}

impl Plan {
    /// Whether the tensors of this plan can have had `counts` updates, one number a tensor by its place, when the clock is at `t`: cohorts are made at
    /// build, and the tensors of one have had equally many.
    fn counts_agree(&self, t: u64, counts: &[u64]) -> Result<()> {
        let has = |tensor: usize| self.cohorts[self.tensors[tensor].cohort as usize].base.wrapping_add(t);
        let Some(tensor) = self.living().find(|tensor| counts[*tensor] != has(*tensor)) else { return Ok(()) };
        let base = self.cohorts[self.tensors[tensor].cohort as usize].base;
        let rule = format!(
            "it was registered with {base} updates before, which at clock {t} makes {}: register it with Tensor::updates({})",
            has(tensor),
            counts[tensor].wrapping_sub(t)
        );
        Err(Error::argument(format!("updates of tensor {:?}", self.names[tensor]), counts[tensor], rule))
    }
}
