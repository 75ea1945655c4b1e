//! What is recorded of every call of a step, in a ring that is read while kernels run: what the user chooses, how a record
//! looks, and how records are found in a ring. Knows no device: `kernels/telemetry.cuh` and `src/host` write the ring.
//!
//! Each word of a record is a u64 with 32 bits of the record and the number of the call: records are whole or seen to be torn,
//! whatever the order in which their words are written, copied and read. Start at [`Layout::read`].

#[cfg(feature = "csv")]
mod csv;
mod ring;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "csv")]
pub use csv::TelemetryCsv;
pub(crate) use ring::{Header, Layout, Progress, Runs, Word};

use crate::error::{Error, Result};

/// The most records of a ring.
const MAX_RECORDS: u32 = 1 << 24;

/// What is recorded of every call of a step that applies or skips an update, in a ring in device memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Telemetry {
    #[cfg_attr(feature = "serde", serde(rename = "ring"))]
    records: u32,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    groups: Option<Vec<usize>>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    mapped: bool,
}

impl Telemetry {
    /// The last `records` calls, at most 16,777,216, with the hyperparameters of all groups.
    ///
    /// A record takes 80 bytes and 8 for each hyperparameter and each scalar that a rule remembers of a group, and 24 for each group
    /// with a metric rule. A poll of a ring in
    /// device memory copies all of it, beside the steps; as long as a run between two polls, and some more, is long enough.
    pub fn ring(records: u32) -> Telemetry {
        Telemetry { records, groups: None, mapped: false }
    }

    /// Records the hyperparameters and metric rules of these groups alone.
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = usize>) -> Telemetry {
        self.groups = Some(groups.into_iter().collect());
        self
    }

    /// Puts the ring into pinned memory of the host that the device writes to: a poll then makes no driver call, and each
    /// step writes its record over the bus. On the host it makes no difference.
    #[must_use]
    pub fn mapped(mut self) -> Telemetry {
        self.mapped = true;
        self
    }

    /// How large its ring is.
    pub(crate) fn words(&self) -> String {
        format!("a ring of {} records", self.records)
    }

    /// Checks it for an optimizer of so many groups, and says which of them are recorded.
    pub(crate) fn check(&self, groups: usize) -> Result<Vec<usize>> {
        if self.records == 0 || self.records > MAX_RECORDS {
            let rule = format!("must be from 1 to {MAX_RECORDS}");
            return Err(Error::argument("telemetry.records", self.records, rule));
        }
        let chosen = self.groups.clone().unwrap_or_else(|| (0..groups).collect());
        for (i, group) in chosen.iter().enumerate() {
            let argument = format!("telemetry.groups[{i}]");
            if *group >= groups {
                return Err(Error::argument(
                    argument,
                    group,
                    format!("must be less than {groups}, the number of groups"),
                ));
            }
            if chosen[..i].contains(group) {
                return Err(Error::argument(argument, group, "must not be there twice"));
            }
        }
        Ok(chosen)
    }

    /// Checks it for an optimizer whose groups have these hyperparameters. `records`: where each group's record begins in a
    /// half of them, counted in f32; `metrics`: what its metric rule has come to, if it has one; `remembered`: what the group
    /// remembers, and where that begins in a half of it.
    pub(crate) fn lay_out(
        &self,
        groups: &[Vec<String>],
        records: &[usize],
        metrics: &[Vec<(&'static str, Word)>],
        remembered: &[(Vec<Arc<str>>, usize)],
    ) -> Result<Layout> {
        let chosen = self.check(groups.len())?;
        let mut layout = Layout::new(self.records, self.mapped);
        for group in chosen {
            layout.add(group, &groups[group], records[group]);
            layout.add_metric(group, &metrics[group]);
            let (names, first) = &remembered[group];
            layout.add_remembered(group, names, *first);
        }
        Ok(layout)
    }
}

/// What one value of a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryColumn {
    /// The group.
    pub group: usize,
    /// The hyperparameter, e.g. `lr`; or, of a group with a metric rule, what that had come to: `metric_scale`, `metric_best`,
    /// `metric_bad` (observations in a row that were not better); or what its rule remembers of the group, as the update left it: an
    /// estimate such as `d` of [`Prodigy`](crate::Prodigy).
    pub name: Arc<str>,
}

/// One call of a step that applied or skipped an update.
#[derive(Clone, PartialEq)]
pub struct TelemetryRecord {
    /// The update: the number of those applied before.
    pub t: u64,
    /// The number of updates skipped before.
    pub skipped: u64,
    /// Whether it was applied; else it was skipped, since a gradient was not finite.
    pub applied: bool,
    /// Whether the flag of [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise) is up after this call.
    pub raised: bool,
    /// Whether launches of this optimizer were seen to overlap before this call: [`Status::overlapped`](crate::Status::overlapped).
    pub overlapped: bool,
    /// What the loss was multiplied by in the backward pass; 1 without a loss scale of the optimizer's own.
    pub loss_scale: f32,
    /// What clipping multiplied the gradients by.
    pub clip_factor: f32,
    /// The norm of the unscaled gradients, where one is computed; else 0.
    pub norm: f64,
    /// The engine's loss at this call, [`OptimizerBuilder::record_loss`](crate::OptimizerBuilder::record_loss); else 0.
    pub loss: f32,
    columns: Arc<[TelemetryColumn]>,
    values: Vec<f32>,
}

impl TelemetryRecord {
    /// The number of the call, `t + skipped`.
    pub fn call(&self) -> u64 {
        self.t.wrapping_add(self.skipped)
    }

    /// The hyperparameters that the update used, and what metric rules had come to, in the order of
    /// [`TelemetryRecord::columns`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// What the values are: the same for all records of an optimizer.
    pub fn columns(&self) -> &[TelemetryColumn] {
        &self.columns
    }

    /// One of the values, by the group and the name of the column.
    pub fn scalar(&self, group: usize, name: &str) -> Option<f32> {
        let place = self.columns.iter().position(|column| column.group == group && *column.name == *name)?;
        Some(self.values[place])
    }
}

impl fmt::Debug for TelemetryRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TelemetryRecord { t, skipped, applied, raised, overlapped, loss_scale, clip_factor, norm, loss, .. } = self;
        let mut shown = f.debug_struct("TelemetryRecord");
        shown.field("t", t).field("skipped", skipped).field("applied", applied).field("raised", raised);
        shown.field("overlapped", overlapped).field("loss", loss);
        shown.field("loss_scale", loss_scale).field("clip_factor", clip_factor).field("norm", norm);
        for (TelemetryColumn { group, name }, value) in self.columns.iter().zip(&self.values) {
            shown.field(&format!("{group}.{name}"), value);
        }
        shown.finish()
    }
}
