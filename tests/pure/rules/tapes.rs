//! A tape is data: it is recorded from a rule, printed, compared, hashed, written as text and read back.

use std::collections::HashSet;

use instep::rule::{Rule, Tape, TapeRule};
use instep::{Adam, AdamW, Device, Momentum, Optimizer, Parity, Sgd};

use super::{EVERYTHING, lion};
use crate::emission::check;
use crate::owned::Pair;

const PARITIES: [Parity; 3] = [Parity::Stated, Parity::TorchForLoop, Parity::TorchFused];

fn tape<R: Rule>(rule: &R) -> Tape {
    Tape::of(rule).unwrap()
}

/// Every form of the crate's own rules that computes something else, and one that is not the crate's.
pub fn all() -> Vec<(String, Tape)> {
    let momentum = |form| Sgd::new(0.1).momentum(form, 0.9);
    let mut all: Vec<(String, Tape)> = Vec::new();
    let mut add = |name: &str, parity: Parity, tape: Tape| all.push((format!("{name}, {parity:?}"), tape));
    for parity in PARITIES {
        add("AdamW", parity, tape(&AdamW::new(0.1).parity(parity)));
        add("AdamW without decay", parity, tape(&AdamW::new(0.1).weight_decay(0.0).parity(parity)));
        add("Adam, L2", parity, tape(&Adam::new(0.1).weight_decay(0.1).parity(parity)));
        add("Sgd, momentum", parity, tape(&momentum(Momentum::Heavy).parity(parity)));
        add("Sgd, Nesterov, decay", parity, tape(&momentum(Momentum::Nesterov).weight_decay(0.1).parity(parity)));
    }
    add("Adam, maximize", Parity::Stated, tape(&Adam::new(0.1).maximize()));
    add("Sgd", Parity::Stated, tape(&Sgd::new(0.1)));
    add("Sgd, decay, maximize", Parity::Stated, tape(&Sgd::new(0.1).weight_decay(0.1).maximize()));
    all.push(("Lion".to_owned(), tape(&lion())));
    all
}

#[test]
fn the_tape_of_every_rule_is_as_kept() {
    let texts = all().into_iter().map(|(name, tape)| format!("# {name}\n{tape}\n"));
    check("tapes.txt", &texts.collect::<String>());
}

#[test]
fn the_kernel_of_every_kind_of_line_is_as_kept() {
    let rule = TapeRule::new(Tape::parse(EVERYTHING).unwrap()).set("lr", 0.1);
    let builder = Optimizer::builder(&Device::host());
    check("everything.cuh", &builder.group(rule, &[Pair::small().tensor()]).emit().unwrap());
}

#[test]
fn a_tape_that_is_printed_and_read_is_the_same_tape() {
    let everything = Tape::parse(EVERYTHING).unwrap();
    assert_eq!(everything.to_string(), EVERYTHING);
    for (name, tape) in all().into_iter().chain([("everything".to_owned(), everything)]) {
        let read = Tape::parse(&tape.to_string()).unwrap();
        assert_eq!(read, tape, "{name}");
        assert_eq!(HashSet::from([read, tape]).len(), 1, "{name}: equal ones have equal hashes");
    }
}

#[test]
fn a_tape_does_not_depend_on_schedules_but_on_all_else() {
    assert_eq!(tape(&AdamW::new(0.1)), tape(&AdamW::new(0.2).beta1(0.5)));
    // Of Sgd and Adam, torch's for-loop does some as they are stated.
    let names: Vec<String> = all().into_iter().map(|(name, _)| name).collect();
    let distinct: HashSet<Tape> = all().into_iter().map(|(_, tape)| tape).collect();
    let same = names.iter().filter(|name| name.starts_with("Sgd") && name.ends_with("TorchForLoop")).count();
    assert_eq!(distinct.len(), names.len() - same);
}

#[test]
fn any_word_that_is_another_makes_another_tape() {
    let whole = Tape::parse(EVERYTHING).unwrap();
    let changes = [
        ("rule everything", "rule everything_else"),
        ("beta below_one 0.9", "beta not_negative 0.9"),
        ("beta below_one 0.9", "beta below_one 0.90000000000000002"),
        ("beta below_one 0.9", "beta below_one 0.9000000000000001"),
        ("starts 0.25", "starts 0.5"),
        ("starts param exact", "starts param"),
        ("sum total all", "sum total group"),
        ("drift group -0.0", "drift group 0.0"),
        ("less_equal x24 1e300", "less x24 1e300"),
        ("is updates 0", "is updates 1"),
        ("mul x20 1e-6", "mul x20 1e-7"),
        ("equal peak -0.0", "equal peak 0.0"),
        ("x9:new_peak", "x9"),
        ("value x1", "product x1 x0"),
        ("store former grad", "store former x8"),
    ];
    let mut seen = HashSet::from([whole.clone()]);
    for (from, to) in changes {
        let changed = Tape::parse(&EVERYTHING.replacen(from, to, 1)).unwrap();
        // One of the numbers is the same number in more digits.
        let same = to.ends_with("00000000002");
        assert_eq!(changed == whole, same, "{to}");
        assert_eq!(seen.insert(changed), !same, "{to}");
    }
    // A NaN is one value, however it is written, and equals itself.
    let nan = |word: &str| Tape::parse(&EVERYTHING.replace("max x28 NaN", &format!("max x28 {word}"))).unwrap();
    assert_eq!(nan("-nan"), whole);
}

#[test]
fn what_nothing_follows_from_is_no_part_of_a_tape() {
    let more = EVERYTHING.replace("  store param x31\n", "  x40 = mul x8 x8\n  x41 = less x40 x8\n  store param x31\n");
    assert_eq!(Tape::parse(&more).unwrap(), Tape::parse(EVERYTHING).unwrap());
}

#[test]
fn blank_lines_and_spaces_mean_nothing() {
    let spaced = EVERYTHING.replace('\n', " \r\n\n").replace("  ", "\t ");
    assert_eq!(Tape::parse(&spaced).unwrap(), Tape::parse(EVERYTHING).unwrap());
}

#[test]
fn long_tapes_are_read_written_and_run() {
    // Longer than any index of a byte, deeper than any stack.
    for (operation, len) in [("add", 300), ("add", 20_000), ("neg", 20_000)] {
        let mut text =
            "tape 1\nrule chain\nhyperparameter lr any\nresolve\n  x0 = round lr\n  scalar rate x0\napply\n".to_owned();
        text += "  x0 = fma rate grad param\n";
        for i in 1..len {
            let other = if operation == "add" { format!(" {}.0", i % 700) } else { String::new() };
            text += &format!("  x{i} = {operation} x{}{other}\n", i - 1);
        }
        text += &format!("  store param x{}\n", len - 1);
        let tape = Tape::parse(&text).unwrap();
        assert_eq!(tape.to_string(), text);
        let pair = Pair::small();
        let rule = || TapeRule::new(tape.clone()).set("lr", 0.5);
        Optimizer::builder(&Device::host()).group(rule(), &[pair.tensor()]).emit().unwrap();
        let mut opt = Optimizer::builder(&Device::host()).group(rule(), &[pair.tensor()]).build().unwrap();
        opt.step(&instep::Stream::host()).unwrap();
        let sum: usize = (1..len).map(|i| i % 700).sum();
        let expected = if operation == "add" { 1.5 + sum as f32 } else { -1.5 };
        assert!((pair.param.read()[0] - expected).abs() <= 1e-3 * expected.abs(), "{operation} {len}");
    }
}
