//! A rule as the rest of the crate knows it: its tape, whose each scalar is, and how it runs on the CPU.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::code::{Code, Moment, Values};
use super::hyperparameter::Hyperparameter;
use super::named::Named;
use super::parts::{Of, Over, Start, Stream};
use super::tape::{Op, Standing, Tape};
use crate::error::{Error, Result, quoted};
use crate::schedule::Metric;

/// A rule with its schedules, before it is checked as a whole: another one may come after it.
#[derive(Debug, Clone)]
pub struct Traced {
    /// What the user calls the group, if a name was given.
    pub(crate) name: Option<String>,
    pub(crate) tape: Tape,
    /// What a state block calls it, if not by its tape.
    pub(crate) identity: Option<String>,
    pub(crate) code: Arc<dyn Code>,
    pub(crate) hyperparameters: Vec<Hyperparameter>,
    /// What scales the learning rate by observed metrics.
    pub(crate) metric: Option<Metric>,
    /// The rules that it is made of, one after the other, and what files say of each, if they name it.
    pub(crate) named: Vec<(String, Option<Named>)>,
}

impl Traced {
    /// The names of the rules that it is made of, one after the other.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.named.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Checks all of it.
    pub(crate) fn compile(self) -> Result<Description> {
        let Traced { name, tape, identity, code, hyperparameters, metric, named } = self;
        Ok(Description { name, rule: Arc::new(Compiled::new(tape, identity, code)?), hyperparameters, metric, named })
    }
}

/// A rule with its schedules, as the plan sees it.
#[derive(Debug, Clone)]
pub struct Description {
    /// As [`Traced::name`].
    pub(crate) name: Option<String>,
    pub(crate) rule: Arc<Compiled>,
    pub(crate) hyperparameters: Vec<Hyperparameter>,
    /// What scales the learning rate by observed metrics.
    pub(crate) metric: Option<Metric>,
    /// As [`Traced::named`].
    pub(crate) named: Vec<(String, Option<Named>)>,
}

impl Description {
    /// The rules one after the other, by their names in files, with the options that are not the defaults.
    pub(crate) fn words(&self) -> String {
        let words = |(name, named): &(String, Option<Named>)| {
            let options = named.iter().flat_map(|named| &named.options);
            let options: Vec<String> = options.map(|(option, value)| format!("{option} = {value}")).collect();
            if options.is_empty() { name.clone() } else { format!("{name} with {}", options.join(", ")) }
        };
        self.named.iter().map(words).collect::<Vec<_>>().join(", then ")
    }
}

/// The hyperparameter that a tensor may scale beside the learning rate.
pub(crate) const WEIGHT_DECAY: &str = "weight_decay";

/// Where a scalar is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarPlace {
    /// In the record of the cohort.
    Record(u32),
    /// Among the tensor's own.
    Tensor(u32),
    /// No element uses it.
    Unused,
}

/// One type of the generated kernel, one loop of the CPU backend.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub tape: Tape,
    pub standing: Standing,
    /// What a state block calls it.
    pub identity: String,
    pub code: Arc<dyn Code>,
}

impl Tape {
    /// What a state block calls the rule if it says nothing of that itself.
    pub(crate) fn identity(&self) -> String {
        let digest = Sha256::digest(self.to_string());
        let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {digest}", self.name)
    }
}

impl PartialEq for Compiled {
    /// The tape is all of it.
    fn eq(&self, other: &Compiled) -> bool {
        self.tape == other.tape && self.identity == other.identity
    }
}

impl Compiled {
    /// Checks the tape.
    pub fn new(tape: Tape, identity: Option<String>, code: Arc<dyn Code>) -> Result<Compiled> {
        let standing = tape.check()?;
        if let Some(identity) = identity.as_ref().filter(|identity| identity.contains(char::is_control)) {
            return Err(Error::argument("rule.identity", quoted(identity), "must be a line of text"));
        }
        let identity = identity.unwrap_or_else(|| tape.identity());
        Ok(Compiled { tape, standing, identity, code })
    }

