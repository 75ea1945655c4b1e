//! Metric rules and what they have come to: those of a group go with its tensors, as what rules remember does.

use super::matched::Matched;
use super::options::Word;
use super::report::Findings;
use crate::error::number;
use crate::plan::kept::{Kept, KeptMetric};
use crate::plan::layout::{MetricRow, MetricStateRow};
use crate::plan::{Plan, metrics};
use crate::schedule::short;

/// The states of the plan's metric rules, and their windows.
pub(super) fn compare(
    plan: &Plan,
    kept: &Kept,
    matched: &Matched,
    findings: &mut Findings,
) -> (Vec<MetricStateRow>, Vec<f64>) {
    shares(plan, kept, matched, findings);
    let (rows, fresh) = (metrics::rows(&plan.metrics), metrics::start(&plan.metrics));
    // For each rule what it goes on from, and a group for which that is so.
    let mut goes_on: Vec<Option<(&KeptMetric, usize)>> = vec![None; rows.len()];
    for (group, theirs) in matched.groups.iter().enumerate() {
        let ours = (plan.groups[group].metric as usize).checked_sub(1);
        for theirs in theirs {
            let stored = kept.groups[*theirs].metric.checked_sub(1).map(|place| &kept.metrics[place]);
            let here = ours.map(|place| &rows[place]);
            differs(group, stored, here, findings);
            let (Some(stored), Some(place), Some(here)) = (stored, ours, here) else { continue };
            if !go_on(&stored.row, here) {
                continue;
            }
            match goes_on[place] {
                None => goes_on[place] = Some((stored, group)),
                Some((known, other)) if known.bits() != stored.bits() => {
                    let [a, b] = [known, stored].map(|metric| short(metric.state.scale));
                    let note = "groups that had rules of their own share this one here, and theirs have come to different states";
                    let place = match other == group {
                        true => format!("groups[{group}].metric"),
                        false => format!("groups[{other}].metric, groups[{group}].metric"),
                    };
                    findings.refuse(place, format!("at scales {a} and {b}"), "one rule", note);
                }
                Some(_) => {}
            }
        }
    }
    let (mut states, mut windows) = (fresh, vec![0.0; metrics::window_count(&plan.metrics)]);
    for ((metric, row), state) in goes_on.iter().zip(&rows).zip(&mut states) {
        if let Some((metric, _)) = metric {
            *state = metric.state;
            windows[row.window_at as usize..][..metric.window.len()].copy_from_slice(&metric.window);
        }
    }
    (states, windows)
}

impl KeptMetric {
    /// By which states are equal, also where a NaN is in them.
    fn bits(&self) -> (&[u8], &[u8]) {
        (bytemuck::bytes_of(&self.state), bytemuck::cast_slice(&self.window))
    }
}

/// Whether the state of one rule means the same to another one.
fn go_on(stored: &MetricRow, here: &MetricRow) -> bool {
    let kind = |row: &MetricRow| (row.greedy, row.higher, row.window);
    kind(stored) == kind(here)
}

/// Another rule, or one where there was none.
fn differs(group: usize, stored: Option<&KeptMetric>, here: Option<&MetricRow>, findings: &mut Findings) {
    let kind = |row: &MetricRow| if row.greedy != 0 { "greedy" } else { "plateau" };
    let place = format!("groups[{group}].metric");
    match (stored, here) {
        (None, None) => {}
        (None, Some(here)) => findings.differs(Word::Metrics, place, "none", kind(here)),
        (Some(stored), None) => {
            let note = format!("its scale was {}, and is 1 from now on", short(stored.state.scale));
            findings.differs_with(Word::Metrics, place, kind(&stored.row), "none", note);
        }
        (Some(KeptMetric { row, state, .. }), Some(here)) => {
            let note = match go_on(row, here) {
                true => format!("its state goes on, with scale {}", short(state.scale)),
                false => format!("it starts anew: its scale was {}, and is 1 from now on", short(state.scale)),
            };
            if kind(row) != kind(here) {
                return findings.differs_with(Word::Metrics, place, kind(row), kind(here), note);
            }
            let both = settings(row).into_iter().zip(settings(here));
            for ((name, stored), (_, here)) in both.filter(|((_, a), (_, b))| a != b) {
                findings.differs_with(Word::Metrics, format!("{place}.{name}"), stored, here, &*note);
            }
        }
    }
}

/// All that a rule goes by, as files have it.
fn settings(row: &MetricRow) -> [(&'static str, String); 14] {
    let better = if row.higher != 0 { "higher" } else { "lower" };
    let never_if_0 = |count: u64| if count == 0 { "never".to_owned() } else { count.to_string() };
    let greedy = row.greedy != 0;
    [
        ("improvement.better", better.to_owned()),
        ("improvement.signed", (row.signed != 0).to_string()),
        ("improvement.relative", number(row.relative)),
        ("improvement.absolute", number(row.absolute)),
        ("smooth", row.window.to_string()),
        ("factor", number(row.factor)),
        ("min_scale", number(row.min_scale)),
        ("max_scale", number(row.max_scale)),
        ("min_change", number(row.min_change)),
        ("patience", row.patience.to_string()),
        (if greedy { "pause_after_decrease" } else { "cooldown" }, row.cooldown.to_string()),
        ("pause_after_increase", row.pause_after_increase.to_string()),
        ("average", row.average.to_string()),
        ("reset_after", never_if_0(row.reset_after)),
    ]
}

/// Groups share a rule in one of the two, and have one each in the other.
fn shares(plan: &Plan, kept: &Kept, matched: &Matched, findings: &mut Findings) {
    let pairs = |a: usize, b: usize| {
        matched.groups[a].iter().flat_map(move |a| matched.groups[b].iter().map(move |b| (*a, *b)))
    };
    for group in 0..plan.groups.len() {
        let other = (0..group).find_map(|other| {
            let [mine, its] = [group, other].map(|group| plan.groups[group].metric);
            let differs = pairs(group, other).any(|(a, b)| {
                let [a_metric, b_metric] = [a, b].map(|group| kept.groups[group].metric);
                let all = mine != 0 && its != 0 && a_metric != 0 && b_metric != 0;
                all && a != b && (mine == its) != (a_metric == b_metric)
            });
            differs.then_some((other, mine == its))
        });
        let Some((other, shared)) = other else { continue };
        let (one, each) = (format!("one rule with groups[{other}]"), "a rule of its own".to_owned());
        let (stored, here) = if shared { (each, one) } else { (one, each) };
        findings.differs(Word::Metrics, format!("groups[{group}].metric"), stored, here);
    }
}
