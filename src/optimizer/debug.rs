//! What `{:?}` of an optimizer, its builder and an edit shows: what a user has said and may know, on a screen, however many tensors there
//! are. No address and no table.

use std::fmt;

use super::builder::GroupOf;
use super::edit::Edit;
use super::{Engine, Optimizer, OptimizerBuilder};
use crate::dynamic::Dynamic;
use crate::error::{number, quoted};
use crate::plan::{Group, Plan, Request, Reserve, Tensor, Words};
use crate::precision::Precision;
use crate::program::Knob;
use crate::schedule::Metric;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// The most groups, and the most knobs, that are shown.
const SHOWN: usize = 12;
/// The most characters of a schedule.
const CHARACTERS: usize = 160;

/// Text as it is.
struct Text(String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first of many lines.
struct First<I>(I, &'static str);

impl<I: ExactSizeIterator<Item = String> + Clone> fmt::Debug for First<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.0.clone().take(SHOWN).map(Text));
        if let more @ 1.. = self.0.len().saturating_sub(SHOWN) {
            list.entry(&Text(format!("and {more} more {}", self.1)));
        }
        list.finish()
    }
}

/// Options by their names.
type Options = Vec<(&'static str, String)>;

fn fields(shown: &mut fmt::DebugStruct<'_, '_>, options: Options) {
    for (name, words) in options {
        shown.field(name, &Text(words));
    }
}

/// A group on a line. `schedules`: its hyperparameters, each in words.
fn group<'a>(
    name: Option<&str>,
    rule: &str,
    (tensors, elements): (usize, u64),
    schedules: impl Iterator<Item = (&'a str, String)>,
) -> String {
    let name = name.map_or_else(String::new, |name| format!("{} ", quoted(name)));
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let of = format!("{tensors} tensor{}, {elements} element{}", plural(tensors as u64), plural(elements));
    let schedules: Vec<String> = schedules.map(|(name, words)| format!("{name} {}", cut(&words))).collect();
    format!("{name}{rule}: {of}; {}", schedules.join(", "))
}

/// The first characters of a long text.
fn cut(words: &str) -> String {
    match words.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        let mut shown = f.debug_struct("Optimizer");
        match &self.0 {
            Engine::Host(engine) => {
                shown.field("device", &Text("host".to_owned())).field("updates", &engine.control().t);
            }
            Engine::Cuda(engine) => {
                shown.field("device", &Text(engine.context.name().to_owned()));
            }
        }
        shown.field("groups", &First((0..plan.groups.len()).map(|index| group_of(plan, index)), "groups"));
        let knobs: Vec<String> = plan.editable.knobs().map(|(name, value)| knob(name, value)).collect();
        if !knobs.is_empty() {
            shown.field("knobs", &First(knobs.into_iter(), "knobs"));
        }
        fields(&mut shown, plan.gradients.options(&plan.settings));
        fields(&mut shown, ends(&plan.settings));
        let options = [
            metric_at(plan, plan.shared_metric).map(|metric| ("metric", kind(metric).to_owned())),
            plan.telemetry.as_ref().map(|ring| ("telemetry", Telemetry::ring(ring.records).words())),
            (plan.precision != Precision::new()).then(|| ("precision", plan.precision.words())),
            plan.reserve.map(|reserve| ("dynamic", room(&reserve))),
        ];
        fields(&mut shown, options.into_iter().flatten().collect());
        fields(&mut shown, clocks(plan.seed, plan.start, plan.increment, plan.parts.is_some()));
        shown.finish()
    }
}

fn group_of(plan: &Plan, index: usize) -> String {
    let stated = &plan.stated[index];
    let tensors = plan.tensors_of(index);
    let sizes = (tensors.len(), tensors.map(|tensor| plan.tensors[tensor].len).sum());
    let names = plan.variants[plan.groups[index].variant as usize].hyperparameters();
    let schedules = names.zip(&stated.schedules).map(|(name, stated)| (name, stated.words.line().to_owned()));
    let Group { precision, metric, .. } = &plan.groups[index];
    let own_metric = metric_at(plan, *metric).filter(|_| *metric != plan.shared_metric);
    let own_precision = (*precision != plan.precision).then_some(precision);
    group(stated.name.as_deref(), &stated.rule, sizes, schedules) + &own(own_metric, own_precision)
}

/// What a group has of its own.
fn own(metric: Option<&Metric>, precision: Option<&Precision>) -> String {
    let metric = metric.map_or_else(String::new, |metric| format!("; metric {}", kind(metric)));
    precision.map_or(metric.clone(), |precision| format!("{metric}; precision {}", precision.words()))
}

/// The metric rule at `place`, counted from 1.
fn metric_at(plan: &Plan, place: u32) -> Option<&Metric> {
    plan.metrics.get(place.checked_sub(1)? as usize)
}

