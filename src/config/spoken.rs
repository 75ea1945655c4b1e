//! What a reader of JSON or TOML says is wrong, in the words of a configuration: serde's own speak of Rust (`expected u32`, `map`). Start
//! at [`in_words`].

use crate::error::{number, quoted};
use crate::nearest;

/// An error of a reader.
pub(super) trait Told {
    /// What is wrong, without where.
    fn message(&self) -> String;

    /// The line and the column in `text`, counted from 1, if they are known.
    fn at(&self, text: &str) -> Option<(usize, usize)>;
}

impl Told for serde_json::Error {
    fn message(&self) -> String {
        let text = self.to_string();
        let place = format!(" at line {} column {}", self.line(), self.column());
        text.strip_suffix(&place).unwrap_or(&text).to_owned()
    }

    fn at(&self, _text: &str) -> Option<(usize, usize)> {
        (self.line() > 0).then(|| (self.line(), self.column()))
    }
}

impl Told for toml::de::Error {
    fn message(&self) -> String {
        toml::de::Error::message(self).to_owned()
    }

    fn at(&self, text: &str) -> Option<(usize, usize)> {
        let before = text.get(..self.span()?.start)?;
        let line = before.rsplit('\n').next().unwrap_or_default();
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }
}

/// A message of serde in words; what is not one of its own stays as it is.
pub(super) fn in_words(message: &str) -> String {
    said(message).unwrap_or_else(|| message.to_owned())
}

fn said(message: &str) -> Option<String> {
    let message = message.trim_end();
    if let Some(name) = message.strip_prefix("missing field ") {
        return Some(format!("{} is missing", bare(name)));
    }
    if let Some(name) = message.strip_prefix("duplicate field ") {
        return Some(format!("{} is given twice", bare(name)));
    }
    for (prefix, is_key) in [("unknown field ", true), ("unknown variant ", false)] {
        let Some(rest) = message.strip_prefix(prefix) else { continue };
        let mut names = rest.split('`').skip(1).step_by(2);
        let name = names.next()?;
        return Some(unknown(name, &names.collect::<Vec<_>>(), is_key));
    }
    if let Some(rest) = message.strip_prefix("invalid length ") {
        let (len, expected) = rest.split_once(", expected ")?;
        return Some(format!("a list of {len} is not {}", wanted(expected)));
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    Some(format!("{} is not {}", given(found), wanted(expected)))
}

/// A name without its quotes.
fn bare(name: &str) -> &str {
    name.trim_matches('`')
}

/// A name that is none of `known`.
fn unknown(name: &str, known: &[&str], is_key: bool) -> String {
    let (what, list) = match (known.contains(&"adamw"), known.contains(&"piecewise_constant"), is_key) {
        (true, ..) => ("an update rule", "docs/rules.md has all"),
        (_, true, _) => ("a schedule", "the documentation of instep::Schedule has all"),
        (.., true) => ("a key here", "the documentation of instep::Config has all"),
        (.., false) => ("known", "the documentation of instep::Config has all"),
    };
    format!("{name} {}", nearest::unknown(what, name, known, list))
}

/// What was found, as it is written.
fn given(found: &str) -> String {
    let within = |prefix: &str| found.strip_prefix(prefix)?.strip_prefix('`')?.strip_suffix('`');
    if let Some(value) = within("boolean ").or_else(|| within("integer ")) {
        return value.to_owned();
    }
    if let Some(value) = within("floating point ") {
        return value.parse().map_or_else(|_| value.to_owned(), |value: f64| number(value));
    }
    if let Some(text) = found.strip_prefix("string ") {
        return serde_json::from_str(text).map_or_else(|_| text.to_owned(), |text: String| quoted(&text));
    }
    match found {
        "sequence" => "a list",
        "map" => "an object",
        "unit value" => "null",
        other => other,
    }
    .to_owned()
}

/// What was to be there.
fn wanted(expected: &str) -> String {
    let list = |len: &str| format!("a list of {len}");
    match expected {
        "u64" | "usize" => "a whole number from 0 to 2^64 - 1",
        "u32" => "a whole number from 0 to 2^32 - 1",
        "i32" => "a whole number from -2^31 to 2^31 - 1",
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "string or map" => "a name, or an object of one",
        other => match (other.strip_prefix("an array of length "), other.split_once(' ')) {
            (Some(len), _) => return list(len),
            (_, Some(("struct" | "enum" | "variant" | "tuple", _))) => "an object of its settings",
            _ => other,
        },
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_says_is_said_in_the_words_of_a_file() {
        let cases = [
            ("missing field `ring`", "ring is missing"),
            ("duplicate field `lr`", "lr is given twice"),
            ("invalid value: integer `-1`, expected u32", "-1 is not a whole number from 0 to 2^32 - 1"),
            ("invalid type: floating point `0.5`, expected u64", "0.5 is not a whole number from 0 to 2^64 - 1"),
            ("invalid type: floating point `1.0`, expected a boolean", "1 is not true or false"),
            ("invalid type: string \"a \\\"b\\\"\", expected f64", "\"a \"b\"\" is not a number"),
            ("invalid type: map, expected a sequence", "an object is not a list"),
            ("invalid type: null, expected struct Precision", "null is not an object of its settings"),
            ("invalid length 1, expected an array of length 2", "a list of 1 is not a list of 2"),
            (
                "unknown field `grow`, expected `growth` or `init`",
                "grow is not a key here; the nearest is growth; there are growth, init",
            ),
            (
                "unknown variant `tow`, expected one of `two`, `one`, `max`",
                "tow is not known; the nearest is two; there are two, one, max",
            ),
            ("unknown field `x`, there are no fields", "x is not a key here: there are none"),
            ("it has 2 of them", "it has 2 of them"),
        ];
        for (message, expected) in cases {
            assert_eq!(in_words(message), expected);
        }
    }
}
