//! What a tape must be, and whose each of its scalars is. Start at [`Tape::check`].

use std::collections::BTreeSet;

use super::words::is_name;
use super::{Id, Node, Op, Stated, Tape, used};
use crate::error::{Error, Result};
use crate::rule::compiled::ScalarPlace;
use crate::rule::parts::{Of, Over, Start};
use crate::rule::step::MAX_SUMS;

/// The most streams besides parameter and gradient.
pub(crate) const MAX_STREAMS: usize = 6;
/// The most values of a record.
const MAX_RECORD: usize = 64;
/// The most hyperparameters.
const MAX_HYPERPARAMETERS: usize = 24;
/// The most remembered scalars.
const MAX_MEMORY: usize = 16;

/// Whose the scalars of a rule are, and what its parts touch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// Hyperparameters whose bias corrections at this update are inputs of their own.
    pub corrected: Vec<usize>,
    /// Where each scalar is found.
    pub places: Vec<ScalarPlace>,
    pub record_len: usize,
    /// How many scalars are a tensor's own.
    pub tensor_len: usize,
    /// Values of a record that follow from sums.
    pub late: u64,
    /// The value of a record that is not 0 at the first update, for streams that start from something.
    pub first: Option<u32>,
    /// Sets of streams, bit by bit: 0 the parameter, 1 the gradient, then the rule's own.
    pub loads: u32,
    pub stores: u32,
    /// Stored at the first update alone.
    pub stores_once: u32,
    pub measure_loads: u32,
    pub show_loads: u32,
}

/// What a value of `resolve` follows from, as a set.
type Sources = u8;
const OF_TENSOR: Sources = 1;
const OF_GROUP: Sources = 2;
const OF_COHORT: Sources = 4;
const SUM_OF_TENSOR: Sources = 8;

pub(super) fn refused(place: impl Into<String>, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
    Error::argument(format!("rule.{}", place.into()), value, rule.into())
}

/// A rule has no more than `most` of `what`.
pub(super) fn at_most(what: &str, len: usize, most: usize) -> Result<()> {
    if len <= most { Ok(()) } else { Err(refused(what, len, format!("a rule has at most {most}"))) }
}

impl Tape {
    /// Checks everything.
    pub(crate) fn check(&self) -> Result<Standing> {
        self.check_names()?;
        self.check_nodes()?;
        self.check_streams()?;
        let sources = self.sources();
        self.check_sources(&sources)?;
        let places = self.places(&sources)?;
        let record = |place: &ScalarPlace| match place {
            ScalarPlace::Record(at) => *at as usize + 1,
            _ => 0,
        };
        let mut record_len = places.iter().map(record).max().unwrap_or(0).max(self.hyperparameters.len());
        let starts = self.streams.iter().any(|stream| matches!(stream.start, Start::Param | Start::FirstGradient));
        let first = starts.then_some(record_len as u32);
        record_len += usize::from(starts);
        if record_len > MAX_RECORD {
            let rule = format!("a rule has at most {MAX_RECORD} hyperparameters and scalars");
            return Err(refused("resolve", record_len, rule));
        }
        let mut late = 0u64;
        for (place, id) in places.iter().zip(&self.resolve.scalars) {
            if let ScalarPlace::Record(at) = place {
                late |= u64::from(sources[*id as usize] & OF_GROUP != 0) << at;
            }
        }
        let of_tensor = places.iter().filter(|place| matches!(place, ScalarPlace::Tensor(_)));
        let [loads, measure_loads, show_loads] = self.loads();
        let (mut stores, mut stores_once) = (1, 0);
        for (k, stream) in (2..).zip(&self.streams) {
            let from_elements = matches!(stream.start, Start::Param | Start::FirstGradient);
            match stream.read_only {
                false => stores |= 1 << k,
                true => stores_once |= u32::from(from_elements) << k,
            }
        }
        Ok(Standing {
            corrected: self.corrected(&places),
            record_len,
            tensor_len: of_tensor.count(),
            places,
            late,
            first,
            loads,
            stores,
            stores_once,
            measure_loads,
            show_loads,
        })
    }