    /// The streams besides parameter and gradient.
    pub fn streams(&self) -> &[Stream] {
        &self.tape.streams
    }

    /// Bytes read and written per parameter by an update, and by what it measures before, where all is f32.
    pub fn bytes_per_param(&self) -> usize {
        let Standing { loads, measure_loads, stores, .. } = self.standing;
        let accesses: u32 = [loads, measure_loads, stores].map(u32::count_ones).iter().sum();
        size_of::<f32>() * accesses as usize
    }

    /// The names of the hyperparameters, which are the leading values of a record.
    pub fn hyperparameters(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tape.hyperparameters.iter().map(|stated| &*stated.name)
    }

    /// Places of hyperparameters whose bias corrections are further inputs of the kernel's `resolve`.
    pub fn corrected(&self) -> &[usize] {
        &self.standing.corrected
    }

    /// How many values a record of this rule has.
    pub fn record_len(&self) -> usize {
        self.standing.record_len
    }

    /// Places of what each cohort, group or tensor remembers.
    pub fn remembered(&self, of: Of) -> impl Iterator<Item = usize> {
        (0..self.tape.memory.len()).filter(move |place| self.tape.memory[*place].of == of)
    }

    /// Whether anything follows from what it remembers; or else what it remembers is there to be read alone.
    pub fn goes_by_memory(&self) -> bool {
        self.tape.resolve.nodes.iter().any(|node| matches!(node.op, Op::Remembered(_)))
    }

    /// Over what the widest sum runs; None without sums.
    pub fn widest(&self) -> Option<Over> {
        let rank = |over: &Over| match over {
            Over::Tensor => 0,
            Over::Group => 1,
            Over::All => 2,
        };
        self.tape.sums.iter().map(|sum| sum.over).max_by_key(rank)
    }

    /// Whether anything follows from the sums over a tensor.
    pub fn concludes_tensors(&self) -> bool {
        self.standing.tensor_len > 0 || self.remembered(Of::Tensor).next().is_some()
    }

    /// Streams that the first update takes from the parameter or the gradient, each with its place.
    pub fn started(&self) -> impl Iterator<Item = (usize, Start)> {
        let streams = self.tape.streams.iter().map(|stream| stream.start).enumerate();
        streams.filter(|(_, start)| matches!(start, Start::Param | Start::FirstGradient))
    }

    /// The scalars of an element from a record, and from what is the tensor's own.
    pub fn scalars(&self, record: &[f32], tensor: &[f32]) -> Vec<f32> {
        let value = |place: &ScalarPlace| match place {
            ScalarPlace::Record(at) => record[*at as usize],
            ScalarPlace::Tensor(at) => tensor[*at as usize],
            ScalarPlace::Unused => 0.0,
        };
        self.standing.places.iter().map(value).collect()
    }

    /// Resolves everything; of what follows from sums that are not there yet, nothing is to be used.
    pub fn resolve(&self, moment: &Moment<'_>) -> Values {
        self.code.resolve(moment)
    }

    /// Writes what `values` say to a record: what follows from sums, or all else.
    pub fn fill_record(&self, hyperparameters: &[f64], updates: u64, values: &Values, late: bool, record: &mut [f32]) {
        let mut put = |at: usize, value: f32| {
            if (self.standing.late >> at & 1 == 1) == late {
                record[at] = value;
            }
        };
        for (at, value) in hyperparameters.iter().enumerate() {
            put(at, *value as f32);
        }
        for (place, value) in self.standing.places.iter().zip(&values.scalars) {
            if let ScalarPlace::Record(at) = place {
                put(*at as usize, *value);
            }
        }
        if let Some(at) = self.standing.first {
            put(at as usize, f32::from(u8::from(updates == 0)));
        }
    }

    /// The tensor's own scalars among `values`.
    pub fn tensor_scalars(&self, values: &Values) -> Vec<f32> {
        let mut own = vec![0.0; self.standing.tensor_len];
        for (place, value) in self.standing.places.iter().zip(&values.scalars) {
            if let ScalarPlace::Tensor(at) = place {
                own[*at as usize] = *value;
            }
        }
        own
    }
}
