//! Schedules of one kind, what follows from them, and where each goes. Start at [`RateGroup`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::scope::{RateScalar, RateScope};
use crate::error::{Error, Result, quoted};
use crate::plan::{Dtype, Output};
use crate::rule::tape::{Apply, Binary, Id, Measure, Node, Op, Resolve, Stated, Tape, is_name};
use crate::rule::{Of, Range, Remembered, TapeRule};
use crate::schedule::{IntoSchedule, Metric, Schedule};

/// The most different values that a group writes.
const MAX_WRITTEN: usize = 16;
/// The most schedules of a group.
const MAX_SCHEDULES: usize = 24;
/// What stands before the name of a schedule that is written, among what is remembered.
const WRITTEN: &str = "value_of_";
/// What files have of a group besides.
const KEYS: [&str; 4] = ["name", "rule", "metric", "precision"];

type Value = dyn for<'a> Fn(&'a RateScope) -> RateScalar<'a> + Send + Sync;

/// Schedules, values that follow from them, and the addresses that they are written to: what a parameter group is to an optimizer.
/// See [`Rates`](super::Rates).
#[derive(Clone)]
#[must_use = "give it to `RatesBuilder::group`"]
pub struct RateGroup {
    name: Option<String>,
    schedules: Vec<(String, Schedule)>,
    values: Vec<(String, Arc<Value>)>,
    writes: Vec<(String, RateOutput)>,
    metric: Option<Metric>,
}

/// Where a value is written: an f32, rounded once, or an f64 as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateOutput {
    pub(super) address: u64,
    pub(super) dtype: Dtype,
}

impl RateOutput {
    /// An f32 at this address, aligned to 4 bytes.
    pub fn f32(address: u64) -> RateOutput {
        RateOutput { address, dtype: Dtype::F32 }
    }

    /// An f64 at this address, aligned to 8 bytes.
    pub fn f64(address: u64) -> RateOutput {
        RateOutput { address, dtype: Dtype::F64 }
    }
}

/// Names and schedules, without addresses.
impl fmt::Debug for RateGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RateGroup");
        if let Some(name) = &self.name {
            shown.field("name", name);
        }
        for (name, schedule) in &self.schedules {
            shown.field(name, &format_args!("{schedule:?}"));
        }
        let values: Vec<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        shown.field("values", &values).field("addresses", &self.writes.len()).finish()
    }
}

impl RateGroup {
    /// A group with the schedule `lr`, the learning rate.
    pub fn new(lr: impl IntoSchedule) -> RateGroup {
        let schedules = vec![("lr".to_owned(), lr.into())];
        RateGroup { name: None, schedules, values: Vec::new(), writes: Vec::new(), metric: None }
    }

    /// Names the group: a state goes by the name. Without one it goes by its place.
    pub fn name(mut self, name: impl Into<String>) -> RateGroup {
        self.name = Some(name.into());
        self
    }

    /// Adds another schedule, a number for one: `weight_decay`, `beta1`; 24 with `lr` at most. A name is of small letters, digits and
    /// underscores.
    pub fn schedule(mut self, name: impl Into<String>, schedule: impl IntoSchedule) -> RateGroup {
        self.schedules.push((name.into(), schedule.into()));
        self
    }

