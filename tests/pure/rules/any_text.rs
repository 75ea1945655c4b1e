//! Whatever the text: it is refused with an error, or it is a tape that prints, reads back as itself, and runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use instep::rule::{Tape, TapeRule};
use instep::{Device, Error, Optimizer, Stream};
use proptest::prelude::*;

use super::EVERYTHING;
use super::tapes::all;
use crate::owned::Pair;

fn hash(tape: &Tape) -> u64 {
    let mut hasher = DefaultHasher::new();
    tape.hash(&mut hasher);
    hasher.finish()
}

/// Reads `text`; what is a tape is used as one.
fn read(text: &str) -> Result<(), TestCaseError> {
    let tape = match Tape::parse(text) {
        Ok(tape) => tape,
        Err(Error::Format { .. } | Error::Argument { .. }) => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    let printed = tape.to_string();
    let again = Tape::parse(&printed).map_err(|error| TestCaseError::fail(format!("{error} in\n{printed}")))?;
    prop_assert_eq!(&again, &tape);
    prop_assert_eq!(again.to_string(), printed);
    prop_assert_eq!(hash(&again), hash(&tape));
    let pair = Pair::new(&[1.0, -0.0, f32::NAN], &[0.5, f32::INFINITY, -1e-41]);
    let rule = || TapeRule::new(tape.clone()).set("lr", 0.5);
    let builder = || Optimizer::builder(&Device::host()).group(rule(), &[pair.tensor()]);
    if let Ok(mut optimizer) = builder().build() {
        builder().emit()?;
        optimizer.step(&Stream::host())?;
        optimizer.step(&Stream::host())?;
    }
    Ok(())
}

/// Texts that are tapes.
fn valid() -> Vec<String> {
    let of_rules = all().into_iter().map(|(_, tape)| tape.to_string());
    // That with every kind of line is half of them.
    of_rules.flat_map(|text| [text, EVERYTHING.to_owned()]).collect()
}

/// All words of valid texts, and some that are in none.
fn words() -> Vec<String> {
    let mut words: Vec<String> = valid().iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    let others = ["x", "x99999999999999999999", "x1:", "x2:a:b", ":", "-1", "18446744073709551616", "1e999", "-inf"];
    let more = [
        "NaN", "len.", "len.x", "param", "é", "while", "first", "x1_", "0x1p3", "1e-46", "value", "{", "\"", "infinity",
    ];
    words.extend(others.into_iter().chain(more).map(str::to_owned));
    words.sort();
    words.dedup();
    words
}

#[derive(Debug, Clone)]
enum Edit {
    DeleteLine,
    DoubleLine,
    SwapLine,
    DeleteWord,
    DoubleWord,
    Word(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => Just(Edit::DeleteLine),
        1 => Just(Edit::DoubleLine),
        1 => Just(Edit::SwapLine),
        1 => Just(Edit::DeleteWord),
        1 => Just(Edit::DoubleWord),
        6 => prop::sample::select(words()).prop_map(Edit::Word),
    ]
}

/// `lines` with one place changed.
fn edited(
    mut lines: Vec<Vec<String>>,
    edit: &Edit,
    at: (prop::sample::Index, prop::sample::Index),
) -> Vec<Vec<String>> {
    if lines.is_empty() {
        return lines;
    }
    let (line, next) = (at.0.index(lines.len()), at.1.index(lines.len()));
    match edit {
        Edit::DeleteLine => drop(lines.remove(line)),
        Edit::DoubleLine => lines.insert(next, lines[line].clone()),
        Edit::SwapLine => lines.swap(line, next),
        _ if lines[line].is_empty() => {}
        Edit::DeleteWord => drop({
            let word = at.1.index(lines[line].len());
            lines[line].remove(word)
        }),
        Edit::DoubleWord => {
            let word = at.1.index(lines[line].len());
            let copy = lines[line][word].clone();
            lines[line].insert(word, copy);
        }
        Edit::Word(other) => {
            let word = at.1.index(lines[line].len());
            lines[line][word].clone_from(other);
        }
    }
    lines
}

fn text(lines: &[Vec<String>]) -> String {
    lines.iter().map(|line| line.join(" ") + "\n").collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_tape_with_places_changed_is_refused_or_is_a_tape(
        whole in prop::sample::select(valid()),
        edits in prop::collection::vec((edit(), any::<(prop::sample::Index, prop::sample::Index)>()), 1..4),
    ) {
        let lines = whole.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        let lines = edits.iter().fold(lines, |lines, (edit, at)| edited(lines, edit, *at));
        read(&text(&lines))?;
    }

    #[test]
    fn lines_of_any_words_are_refused_or_are_a_tape(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(words()), 0..6), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        // After as much of a tape as brings the reader anywhere.
        let head: String = EVERYTHING.lines().take(cut.index(100)).map(|line| format!("{line}\n")).collect();
        read(&(head + &text(&lines)))?;
    }

    #[test]
    fn any_characters_are_refused(characters in prop::collection::vec(any::<char>(), 0..200)) {
        let text: String = characters.into_iter().collect();
        prop_assert!(Tape::parse(&text).is_err());
        let after = EVERYTHING.to_owned() + &text + "x";
        prop_assert!(Tape::parse(&after).is_err());
    }
}
