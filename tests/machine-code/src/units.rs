//! What is compiled: the update unit of a few optimizers, with the text that the library generates for each, and the unit
//! that is the same for all.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../device/measured/rules.rs"]
#[allow(missing_docs, missing_debug_implementations)]
mod rules;

use instep::rule::{Over, Tape, TapeRule};
use instep::{
    Accumulate, Adam, AdamW, Buffer, Clip, Device, Dynamic, LossScale, Momentum, Observed, Optimizer, OptimizerBuilder,
    Plateau, Schedule, Sgd, Telemetry, Tensor, Warmup,
};

/// A unit's text, and the name and text of each header.
#[derive(Debug)]
pub struct Unit {
    /// What the table calls it.
    pub name: String,
    /// `kernels/update.cu`, or another unit of that folder.
    pub text: String,
    /// The headers of `kernels/`, and what the library generates.
    pub headers: Vec<(String, String)>,
    /// The bytes that each rule's own constant states, in the order of the groups.
    pub bytes_per_param: Vec<f64>,
}

impl Unit {
    /// The names of its kernels, read from the text.
    pub fn kernels(&self) -> Vec<&str> {
        let after_mark = self.text.split("extern \"C\" __global__ void ").skip(1);
        let without_bounds = after_mark.filter_map(|rest| match rest.strip_prefix("__launch_bounds__(") {
            Some(bounds) => bounds.split_once(") ").map(|(_, rest)| rest),
            None => Some(rest),
        });
        without_bounds.filter_map(|rest| rest.split_once('(')).map(|(name, _)| name).collect()
    }

    /// Threads of a block, as the text states them.
    pub fn threads(&self) -> Option<u32> {
        let texts = std::iter::once(&self.text).chain(self.headers.iter().map(|(_, text)| text));
        let (_, after) = texts.filter_map(|text| text.split_once("constexpr u32 THREADS = ")).next()?;
        after.split_once(';')?.0.parse().ok()
    }

    /// What a thread loads and stores on the main path of the unit's only rule: how many accesses of how many bits.
    pub fn main_accesses(&self) -> Expected {
        self.accesses_of(self.set_of_only_rule("STORES"))
    }

    /// The same, with what it stores at the first update alone.
    pub fn main_accesses_at_first(&self) -> Expected {
        self.accesses_of(self.set_of_only_rule("STORES") | self.set_of_only_rule("STORES_ONCE"))
    }

    /// Whether some rule sums over elements, which takes a launch before the update's.
    pub fn measures(&self) -> bool {
        after(self.generated(), "constexpr u32 MEASURED = ") != "0"
    }

    /// Streams of its rule that has most.
    pub fn most_streams(&self) -> usize {
        after(self.generated(), "constexpr u32 MOST_STREAMS = ").parse().expect("a number")
    }

    fn accesses_of(&self, stored_streams: u32) -> Expected {
        let generated = self.generated();
        let loaded_streams = self.set_of_only_rule("LOADS");
        let (_, streams) = generated.split_once("using Streams0 = Streams<\n").expect("it states its streams");
        let streams = streams.lines().take_while(|line| line.starts_with("    "));
        let streams: Vec<&str> = streams
            .map(|line| {
                line.trim().split(">;  //").next().unwrap_or_default().split(",  //").next().unwrap_or_default()
            })
            .collect();
        // `in_flight` of kernels/variant.cuh.
        let has_codes = streams.iter().any(|stored| stored.starts_with("EightBit"));
        let vectors: usize = match self.most_streams() < 6 || has_codes {
            true => after(generated, "constexpr u32 VECTORS = ").parse().expect("a number"),
            false => 1,
        };
        let mut expected = Expected::default();
        for (place, &stored) in streams.iter().enumerate() {
            let (loads, stores) = widths_of(stored);
            let times = |set: u32| if set >> place & 1 == 1 { vectors } else { 0 };
            expected.loads.extend(loads.repeat(times(loaded_streams)));
            expected.stores.extend(stores.repeat(times(stored_streams)));
            if stored.starts_with("EightBit") {
                // One scale for the two vectors of a block.
                expected.stores.extend(vec![32; times(stored_streams) / 2]);
            }
        }
        expected.loads.sort_unstable();
        expected.stores.sort_unstable();
        expected
    }

