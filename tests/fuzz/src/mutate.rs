//! Changes a value of JSON: a number to one at an end, a name to another, a value to one of another type or of another input.

use serde_json::{Map, Value, json};

use crate::numbers::{edge, near, written};
use crate::random::Random;

/// What the known inputs are made of, to be put in other places.
#[derive(Debug, Default)]
pub struct Mutator {
    names: Vec<String>,
    values: Vec<(String, Value)>,
    texts: Vec<String>,
}

/// As many values as this are kept to be put elsewhere.
const KEPT: usize = 20_000;

/// Parts of expressions of Python, which make large ones of small ones.
const EXPRESSIONS: [&str; 12] = [
    "X or X",
    "X and X",
    "X < X < X",
    "int(X)",
    "(X) ** (X)",
    "-(X)",
    "X if X else X",
    "(-2) ** (X)",
    "(X) // (1 - X)",
    "(X) % 5e-324",
    "math.exp(X)",
    "1 / (epoch - 3) + X",
];

/// What files leave to be filled in.
const AUTO: [&str; 8] = [
    "lr",
    "weight_decay",
    "warmup_min_lr",
    "warmup_max_lr",
    "warmup_num_steps",
    "total_num_steps",
    "gradient_clipping",
    "gradient_accumulation_steps",
];

impl Mutator {
    /// Collects names, texts and values.
    pub fn of<'v>(values: impl Iterator<Item = &'v Value>) -> Mutator {
        let mut mutator = Mutator::default();
        values.for_each(|value| mutator.collect(value));
        for list in [&mut mutator.names, &mut mutator.texts] {
            list.sort();
            list.dedup();
        }
        mutator
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.names.push(name.clone());
                    if self.values.len() < KEPT {
                        self.values.push((name.clone(), value.clone()));
                    }
                    self.collect(value);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.collect(value)),
            Value::String(text) => self.texts.push(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Changes `value` in one place.
    pub fn mutate(&self, random: &mut Random, value: &mut Value) {
        // Numbers are where the ends are: every second change is of one, if there are any.
        let numbers = count(value, &|value| value.is_number());
        if numbers > 0 && random.one_in(2) {
            let place = random.below(numbers);
            if let Some(number) = nth(value, &|value| value.is_number(), place) {
                *number = self.other_number(random, number);
            }
            return;
        }
        let place = random.below(count(value, &|_| true));
        let Some(node) = nth(value, &|_| true, place) else { return };
        match node {
            _ if random.one_in(6) => *node = self.other_type(random, node),
            Value::Object(fields) => self.fields(random, fields),
            Value::Array(list) => self.list(random, list),
            Value::String(text) => *text = self.other_text(random, text),
            Value::Bool(value) => *value = !*value,
            Value::Number(_) => *node = self.other_number(random, node),
            Value::Null => *node = edge(random),
        }
    }

    fn other_number(&self, random: &mut Random, number: &Value) -> Value {
        match number {
            Value::Number(number) if random.one_in(3) => near(random, number),
            _ => edge(random),
        }
    }

    fn other_type(&self, random: &mut Random, value: &Value) -> Value {
        match random.below(9) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!([]),
            3 => json!({}),
            4 => json!([value]),
            5 => json!([value, value]),
            6 => random.pick(&self.names).map_or(Value::Null, |name| json!({ name: value })),
            7 => Value::String(written(random)),
            _ => random.pick(&self.values).map_or(Value::Null, |(_, value)| value.clone()),
        }
    }

    fn fields(&self, random: &mut Random, fields: &mut Map<String, Value>) {
        let names: Vec<String> = fields.keys().cloned().collect();
        let (one, other) = (random.pick(&names).cloned(), random.pick(&names).cloned());
        match (random.below(6), one, other) {
            (0, Some(one), _) => {
                fields.remove(&one);
            }
            (1, Some(one), Some(other)) => {
                let (a, b) = (fields[&one].clone(), fields[&other].clone());
                fields.extend([(one, b), (other, a)]);
            }
            (2, Some(one), _) => {
                let value = fields.remove(&one).unwrap_or_default();
                fields.insert(slip(random, &one), value);
            }
            (3, Some(one), _) => {
                let value = fields[&one].clone();
                fields.extend(random.pick(&self.names).map(|name| (name.clone(), value)));
            }
            _ => fields.extend(random.pick(&self.values).cloned()),
        }
    }

    fn list(&self, random: &mut Random, list: &mut Vec<Value>) {
        let at = random.below(list.len());
        let one = list.get(at).cloned();
        match (random.below(6), one) {
            (0, Some(_)) => {
                list.remove(at);
            }
            (1, Some(one)) => list.insert(at, one),
            (2, Some(_)) => list.reverse(),
            (3, Some(one)) if random.one_in(8) => {
                let times = 1 << random.below(11);
                list.extend((0..times).map(|_| one.clone()));
            }
            (4, Some(one)) => list[at] = json!([one]),
            _ => list.extend(random.pick(&self.values).map(|(_, value)| value.clone())),
        }
    }

    fn other_text(&self, random: &mut Random, text: &str) -> String {
        match random.below(6) {
            0 => random.pick(&self.texts).cloned().unwrap_or_default(),
            1 => slip(random, text),
            2 => written(random),
            3 if text.len() < 400 => {
                let form = random.pick(&EXPRESSIONS).copied().unwrap_or_default();
                let part = if random.one_in(2) { "epoch" } else { text };
                // Four times over: what doubles shows.
                (0..random.below(5)).fold(form.replace('X', part), |text, _| {
                    if text.len() < 1_000 { form.replace('X', &text) } else { text }
                })
            }
            _ => {
                let mut text = text.to_owned();
                crate::text::number(random, &mut text);
                text
            }
        }
    }

    /// Other facts.
    pub fn facts(&self, random: &mut Random, facts: &Value) -> Value {
        let mut facts = facts.as_object().cloned().unwrap_or_default();
        for name in ["steps", "steps_per_epoch", "samples_per_step", "tokens_per_step"] {
            match random.below(3) {
                0 => facts.insert(name.into(), edge(random)),
                1 => facts.insert(name.into(), json!(1 << random.below(20))),
                _ => None,
            };
        }
        if random.one_in(2) {
            let mut values = Map::new();
            for name in AUTO {
                let value = if random.one_in(2) { json!(1 << random.below(16)) } else { edge(random) };
                values.insert(name.into(), value);
            }
            facts.insert("values".into(), Value::Object(values));
        }
        if random.one_in(16) {
            facts.extend(random.pick(&self.texts).map(|text| ("library".to_owned(), json!(text))));
        }
        Value::Object(facts)
    }
}

