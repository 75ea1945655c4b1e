//! A state block goes into an optimizer, which may be another one than it came from. Everything is matched by the names of tensors:
//! groups are matched through theirs, with what they remember. What differs is found as a whole before anything is changed.
//!
//! `options` is what may differ, `report` what is told, `matched` who is whose, `rules` what rules are called; then one file each for
//! what is compared:
//! `schedules`, `gradients`, `metrics`, `remembered`, `forms`; `memory` puts states in their places. Start at [`decode`].

mod forms;
mod gradients;
mod matched;
mod memory;
mod metrics;
mod options;
mod remembered;
mod report;
mod rules;
mod schedules;

pub use options::LoadOptions;
pub use report::Loaded;

use super::block::Reader;
use super::kept::Kept;
use super::layout::Control;
use super::state::{STATES, Tables, expect_little_endian};
use super::{Editable, Grouping, Plan};
use crate::error::{Error, Result};
use forms::Sources;
use matched::Matched;
use report::Findings;

/// A block that was checked against a plan.
#[derive(Debug)]
pub(crate) struct Loading<'a> {
    pub tables: Tables,
    /// Whose count is whose from now on.
    pub grouping: Grouping,
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
    let grouping = plan.grouping(kept.control.t, &matched.counts(&kept), &matched.memories(&kept));
    let remembered = match &grouping {
        Ok(grouping) => remembered::compare(plan, grouping, &kept, &matched, &mut findings),
        Err(_) => Vec::new(),
    };
    if let (Err(error), true) = (&grouping, findings.all_allowed()) {
        // Of other tensors it would say nothing new.
        findings.refuse_error(error.clone());
    }
    let loaded = findings.finish()?;
    let grouping = grouping?;
    let ages = grouping.ages.iter().map(|age| age.base).collect();
    let tables = Tables { control, settings, constants, metric_states, windows, ages, remembered };
    Ok(Loading { tables, grouping, editable, loaded, sources })
}

/// Counters that the next call can raise.
fn expect_countable(control: &Control) -> Result<()> {
    let calls = control.t.checked_add(control.skipped).and_then(|calls| calls.checked_add(1));
    if calls.is_none() || control.calls == u64::MAX || control.micro_step == u32::MAX {
        let counters =
            format!("{} updates, {} skipped and {} accumulated", control.t, control.skipped, control.micro_step);
        return Err(Error::argument(
            "state.control",
            counters,
            "must be numbers of calls, which the next call can raise",
        ));
    }
    Ok(())
}
