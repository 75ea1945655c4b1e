//! When tapes are equal, and their hash: all that they hold, floats by their bits.

use std::hash::{Hash, Hasher};

use super::Tape;
use crate::rule::parts::Start;

impl Tape {
    fn key(&self) -> impl Hash + Eq + '_ {
        let start = |start: Start| match start {
            Start::Zero => (0, 0),
            Start::Value(value) => (1, value.to_bits()),
            Start::Param => (2, 0),
            Start::FirstGradient => (3, 0),
        };
        let hyperparameters = self.hyperparameters.iter().map(|h| (&h.name, h.range, h.default.map(f64::to_bits)));
        let streams = self.streams.iter().map(|stream| {
            let flags = [stream.not_negative, stream.denominator, stream.exact, stream.read_only];
            (&stream.name, start(stream.start), flags)
        });
        let memory = self.memory.iter().map(|kept| (&kept.name, kept.of, kept.start.to_bits()));
        let stated =
            (hyperparameters.collect::<Vec<_>>(), streams.collect::<Vec<_>>(), &self.sums, memory.collect::<Vec<_>>());
        (&self.name, stated, &self.scalars, &self.resolve, &self.measure, &self.apply, &self.show)
    }
}

impl PartialEq for Tape {
    fn eq(&self, other: &Tape) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Tape {}

impl Hash for Tape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