    fn check_names(&self) -> Result<()> {
        // torch's Adagrad has a state of that name, which only the sums of `measure` would clash with.
        let is_free = |what: &str, name: &str| what == "streams" && name == "sum" && self.sums.is_empty();
        let named = |what: &str, name: &str| match is_name(name) || is_free(what, name) {
            true => Ok(()),
            false => {
                let rule = "a name has small letters, digits and underscores, begins with a letter, and is no word of C++ or of the tape";
                Err(refused(what, format!("{name:?}"), rule))
            }
        };
        at_most("hyperparameters", self.hyperparameters.len(), MAX_HYPERPARAMETERS)?;
        at_most("streams", self.streams.len(), MAX_STREAMS)?;
        at_most("sums", self.sums.len(), MAX_SUMS)?;
        at_most("remember", self.memory.len(), MAX_MEMORY)?;
        at_most("scalars", self.scalars.len(), MAX_RECORD)?;
        named("name", &self.name)?;
        if self.hyperparameters.first().is_none_or(|first| first.name != "lr") {
            let first = self.hyperparameters.first().map_or("nothing", |first| &first.name);
            return Err(refused("hyperparameters[0]", first, "must be lr, the learning rate"));
        }
        let hyperparameters = self.hyperparameters.iter().map(|h| ("hyperparameters", &*h.name));
        let streams = self.streams.iter().map(|stream| ("streams", &*stream.name));
        let sums = self.sums.iter().map(|sum| ("sums", &*sum.name));
        let memory = self.memory.iter().map(|remembered| ("remember", &*remembered.name));
        let scalars = self.scalars.iter().map(|scalar| ("scalars", &**scalar));
        // What stands in one scope of the kernel: of `resolve`, and of elements.
        for scope in [hyperparameters.chain(sums).chain(memory).collect::<Vec<_>>(), streams.chain(scalars).collect()] {
            for (i, (what, name)) in scope.iter().enumerate() {
                named(what, name)?;
                if let Some((other, _)) = scope[..i].iter().find(|(_, known)| known == name) {
                    return Err(refused(*what, format!("{name:?}"), format!("another of {other} has that name")));
                }
            }
        }
        let parts = [("resolve", &self.resolve.nodes), ("measure", &self.measure.nodes), ("apply", &self.apply.nodes)];
        let show = self.show.iter().map(|show| ("show", &show.nodes));
        for (part, nodes) in parts.into_iter().chain(show) {
            nodes
                .iter()
                .filter_map(|node| node.name.as_deref())
                .try_for_each(|name| named(&format!("{part}.named"), name))?;
        }
        self.check_starts()
    }

    fn check_starts(&self) -> Result<()> {
        let default = |stated: &Stated| stated.default.filter(|default| !default.is_finite());
        if let Some((name, default)) = self.hyperparameters.iter().find_map(|h| Some((&h.name, default(h)?))) {
            return Err(refused(format!("hyperparameters.{name}.default"), default, "must be finite"));
        }
        if let Some(stream) = self.streams.iter().find(|s| matches!(s.start, Start::Value(value) if value.is_nan())) {
            return Err(refused(format!("streams.{}.start", stream.name), "NaN", "must be a number"));
        }
        let keys = ["name", "rule", "metric", "precision"];
        if let Some(stated) = self.hyperparameters.iter().find(|stated| keys.contains(&&*stated.name)) {
            let rule = "files have that key for something else of a group";
            return Err(refused("hyperparameters", format!("{:?}", stated.name), rule));
        }
        if let Some(remembered) = self.memory.iter().find(|remembered| !remembered.start.is_finite()) {
            let place = format!("remember.{}.start", remembered.name);
            return Err(refused(place, remembered.start, "must be finite"));
        }
        Ok(())
    }

    /// An update follows from the gradient; every stream is used and, unless it is only read, changed.
    fn check_streams(&self) -> Result<()> {
        let of = |nodes: &[Node], outputs: Vec<Id>| {
            let used = used(nodes, outputs);
            nodes.iter().zip(used).filter_map(|(node, used)| used.then_some(node.op)).collect::<Vec<_>>()
        };
        let measured = of(&self.measure.nodes, self.measure.outputs());
        let applied = of(&self.apply.nodes, self.apply.outputs());
        if self.apply.nodes[self.apply.param as usize].op == Op::Param {
            return Err(refused("apply", "the parameter as it was", "an update changes the parameter"));
        }
        if !applied.contains(&Op::Grad) && !measured.contains(&Op::Grad) {
            return Err(refused("apply", "without the gradient", "an update follows from the gradient"));
        }
        for (k, stream) in self.streams.iter().enumerate() {
            let own = Op::Stream(k as u32);
            // What others follow from: that a stream stays what it is is no use of it.
            let mut outputs = vec![self.apply.param];
            outputs.extend((0..self.streams.len()).filter(|other| *other != k).map(|other| self.apply.streams[other]));
            let place = format!("streams.{}", stream.name);
            let new = self.apply.streams[k];
            let unchanged = self.apply.nodes[new as usize].op == own;
            let others_use = of(&self.apply.nodes, outputs).contains(&own) || measured.contains(&own);
            // Its new value may be all that follows, without the old one: a former gradient.
            let new_is_used = !unchanged && {
                let sources = of(&self.apply.nodes, vec![new]);
                sources.contains(&own)
            };
            if !others_use && !new_is_used {
                return Err(refused(place, "never used", "`apply` or `measure` must use it, or it need not be kept"));
            }
            if unchanged && !stream.read_only {
                return Err(refused(place, "never changed", "`apply` must change it, or it is `read_only`"));
            }
            if !unchanged && stream.read_only {
                return Err(refused(place, "changed", "`apply` gives a stream that is `read_only` back as it is"));
            }
        }
        Ok(())
    }