fn knob(name: &str, value: Option<Knob>) -> String {
    let value = value.map_or_else(|| "now, as the device has it".to_owned(), |value| value.to_string());
    format!("{} {value}", quoted(name))
}

fn kind(metric: &Metric) -> &'static str {
    match metric {
        Metric::Plateau(_) => "plateau",
        Metric::Greedy(_) => "greedy",
    }
}

/// When a step ends the training, and what it observes.
fn ends(settings: &Settings) -> Options {
    let options = [
        (settings.stop_at != 0).then(|| ("stop_at", settings.stop_at.to_string())),
        (settings.stop_below != 0.0).then(|| ("stop_below", number(settings.stop_below))),
        (settings.stop_on_plateau != 0).then(|| ("stop_on_plateau", "true".to_owned())),
        (settings.observe_every != 0).then(|| ("observe_every", settings.observe_every.to_string())),
    ];
    options.into_iter().flatten().collect()
}

fn room(Reserve { tensors, elements, groups, .. }: &Reserve) -> String {
    format!("room for {tensors} tensors, {elements} elements and {groups} groups more")
}

fn clocks(seed: u64, start: u64, increment: u64, parts: bool) -> Options {
    let options = [
        (seed != 0).then(|| ("seed", seed.to_string())),
        (start != 0).then(|| ("start_at", start.to_string())),
        (increment != 1).then(|| ("progress_increment", increment.to_string())),
        parts.then(|| ("in_parts", "true".to_owned())),
    ];
    options.into_iter().flatten().collect()
}

impl fmt::Debug for OptimizerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OptimizerBuilder");
        shown.field("device", &Text(self.device.name().to_owned()));
        shown.field("groups", &First(self.groups.iter().map(told), "groups"));
        if !self.declared.is_empty() {
            shown.field("declared", &First(self.declared.iter().map(told), "groups"));
        }
        let own = self.groups.iter().filter_map(|group| group.rule.as_ref().ok()?.metric);
        let metrics: Vec<Metric> = own.chain(self.features.metric).collect();
        // What is refused is told by `build`; here it is shown.
        let lowered = self.options.lower().and_then(|(gradients, mut settings)| {
            self.features.lower(&metrics, &mut settings)?;
            Ok((gradients, settings))
        });
        match lowered {
            Ok((gradients, settings)) => {
                fields(&mut shown, gradients.options(&settings));
                fields(&mut shown, ends(&settings));
            }
            Err(error) => {
                shown.field("refused", &Text(error.to_string()));
            }
        }
        let options = [
            self.features.metric.as_ref().map(|metric| ("metric", kind(metric).to_owned())),
            self.features.telemetry.as_ref().map(|ring| ("telemetry", ring.words())),
            (self.precision != Precision::new()).then(|| ("precision", self.precision.words())),
            self.dynamic.as_ref().map(Dynamic::reserve).map(|reserve| match reserve {
                Ok(reserve) => ("dynamic", room(&reserve)),
                Err(error) => ("dynamic", error.to_string()),
            }),
            self.check_order.then(|| ("check_order", "true".to_owned())),
        ];
        fields(&mut shown, options.into_iter().flatten().collect());
        fields(&mut shown, clocks(self.seed, self.start, self.increment, self.parts));
        shown.finish()
    }
}

fn told(of: &GroupOf) -> String {
    let elements = of.tensors.iter().map(Tensor::elements).sum();
    match &of.rule {
        Ok(rule) => {
            let schedules =
                rule.hyperparameters.iter().map(|one| (one.name(), Words::of(&one.schedule).line().to_owned()));
            let line = group(rule.name.as_deref(), &rule.words(), (of.tensors.len(), elements), schedules);
            line + &own(rule.metric.as_ref(), of.precision.as_ref())
        }
        Err(error) => format!("refused: {error}"),
    }
}

/// What is asked for; not the optimizer.
impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { values, now, increment, accumulate, stop_at, lower_flags } = self.request();
        let mut shown = f.debug_struct("Edit");
        if !values.is_empty() {
            shown.field("set", &First(values.iter().map(|(name, value)| knob(name, Some(*value))), "knobs"));
        }
        if !now.is_empty() {
            shown.field("now", &First(now.iter().map(|name| quoted(name)), "knobs"));
        }
        let options = [
            increment.map(|increment| ("progress_increment", increment.to_string())),
            accumulate.map(|calls| ("accumulate", calls.to_string())),
            stop_at.map(|t| ("stop_at", t.to_string())),
            lower_flags.then(|| ("lower_flags", "true".to_owned())),
        ];
        fields(&mut shown, options.into_iter().flatten().collect());
        shown.finish()
    }
}