/// A name with a letter too many, too few, or another.
fn slip(random: &mut Random, name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = random.below(letters.len());
    match random.below(3) {
        0 if !letters.is_empty() => {
            letters.remove(at);
        }
        1 => letters.insert(at, '_'),
        _ => letters.insert(at, 'é'),
    }
    letters.into_iter().collect()
}

/// How many values in `value`, itself among them, are of the kind.
fn count(value: &Value, is: &dyn Fn(&Value) -> bool) -> usize {
    let inner = match value {
        Value::Array(list) => list.iter().map(|value| count(value, is)).sum(),
        Value::Object(fields) => fields.values().map(|value| count(value, is)).sum(),
        _ => 0,
    };
    inner + usize::from(is(value))
}

/// The value of the kind that has `place` others before it.
fn nth<'v>(value: &'v mut Value, is: &dyn Fn(&Value) -> bool, mut place: usize) -> Option<&'v mut Value> {
    if is(value) {
        if place == 0 {
            return Some(value);
        }
        place -= 1;
    }
    let inner: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for value in inner {
        let here = count(value, is);
        if place < here {
            return nth(value, is, place);
        }
        place -= here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_place() {
        let mut value = json!({"a": [1, {"b": "c"}], "d": 2.5});
        assert_eq!((count(&value, &|_| true), count(&value, &|v| v.is_number())), (6, 2));
        assert_eq!(nth(&mut value, &|v| v.is_number(), 1), Some(&mut json!(2.5)));
        assert_eq!(nth(&mut value, &|_| true, 4), Some(&mut json!("c")));
        assert_eq!(nth(&mut value, &|_| true, 6), None);
    }

    #[test]
    fn a_mutation_changes_something_most_times() {
        let value = json!({"lr": 0.1, "steps": [1, 2], "name": "linear", "on": true});
        let mutator = Mutator::of([&value].into_iter());
        let changed = (0..200).filter(|index| {
            let mut other = value.clone();
            mutator.mutate(&mut Random::new(1, *index), &mut other);
            other != value
        });
        assert!(changed.count() > 150);
    }
}