    /// A set of streams, a bit for each by place.
    fn set_of_only_rule(&self, name: &str) -> u32 {
        let (_, rule) = self.generated().split_once("struct Variant0 {").expect("it has a rule");
        let digits = after(rule, &format!(" {name} = 0x"));
        u32::from_str_radix(digits, 16).expect("a number")
    }

    fn generated(&self) -> &str {
        let (_, text) = self.headers.iter().find(|(name, _)| name == "generated.cuh").expect("an optimizer's unit");
        text
    }

    /// Replaces `from`, which must occur once in all texts, for tests that plant a fault.
    pub fn patch(mut self, from: &str, to: &str) -> Self {
        let texts = std::iter::once(&mut self.text).chain(self.headers.iter_mut().map(|(_, text)| text));
        let mut holders: Vec<_> = texts.filter(|text| text.contains(from)).collect();
        let [holder] = &mut holders[..] else { panic!("{} texts hold {from:?}, but one must", holders.len()) };
        **holder = holder.replacen(from, to, 1);
        assert!(!holder.contains(from) || to.contains(from), "{from:?} must occur once");
        self
    }
}

/// Bits of the accesses of a thread on a main path, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Before the first store.
    pub loads: Vec<u32>,
    /// After the last load.
    pub stores: Vec<u32>,
}

/// The digits that stand behind `mark`.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark:?}"));
    &rest[..rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len())]
}

/// Bits that one vector of a storage takes to load and to store, but for the scale of a block of codes that is stored.
fn widths_of(stored: &str) -> (&'static [u32], &'static [u32]) {
    match stored {
        "f32" => (&[128], &[128]),
        _ if stored.starts_with("Master<") => (&[128], &[64, 128]),
        "Remainder" => (&[64, 64], &[64, 64]),
        _ if stored.starts_with("EightBit<") => (&[32, 32], &[32]),
        _ => (&[64], &[64]),
    }
}

/// All of them: one rule each, then many rules in one launch, and at last the condition.
pub fn all() -> Vec<Unit> {
    let closed = [closed_loop(), all_of_the_loop()];
    let one_rule = [adamw(), constant_adamw()].into_iter().chain(closed).chain([adam(), sgd(), momentum()]);
    let measuring = [clipped(), measured(), every_operation()];
    let forms = crate::forms::all();
    one_rule
        .chain(forms)
        .chain([every_sgd(), everything(), every_form()])
        .chain(measuring)
        .chain([condition()])
        .collect()
}

/// AdamW with the usual schedule: the unit whose machine code is looked at.
pub fn adamw() -> Unit {
    let lr = || Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800));
    unit("AdamW, warm-up and cosine", || builder().group(AdamW::new(lr()).weight_decay(0.1), &[tensor()]))
}

/// The same whose tensors come, go, rest and scale rates, in a group that follows a flag, updated in parts.
pub fn dynamic() -> Unit {
    unit("AdamW, dynamic", || {
        let builder = builder().dynamic(Dynamic::new().scales()).in_parts().group(AdamW::new(1e-3), &[tensor()]);
        let flag = &raw mut *Box::leak(Box::new(0f32)) as u64;
        // SAFETY: the flag is never freed.
        unsafe { builder.follow(flag) }
    })
}

/// AdamW with a constant rate.
pub fn constant_adamw() -> Unit {
    unit("AdamW, constant rate", || builder().group(AdamW::new(1e-3), &[tensor()]))
}

/// AdamW whose gradients are averaged, clipped, unscaled and zeroed, with a rate that follows a metric.
pub fn closed_loop() -> Unit {
    unit("AdamW, closed loop", closed)
}

