//! Changes a text of any format: its numbers, lines and characters.

use std::ops::Range;

use crate::numbers::written;
use crate::random::Random;

/// Characters that mean something in some format.
const SIGNS: [&str; 16] = ["\"", "'", "{", "}", "[", "]", ":", ",", "=", "-", "\n", "#", "&a ", "*a", "..", "é"];

/// Changes `text` in one place.
pub fn mutate(random: &mut Random, text: &mut String) {
    match random.below(8) {
        0..4 => number(random, text),
        4 => lines(random, text),
        5 => {
            let at = place(random, text);
            text.insert_str(at, random.pick(&SIGNS).copied().unwrap_or_default());
        }
        6 => {
            let at = place(random, text);
            if at < text.len() {
                text.remove(at);
            }
        }
        _ => words(random, text),
    }
}

/// Puts another number in the place of one, if there is any.
pub fn number(random: &mut Random, text: &mut String) {
    let numbers = numbers(text);
    if let Some(range) = random.pick(&numbers).cloned() {
        text.replace_range(range, &written(random));
    }
}

/// Drops, doubles or moves a line, or cuts the rest off.
fn lines(random: &mut Random, text: &mut String) {
    let mut lines: Vec<&str> = text.lines().collect();
    let (at, to) = (random.below(lines.len()), random.below(lines.len()));
    if lines.is_empty() {
        return;
    }
    match random.below(4) {
        0 => {
            lines.remove(at);
        }
        1 => lines.insert(to, lines[at]),
        2 => lines.swap(at, to),
        _ => lines.truncate(at),
    }
    *text = lines.join("\n");
}

/// Puts one word of the text in the place of another.
fn words(random: &mut Random, text: &mut String) {
    let words = tokens(text, |c| c.is_alphanumeric() || c == '_');
    let (Some(one), Some(other)) = (random.pick(&words).cloned(), random.pick(&words).cloned()) else { return };
    let word = text[one].to_owned();
    text.replace_range(other, &word);
}

/// Where the numbers stand.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let mut numbers = tokens(text, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    numbers.retain(|range| text[range.clone()].starts_with(|c: char| c.is_ascii_digit()));
    numbers
}

/// Where characters that belong together stand.
fn tokens(text: &str, belongs: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, c) in text.char_indices().filter(|(_, c)| belongs(*c)) {
        match ranges.last_mut() {
            Some(range) if range.end == at => range.end = at + c.len_utf8(),
            _ => ranges.push(at..at + c.len_utf8()),
        }
    }
    ranges
}

/// Where some character begins, or the end.
fn place(random: &mut Random, text: &str) -> usize {
    let from = random.below(text.len() + 1);
    (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_every_format() {
        let found = |text: &str| numbers(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        assert_eq!(found("lr = 1e-4 # é\nsteps: 1_000"), ["1e", "4", "1_000"]);
        assert_eq!(found("--lr 0.5 --beta2=0.999 0..9:3"), ["0.5", "0.999", "0..9", "3"]);
    }

    #[test]
    fn any_text_can_be_changed() {
        for text in ["", "é", "1", "a = 1\nb = 2", "{\"a\": [1, 2.5e3]}"] {
            for index in 0..200 {
                let mut text = text.to_owned();
                mutate(&mut Random::new(3, index), &mut text);
            }
        }
    }
}