    /// For each node of `resolve`, what it follows from.
    fn sources(&self) -> Vec<Sources> {
        let mut sources: Vec<Sources> = Vec::with_capacity(self.resolve.nodes.len());
        for node in &self.resolve.nodes {
            let own = match node.op {
                // How many elements a sum ran over is known with it.
                Op::Sum(k) | Op::Len(k) => match self.sums[k as usize].over {
                    Over::Tensor => OF_TENSOR | SUM_OF_TENSOR,
                    Over::Group | Over::All => OF_GROUP,
                },
                // What a group remembers is known ahead of its sums.
                Op::Remembered(k) => match self.memory[k as usize].of {
                    Of::Tensor => OF_TENSOR,
                    Of::Group => 0,
                    Of::Cohort => OF_COHORT,
                },
                _ => 0,
            };
            let of_operands = node.op.operands().into_iter().map(|operand| sources[operand as usize]);
            sources.push(of_operands.fold(own, |all, of| all | of));
        }
        sources
    }

    fn check_sources(&self, sources: &[Sources]) -> Result<()> {
        let both = |id: &Id| sources[*id as usize] & (OF_TENSOR | OF_GROUP) == OF_TENSOR | OF_GROUP;
        if let Some(k) = self.resolve.scalars.iter().position(both) {
            let rule = "what follows from sums over a tensor and what follows from wider ones are scalars of their own";
            return Err(refused(format!("scalars.{}", self.scalars[k]), "of a tensor and of its group", rule));
        }
        for (remembered, next) in self.memory.iter().zip(&self.resolve.next) {
            let place = format!("remember.{}", remembered.name);
            let of = sources[*next as usize];
            let (holds, rule) = match remembered.of {
                Of::Cohort => (
                    of & (OF_TENSOR | OF_GROUP) == 0,
                    "what a cohort remembers follows from no sum and from nothing of a tensor",
                ),
                Of::Group => (
                    of == OF_GROUP,
                    "what a group remembers follows from sums over the group or over all, and from nothing of a cohort or a tensor",
                ),
                Of::Tensor => (
                    of & SUM_OF_TENSOR != 0 && of & OF_GROUP == 0,
                    "what a tensor remembers follows from sums over the tensor alone",
                ),
            };
            if !holds {
                return Err(refused(place, format!("of a {:?}", remembered.of).to_lowercase(), rule));
            }
        }
        let outputs = self.resolve.scalars.iter().chain(&self.resolve.next).copied();
        let used = used(&self.resolve.nodes, outputs);
        for (k, sum) in self.sums.iter().enumerate() {
            let follows = |op: Op| matches!(op, Op::Sum(of) if of as usize == k);
            if !self.resolve.nodes.iter().zip(&used).any(|(node, used)| *used && follows(node.op)) {
                return Err(refused(format!("sums.{}", sum.name), "never used", "`resolve` must use it"));
            }
        }
        self.check_ahead("measure", &self.measure.nodes, self.measure.outputs(), sources)?;
        self.show.iter().try_for_each(|show| self.check_ahead("show", &show.nodes, vec![show.param], sources))
    }

    /// A part that comes before sums goes by what is known ahead of them.
    fn check_ahead(&self, part: &str, nodes: &[Node], outputs: Vec<Id>, sources: &[Sources]) -> Result<()> {
        for (node, used) in nodes.iter().zip(used(nodes, outputs)) {
            let Op::Scalar(k) = node.op else { continue };
            if used && sources[self.resolve.scalars[k as usize] as usize] & (OF_TENSOR | OF_GROUP) != 0 {
                let rule = format!(
                    "`{part}` comes before sums, and uses no scalar that follows from one or that is a tensor's"
                );
                return Err(refused(part, format!("with `{}`", self.scalars[k as usize]), rule));
            }
        }
        if part == "show" && nodes.iter().any(|node| node.op == Op::Grad) {
            return Err(refused(part, "with the gradient", "between two updates there is none"));
        }
        Ok(())
    }