    /// Adds a value that follows from schedules and from values before it.
    pub fn value(
        mut self,
        name: impl Into<String>,
        of: impl for<'a> Fn(&'a RateScope) -> RateScalar<'a> + Send + Sync + 'static,
    ) -> RateGroup {
        self.values.push((name.into(), Arc::new(of)));
        self
    }

    /// Multiplies `lr` by a factor that follows observed metrics.
    pub fn metric(mut self, metric: impl Into<Metric>) -> RateGroup {
        self.metric = Some(metric.into());
        self
    }

    /// Writes the schedule or the value `name` to an address, at every launch. Any number of addresses may take one value; a group writes
    /// at most 16 different ones.
    ///
    /// # Safety
    ///
    /// From the moment [`Rates`](super::Rates) are built until they are dropped and their last launch is done, the address is that of a
    /// live element of that type, writable by their device; a graph that captured a launch is not launched after that; and
    /// everything else that touches it is ordered with the launches, on CUDA by stream order or events.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn write(mut self, name: impl Into<String>, output: RateOutput) -> RateGroup {
        self.writes.push((name.into(), output));
        self
    }

    pub(super) fn called(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The rule whose memory the written values are, and where each goes. `group`: its place.
    pub(super) fn lower(&self, group: usize) -> Result<(TapeRule, Vec<Output>)> {
        let refused = |argument: String, value: String, rule: String| Err(Error::argument(argument, value, rule));
        let scope = RateScope::new();
        let names = self.schedules.iter().map(|(name, _)| name).chain(self.values.iter().map(|(name, _)| name));
        if self.schedules.len() > MAX_SCHEDULES {
            let rule = format!("must be at most {MAX_SCHEDULES} with lr: add another group for the rest");
            return refused("schedule".to_owned(), self.schedules.len().to_string(), rule);
        }
        let mut seen = BTreeSet::new();
        for name in names {
            let long = name.len() + WRITTEN.len() > 48;
            if !is_name(name) || long || name.starts_with(WRITTEN) || KEYS.contains(&&**name) {
                let rule = "must be at most 39 small letters, digits and single underscores, begin with a letter, and be no word of C++, of a \
                            tape or of a configuration";
                return refused("name".to_owned(), quoted(name), rule.to_owned());
            }
            if !seen.insert(name) {
                return refused(
                    "name".to_owned(),
                    quoted(name),
                    "must not be that of another schedule or value".to_owned(),
                );
            }
        }
        for (place, (name, _)) in self.schedules.iter().enumerate() {
            scope.schedule(name, place as u32);
        }
        for (name, of) in &self.values {
            let value = of(&scope);
            if let Some(missing) = scope.take_missing() {
                let rule = format!("names no schedule and no value before it: there are {}", scope.names().join(", "));
                return refused(format!("value.{name}"), quoted(&missing), rule);
            }
            scope.know(name, value.id());
        }

        let mut written: Vec<(&str, Id)> = Vec::new();
        let mut outputs = Vec::with_capacity(self.writes.len());
        for (name, output) in &self.writes {
            let value = match written.iter().position(|(known, _)| known == name) {
                Some(value) => value,
                None => {
                    let Some(id) = scope.node_of(name) else {
                        let rule = format!("is no schedule and no value: there are {}", scope.names().join(", "));
                        return refused("write".to_owned(), quoted(name), rule);
                    };
                    written.push((name, id));
                    written.len() - 1
                }
            };
            outputs.push(Output { group, value, address: output.address, dtype: output.dtype });
        }
        if written.is_empty() {
            return refused(
                "write".to_owned(),
                "missing".to_owned(),
                "must be called: nothing would be written".to_owned(),
            );
        }
        if written.len() > MAX_WRITTEN {
            let rule = format!("must be at most {MAX_WRITTEN} different values: add another group for the rest");
            return refused("write".to_owned(), written.len().to_string(), rule);
        }
        let tape = self.tape(&written, scope.into_nodes());
        let mut rule = TapeRule::new(tape);
        // Nothing that is written is gone on from: a state fits whatever follows from the same schedules.
        rule.identity = Some("rates".to_owned());
        for (name, schedule) in &self.schedules {
            rule = rule.set(name, schedule.clone());
        }
        if let Some(metric) = self.metric {
            rule = rule.metric(metric);
        }
        Ok((rule, outputs))
    }

    /// What is written is remembered, so that it lies in the half in force before a launch reads it.
    fn tape(&self, written: &[(&str, Id)], nodes: Vec<Node>) -> Tape {
        let corrected = |place: usize| {
            nodes.iter().any(|node| match node.op {
                Op::BiasCorrection(beta, _) => nodes[beta as usize].op == Op::Hyperparameter(place as u32),
                _ => false,
            })
        };
        let stated = |(place, (name, _)): (usize, &(String, Schedule))| Stated {
            name: name.clone(),
            range: if corrected(place) { Range::BelowOne } else { Range::Any },
            default: None,
        };
        // A schedule that is written as it is needs another name among what is remembered.
        let taken = |name: &str| self.schedules.iter().any(|(known, _)| known == name);
        let memory = written.iter().map(|(name, _)| {
            let name = if taken(name) { format!("{WRITTEN}{name}") } else { (*name).to_owned() };
            Remembered::new(name, Of::Cohort, 0.0)
        });
        // No element ever: the groups have none.
        let element = |op: Op| Node { op, name: None };
        let apply = vec![element(Op::Param), element(Op::Grad), element(Op::Binary(Binary::Add, [0, 1]))];
        let tape = Tape {
            name: "rates".to_owned(),
            hyperparameters: self.schedules.iter().enumerate().map(stated).collect(),
            streams: Vec::new(),
            sums: Vec::new(),
            memory: memory.collect(),
            scalars: Vec::new(),
            resolve: Resolve {
                scalars: Vec::new(),
                next: written.iter().map(|(_, id)| *id).collect(),
                nodes: nodes.clone(),
            },
            measure: Measure { nodes: Vec::new(), terms: Vec::new() },
            apply: Apply { nodes: apply, param: 2, streams: Vec::new() },
            show: None,
        };
        tape.ordered()
    }
}