/// The same with a metric that the step observes by itself, ends and telemetry.
pub fn all_of_the_loop() -> Unit {
    unit("AdamW, all of the loop", || {
        let builder = closed().stop_at(9).stop_below(1e-5).stop_on_plateau().telemetry(Telemetry::ring(8));
        let loss = Observed::f32(&raw mut *Box::leak(Box::new(0f32)) as u64);
        // SAFETY: the loss is never freed.
        unsafe { builder.observe_every(2, loss) }
    })
}

fn closed() -> OptimizerBuilder {
    let rule = AdamW::new(1e-3).metric(Plateau::new());
    let builder = builder().group(rule, &[tensor()]).clip(Clip::torch_norm(1.0)).loss_scale(LossScale::dynamic());
    builder.accumulate(Accumulate::mean(4)).zero_gradients()
}

/// Adam with coupled weight decay.
pub fn adam() -> Unit {
    let lr = || Schedule::exponential(1e-3, 1e-5).over(1_000);
    unit("Adam", || builder().group(Adam::new(lr()).weight_decay(0.01), &[tensor()]))
}

/// SGD without any state.
pub fn sgd() -> Unit {
    unit("SGD", || builder().group(Sgd::new(steps()), &[tensor()]))
}

/// SGD with Nesterov's momentum.
pub fn momentum() -> Unit {
    let momentum = || Schedule::linear(0.85, 0.95).over(500);
    unit("SGD, momentum", || builder().group(Sgd::new(steps()).momentum(Momentum::Nesterov, momentum()), &[tensor()]))
}

/// Every form of SGD, each in a group of its own.
pub fn every_sgd() -> Unit {
    let heavy = || Sgd::new(steps()).momentum(Momentum::Heavy, 0.9).weight_decay(5e-4).dampening(0.1);
    let nesterov = || Sgd::new(steps()).momentum(Momentum::Nesterov, Schedule::linear(0.85, 0.95).over(500));
    unit("every form of SGD", || {
        builder()
            .group(Sgd::new(steps()).maximize(), &[tensor()])
            .group(heavy(), &[tensor()])
            .group(nesterov(), &[tensor()])
    })
}

/// Six groups with different rules and schedules in one optimizer.
pub fn everything() -> Unit {
    let long = || {
        let rise = Schedule::polynomial(1e-3, 1e-5, 2.0).over(900).warmup(100);
        rise.then(Schedule::exponential(1e-5, 1e-7).over(50))
    };
    let cycles =
        || Schedule::cosine(1e-3, 0.0).over(100).repeat_times(3).then(Schedule::linear(1e-3, 0.0).over(10).repeat());
    let product =
        || Schedule::exponential_decay(1.0, 0.999).product(Schedule::step_decay(1e-2, 0.5, 30)).clamp(1e-5, 5e-3);
    let fractions =
        || Schedule::multi_step_fractions(0.1, 0.1, 1_000, vec![0.3, 0.6, 0.9]).warmup_as(Warmup::FromFirst, 5);
    let scheduled_beta = || Adam::new(cycles()).beta1(Schedule::linear(0.85, 0.95).over(77)).weight_decay(0.01);
    unit("six groups, six rules", || {
        builder()
            .group(AdamW::new(long()).weight_decay(Schedule::constant(0.1)), &[tensor()])
            .group(scheduled_beta(), &[tensor()])
            .group(AdamW::new(product()).maximize(), &[tensor()])
            .group(Adam::new(fractions()), &[tensor()])
            .group(Sgd::new(1e-2), &[tensor()])
            .group(Sgd::new(1e-2).momentum(Momentum::Nesterov, 0.9).weight_decay(1e-4), &[tensor()])
    })
}