    /// Where scalars are found: a hyperparameter as it is has its place already.
    fn places(&self, sources: &[Sources]) -> Result<Vec<ScalarPlace>> {
        let show = self.show.iter().map(|show| (&show.nodes, vec![show.param]));
        let parts = [(&self.measure.nodes, self.measure.outputs()), (&self.apply.nodes, self.stored())];
        let parts = parts.into_iter().chain(show);
        let mut wanted = vec![false; self.scalars.len()];
        for (nodes, outputs) in parts {
            for (node, used) in nodes.iter().zip(used(nodes, outputs)) {
                if let (Op::Scalar(k), true) = (node.op, used) {
                    wanted[k as usize] = true;
                }
            }
        }
        let (mut record, mut tensor) = (self.hyperparameters.len() as u32, 0);
        let next = |counter: &mut u32| {
            *counter += 1;
            *counter - 1
        };
        let places = self.resolve.scalars.iter().zip(wanted).map(|(id, wanted)| {
            let Op::Round(of) = self.resolve.nodes[*id as usize].op else { unreachable!("checked: it is rounded") };
            match self.resolve.nodes[of as usize].op {
                _ if !wanted => ScalarPlace::Unused,
                Op::Hyperparameter(k) => ScalarPlace::Record(k),
                _ if sources[*id as usize] & OF_TENSOR != 0 => ScalarPlace::Tensor(next(&mut tensor)),
                _ => ScalarPlace::Record(next(&mut record)),
            }
        });
        Ok(places.collect())
    }

    /// The nodes of `resolve` that something goes by, besides the hyperparameters themselves.
    pub(crate) fn wanted(&self, places: &[ScalarPlace]) -> Vec<Id> {
        let own = |place: &ScalarPlace| match place {
            ScalarPlace::Record(at) => *at as usize >= self.hyperparameters.len(),
            ScalarPlace::Tensor(_) => true,
            ScalarPlace::Unused => false,
        };
        let scalars = self.resolve.scalars.iter().zip(places).filter(|(_, place)| own(place)).map(|(id, _)| *id);
        scalars.chain(self.resolve.next.iter().copied()).collect()
    }

    /// Which hyperparameters are corrected for exactly the updates that this one makes.
    fn corrected(&self, places: &[ScalarPlace]) -> Vec<usize> {
        let used = used(&self.resolve.nodes, self.wanted(places));
        // What a group remembers counts the optimizer's updates: no cohort's correction is that.
        let of_groups = self.memory.iter().zip(&self.resolve.next).filter(|(remembered, _)| remembered.of == Of::Group);
        let of_groups = super::used(&self.resolve.nodes, of_groups.map(|(_, next)| *next));
        let places = |wanted: &[bool]| {
            let nodes = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
            nodes.filter_map(|(i, _)| self.resolve.corrected(i as Id)).collect::<BTreeSet<usize>>()
        };
        places(&used).difference(&places(&of_groups)).copied().collect()
    }

    /// The streams that `apply`, `measure` and `show` read. What starts from something is read with it.
    fn loads(&self) -> [u32; 3] {
        let from = |k: u32| match self.streams[k as usize].start {
            Start::Param => 1,
            Start::FirstGradient => 2,
            Start::Zero | Start::Value(_) => 0,
        };
        let of = |op: Op| match op {
            Op::Param => 1,
            Op::Grad => 2,
            Op::Stream(k) => 4 << k | from(k),
            _ => 0,
        };
        let reads = |nodes: &[Node], outputs: Vec<Id>| {
            let used = used(nodes, outputs);
            nodes.iter().zip(used).filter(|(_, used)| *used).fold(0, |all, (node, _)| all | of(node.op))
        };
        let (apply, measure) =
            (reads(&self.apply.nodes, self.stored()), reads(&self.measure.nodes, self.measure.outputs()));
        let show = self.show.as_ref().map_or(0, |show| reads(&show.nodes, vec![show.param]));
        // What the first update alone stores comes from these.
        let read_only = (0..self.streams.len() as u32).filter(|k| self.streams[*k as usize].read_only);
        [apply | read_only.fold(0, |all, k| all | from(k)), measure, show]
    }
}

impl super::Resolve {
    /// The hyperparameter of which node `id` is the bias correction at this update.
    pub fn corrected(&self, id: Id) -> Option<usize> {
        let Op::BiasCorrection(beta, updates) = self.nodes[id as usize].op else { return None };
        let (Op::Hyperparameter(k), Op::Next(before)) = (self.nodes[beta as usize].op, self.nodes[updates as usize].op)
        else {
            return None;
        };
        // The rate is not what it is corrected from where a metric rule scales it.
        (self.nodes[before as usize].op == Op::Updates && k != 0).then_some(k as usize)
    }
}
