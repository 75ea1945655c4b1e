//! Inputs without end: number after number, each made of a seed and its number alone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::input::{Input, Target};
use crate::mutate::Mutator;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::text;

/// Lists that double make longer texts, in bytes, which take as long to read as they are.
const LONGEST: usize = 1 << 18;

/// The inputs of one seed.
#[derive(Debug)]
pub struct Campaign {
    seed: u64,
    /// By kind, so that none is drowned by those of which there are many.
    kinds: Vec<Vec<Seed>>,
    mutator: Mutator,
}

impl Campaign {
    /// Reads the inputs to start from.
    pub fn new(seed: u64) -> Campaign {
        let seeds = seeds::all();
        let mutator = Mutator::of(seeds.iter().filter_map(|seed| seed.value.as_ref()));
        let mut kinds: BTreeMap<(Target, bool), Vec<Seed>> = BTreeMap::new();
        for seed in seeds {
            kinds.entry((seed.input.target, seed.published)).or_default().push(seed);
        }
        Campaign { seed, kinds: kinds.into_values().collect(), mutator }
    }

    /// The inputs to start from, as they are.
    pub fn seeds(&self) -> impl Iterator<Item = Input> {
        self.kinds.iter().flatten().map(|seed| seed.input.clone())
    }

    /// The input `index`.
    pub fn input(&self, index: u64) -> Input {
        let mut random = Random::new(self.seed, index);
        let seed = random.pick(&self.kinds).and_then(|kind| random.pick(kind));
        let Some(seed) = seed else { return Input::new(Target::Json, "") };
        let mut input = seed.input.clone();
        // What has no structure, and one in eight of what has, is changed as text.
        let written = seed.value.as_ref().filter(|_| !random.one_in(8)).and_then(|value| {
            let mut value = value.clone();
            (0..=random.below(4)).for_each(|_| self.mutator.mutate(&mut random, &mut value));
            write(&input.target, &input.text, &value).filter(|text| text.len() <= LONGEST)
        });
        match written {
            Some(written) => input.text = written,
            None => (0..=random.below(4)).for_each(|_| text::mutate(&mut random, &mut input.text)),
        }
        if let (Target::File, true) = (input.target, random.one_in(2)) {
            input.facts = self.mutator.facts(&mut random, &input.facts);
        }
        input
    }
}

/// `value` as whoever read `text` wants it.
fn write(target: &Target, text: &str, value: &Value) -> Option<String> {
    let is_json = text.trim_start().starts_with(['{', '[']) && *target != Target::Toml;
    // What TOML cannot say is changed as text.
    if is_json { Some(value.to_string()) } else { toml::to_string(value).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_made_of_the_seed_and_its_number_alone() {
        let (one, other, next) = (Campaign::new(7), Campaign::new(7), Campaign::new(8));
        let inputs = |campaign: &Campaign, order: &[u64]| order.iter().map(|i| campaign.input(*i)).collect::<Vec<_>>();
        let mut backwards = inputs(&other, &[3, 2, 1, 0]);
        backwards.reverse();
        assert_eq!(inputs(&one, &[0, 1, 2, 3]), backwards);
        assert_ne!(inputs(&one, &[0, 1, 2, 3]), inputs(&next, &[0, 1, 2, 3]));
    }
}
