//! The tables of AdamW's precisions: at the shapes of GPT-2, and at those of Llama-3 8B.

use super::bars::{FORMS, KEPT, LLAMA};
use super::results::{Results, Row};
use super::tables::{NOT_MEASURED, spread, table};

const MODE: &str = "one-step graph";
pub const GPT2: &str = "148 tensors, 124 M";
/// The form that PyTorch has too.
const BF16: &str = "bf16";

/// Every form at the shapes of GPT-2, and how many times as long PyTorch's takes in bf16.
pub fn gpt2(results: &Results) -> String {
    let theirs = results.theirs(&name(BF16), GPT2);
    let last =
        |row: &Row| theirs.map_or(String::new(), |theirs| format!("{:.2}", theirs.time.median / row.time.median));
    lines(results, GPT2, "PyTorch's bf16, times as long", last)
}

/// Every form at those of Llama-3 8B, and how many layers were taken.
pub fn llama(results: &Results) -> String {
    lines(results, LLAMA, "what fits", |row| row.note.clone())
}

/// The name of a row.
fn name(form: &str) -> String {
    format!("{KEPT}{form}, {MODE}")
}

/// A line a form, and one of PyTorch's bf16. `last`: the cell of the last column.
fn lines(results: &Results, size: &str, column: &str, last: impl Fn(&Row) -> String) -> String {
    let line = |form: String, bytes: f64, row: Option<&Row>| {
        let number =
            |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
        vec![
            form,
            format!("{}", (100.0 * bytes).round() / 100.0),
            row.map_or(NOT_MEASURED.to_owned(), |row| spread(row.time)),
            number(row.and_then(|row| row.gigabytes_per_second), 0),
            number(row.and_then(|row| row.percent_of_copy), 1),
            row.map_or(String::new(), &last),
        ]
    };
    let ours = FORMS.iter().map(|(form, bytes)| line((*form).to_owned(), *bytes, results.ours(&name(form), size)));
    let theirs = FORMS.iter().filter(|(form, _)| *form == BF16);
    let theirs =
        theirs.map(|(form, bytes)| line(format!("PyTorch fused, {form}"), *bytes, results.theirs(&name(form), size)));
    table(&["precision", "bytes a parameter", MODE, "GB/s", "% of copy", column], ours.chain(theirs))
}

#[test]
fn a_form_shows_its_share_and_what_pytorchs_bf16_takes_and_others_are_not_measured() {
    let row = |name: &str, size: &str, time: f64, note: &str| {
        let time = serde_json::json!({"median": time, "p10": time, "p90": time, "samples": 5});
        serde_json::json!({"row": name, "size": size, "time_ns": time, "gb_per_s": 2900.0, "percent_of_copy": 97.5, "note": note})
    };
    let stochastic = name("bf16 rounded stochastically, 8-bit states");
    let bench = [row(&stochastic, GPT2, 5e5, ""), row(&stochastic, LLAMA, 3e7, "32 of 32 layers, 8.03 B parameters")];
    let peers = [row(&format!("torch fused {}", name(BF16)), GPT2, 1e6, "")];
    let results = serde_json::json!({"standin": false, "parts": {"bench": {"rows": bench}, "peers": {"rows": peers}}});
    let results = Results::parse(&results.to_string()).unwrap();

    let (small, large) = (gpt2(&results), llama(&results));
    let ours = "| bf16 rounded stochastically, 8-bit states | 10.06 |";
    assert!(small.contains(&format!("{ours} 500 µs ± 0 % | 2900 | 97.5 | 2.00 |\n")), "{small}");
    assert!(small.contains("| PyTorch fused, bf16 | 14 | 1.00 ms ± 0 % | 2900 | 97.5 | 1.00 |\n"), "{small}");
    assert!(small.contains("| bf16 | 14 | not measured |  |  |  |\n"), "{small}");
    assert!(
        large.contains(&format!("{ours} 30.0 ms ± 0 % | 2900 | 97.5 | 32 of 32 layers, 8.03 B parameters |\n")),
        "{large}"
    );
    assert_eq!(large.matches(NOT_MEASURED).count(), FORMS.len(), "{large}");
    // PyTorch's row of the same bytes is the one that both forms of all bf16 are compared with.
    assert_eq!(super::results::peer(&name("bf16 rounded stochastically")), name(BF16));
}