/// Rules that sum over tensors, groups and all, and rules that remember, beside AdamW.
pub fn measured() -> Unit {
    let lr = || Schedule::cosine(1e-3, 1e-4).over(1_000);
    unit("rules that measure and remember", || {
        builder()
            .group(rules::ClippedAdamW { lr: lr(), limit: 1.0 }, &[tensor()])
            .group(rules::ProductSgd { lr: lr(), momentum: Schedule::linear(0.8, 0.9).over(9) }, &[tensor()])
            .group(rules::DistanceSgd { lr: lr(), over: Over::All }, &[tensor()])
            .group(rules::NormedSgd { lr: lr() }, &[tensor()])
            .group(AdamW::new(lr()), &[tensor()])
    })
}

/// AdamW whose update is clipped by its root mean square over the tensor.
pub fn clipped() -> Unit {
    let lr = || Schedule::cosine(1e-3, 1e-4).over(1_000);
    unit("AdamW, clipped by RMS", || builder().group(rules::ClippedAdamW { lr: lr(), limit: 1.0 }, &[tensor()]))
}

/// Tensors of all forms in one launch, with two rules, a norm and zeroing.
pub fn every_form() -> Unit {
    unit("every form in one launch", || crate::forms::mixed().clip(Clip::torch_norm(1.0)).zero_gradients())
}

/// Every operation that a rule may make.
pub fn every_operation() -> Unit {
    let tape = || Tape::parse(include_str!("../../pure/rules/everything.txt")).expect("a tape of the tests");
    unit("every operation of a rule", || builder().group(TapeRule::new(tape()).set("lr", 1e-3), &[tensor()]))
}

/// The stop flag as the condition of a graph's node. It calls a function of the driver.
pub fn condition() -> Unit {
    Unit {
        name: "the stop condition".to_owned(),
        text: file("condition.cu"),
        headers: headers(),
        bytes_per_param: Vec::new(),
    }
}

fn steps() -> Schedule {
    Schedule::multi_step(0.1, 0.1, vec![30_000, 60_000])
}

pub(crate) fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// A small tensor of its own that lives as long as the program.
fn tensor() -> Tensor {
    let buffer = || Buffer::f32(Box::leak(Box::new([0f32; 8])).as_mut_ptr() as u64, 8);
    // SAFETY: the buffers are never freed, and nothing but an optimizer that never steps knows them.
    unsafe { Tensor::new(buffer(), buffer()) }
}

/// The unit of the optimizer that `builder` describes, whose text an emission gives and whose bytes a build.
pub(crate) fn unit(name: impl Into<String>, builder: impl Fn() -> OptimizerBuilder) -> Unit {
    let generated = builder().emit().expect("the groups are valid");
    let optimizer = builder().build().expect("the CPU backend takes every rule");
    let bytes_per_param = crate::forms::bytes(&optimizer);

    let headers = headers().into_iter().chain([("generated.cuh".to_string(), generated)]).collect();
    Unit { name: name.into(), text: file("update.cu"), headers, bytes_per_param }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels")
}

fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).expect("kernels/ has the file, in UTF-8")
}

/// Name and text of each header of `kernels/`.
fn headers() -> Vec<(String, String)> {
    let entries = fs::read_dir(folder()).expect("kernels/ is part of the repository");
    let names = entries.map(|entry| entry.expect("kernels/ can be listed").file_name().to_string_lossy().into_owned());
    let headers = names.filter(|name| name.ends_with(".cuh"));
    headers.map(|name| (name.clone(), file(&name))).collect()
}

#[test]
fn kernels_and_threads_are_read_from_the_text() {
    let text = "constexpr u32 THREADS = 256;  // tuned
extern \"C\" __global__ void __launch_bounds__(THREADS, 4) one(const Step step) {}
extern \"C\" __global__ void two(int n) {}";
    let unit =
        Unit { name: "a test's".to_owned(), text: text.to_owned(), headers: Vec::new(), bytes_per_param: Vec::new() };
    assert_eq!((unit.kernels(), unit.threads()), (vec!["one", "two"], Some(256)));
    assert!(sgd().kernels().contains(&"update"), "kernels/update.cu");
    assert_eq!((condition().kernels(), condition().threads()), (vec!["set_condition"], Some(1)));
}
