//! Texts of tapes that are wrong in one line each, and the whole text of what is said of it.

use instep::rule::Tape;

use super::EVERYTHING;

/// What is read where `from`, which the text has once, stands as `to`.
#[track_caller]
fn said(from: &str, to: &str) -> String {
    assert_eq!(EVERYTHING.matches(from).count(), 1, "{from:?}");
    Tape::parse(&EVERYTHING.replace(from, to)).expect_err(to).to_string()
}

#[test]
fn a_line_that_is_wrong_is_told_with_its_number() {
    let cases = [
        ("tape 1\n", "tape 2\n", "1", "tape 2", "must be `tape 1`, the head of every tape"),
        ("rule everything\n", "rule every thing\n", "2", "rule every thing", "no statement is like that"),
        (
            "hyperparameter lr not_negative\n",
            "hyperparameter lr positively\n",
            "3",
            "hyperparameter lr positively",
            "there is no range `positively`",
        ),
        ("below_one 0.9\n", "below_one 0,9\n", "4", "hyperparameter beta below_one 0,9", "`0,9` is no number"),
        ("positive 1e-8\n", "positive 1e999\n", "5", "hyperparameter eps positive 1e999", "`1e999` is no number"),
        (
            "exact read_only\n",
            "exact kept\n",
            "9",
            "stream anchor starts param exact kept",
            "there is no property `kept`",
        ),
        ("stream peak not_negative\n", "stream peak starts\n", "11", "stream peak starts", "`starts` says from what"),
        ("starts 0.25 ", "starts 1e39 ", "8", "stream exp_avg_sq starts 1e39 denominator", "`1e39` is no number"),
        (
            "sum square tensor\n",
            "sum square cohort\n",
            "12",
            "sum square cohort",
            "a sum is over tensor, group or all, not `cohort`",
        ),
        (
            "remember decay cohort 1.0\n",
            "remember decay all 1.0\n",
            "15",
            "remember decay all 1.0",
            "it is a cohort's, a group's or a tensor's, not `all`",
        ),
        (
            "x1 = bias_correction",
            "y = bias_correction",
            "20",
            "y = bias_correction beta x0",
            "`y` is no name of a value: x0, x1, …",
        ),
        ("x3 = round x2\n", "x2 = round x2\n", "22", "x2 = round x2", "`x2` is there already"),
        ("x5 = sub 1.0 beta\n", "x5 = sub one beta\n", "24", "x5 = sub one beta", "there is no value `one`"),
        (
            "x8 = div square",
            "x8 = over square",
            "27",
            "x8 = over square len.square",
            "there is no operation `over` of 2 operands",
        ),
        ("x9 = sqrt x8\n", "x9 = sqrt x8 x8\n", "28", "x9 = sqrt x8 x8", "there is no operation `sqrt` of 2 operands"),
        (
            "x30 = fma x29 0.5 drift\n",
            "x30 = fma x29\n",
            "49",
            "x30 = fma x29",
            "there is no operation `fma` of 1 operands",
        ),
        (
            "x12 = is updates 0\n",
            "x12 = is updates -1\n",
            "31",
            "x12 = is updates -1",
            "`-1` is no number that fits here",
        ),
        ("x12 = is updates 0\n", "x12 = is updates\n", "31", "x12 = is updates", "`is` takes a count and a number"),
        ("x12 = is updates 0\n", "x12 = is lr 0\n", "31", "x12 = is lr 0", "`lr` is a number, but must be a count"),
        ("x14 = not x12\n", "x14 = not lr\n", "33", "x14 = not lr", "`lr` is a number, but must be a mask"),
        (
            "x23 = mul decay beta\n",
            "x23 = mul x17 beta\n",
            "42",
            "x23 = mul x17 beta",
            "`x17` is a mask, but must be a number",
        ),
        ("x18 = to_scalar x0\n", "x18 = sqrt x0\n", "37", "x18 = sqrt x0", "`x0` is a count, but must be a number"),
        (
            "x19 = min x18 100.0\n",
            "x19 = min x18 x3\n",
            "38",
            "x19 = min x18 x3",
            "`x3` is a rounded number, but must be a number",
        ),
        (
            "scalar rate x3\n",
            "scalar rate x2\n",
            "50",
            "scalar rate x2",
            "`x2` is a number, but must be a rounded number",
        ),
        ("remember trust x26\n", "remember decay x26\n", "57", "remember decay x26", "`decay` is written twice"),
        ("sum lean value x1\n", "sum square value x1\n", "63", "sum square value x1", "`square` is added to twice"),
        ("sum lean value x1\n", "sum lean sum x1\n", "63", "sum lean sum x1", "no line of this section is like that"),
        (
            "x18 = both x15 x17\n",
            "x18 = both x15 param\n",
            "84",
            "x18 = both x15 param",
            "`param` is a number, but must be a mask",
        ),
        ("x26 = neg rate\n", "x26 = round rate\n", "92", "x26 = round rate", "`round` is of `resolve` alone"),
        ("x26 = neg rate\n", "x26 = neg lr\n", "92", "x26 = neg lr", "there is no value `lr`"),
        ("x26 = neg rate\n", "x26 = neg x15\n", "92", "x26 = neg x15", "`x15` is a mask, but must be a number"),
        ("store exp_avg_sq x4\n", "store exp_avg x4\n", "100", "store exp_avg x4", "`exp_avg` is written twice"),
        ("store param x31\n", "store param x20\n", "98", "store param x20", "`x20` is a mask, but must be a number"),
    ];
    let mut wrong = Vec::new();
    for (from, to, line, text, rule) in cases {
        let expected = format!("line {line} of the tape: `{text}`: {rule}");
        let said = said(from, to);
        if !(said == expected || rule.ends_with("is no number") && said == format!("{expected} that fits here")) {
            wrong.push(format!("said     {said}\nexpected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sections_come_once_and_in_their_order() {
    let order = "the sections are resolve, measure, apply, show, each once, in this order";
    let cases = [
        ("apply\n", "measure\n", format!("line 65 of the tape: `measure`: {order}")),
        ("  store peak x9\n", "  store peak x9\nresolve\n", format!("line 103 of the tape: `resolve`: {order}")),
        ("resolve\n", "", "line 18 of the tape: `x0 = next updates`: no statement is like that".to_owned()),
        ("measure\n", "", "line 59 of the tape: `x0 = neg grad`: `x0` is there already".to_owned()),
    ];
    for (from, to, expected) in cases {
        assert_eq!(said(from, to), expected);
    }
    let until = |section: &str| Tape::parse(EVERYTHING.split_once(section).unwrap().0).unwrap_err().to_string();
    assert_eq!(until("apply\n"), "line 64 of the tape: `the end`: it ends before `apply`");
    assert_eq!(until("tape 1"), "line 0 of the tape: `the end`: it ends before `apply`");
    let without = |from: &str| {
        let begin = EVERYTHING.find("measure\n").unwrap();
        let end = EVERYTHING.find("apply\n").unwrap();
        Tape::parse(&format!("{}{from}{}", &EVERYTHING[..begin], &EVERYTHING[end..])).unwrap_err().to_string()
    };
    assert_eq!(without(""), "line 97 of the tape: `show`: sums are stated, and there is no `measure`");
}

#[test]
fn what_is_written_is_stated_and_what_is_stated_is_written() {
    let cases = [
        (
            "store peak x9\n",
            "store valley x9\n",
            "line 103 of the tape: `show`: `valley` is not stated, so it cannot be written",
        ),
        ("  store param x31\n", "", "line 102 of the tape: `show`: `apply` does not store `param`"),
        ("  store param x0\n", "", "line 104 of the tape: `the end`: `show` does not store `param`"),
        (
            "fma 0.5 peak param",
            "fma 0.5 peak grad",
            "rule.show is with the gradient, but between two updates there is none",
        ),
        (
            "fma 0.5 peak param",
            "fma 0.5 ratio param",
            "rule.show is with `ratio`, but `show` comes before sums, and uses no scalar that follows from one or that is a tensor's",
        ),
        ("  sum lean value x1\n", "", "line 64 of the tape: `apply`: `measure` adds nothing to `lean`"),
        (
            "sum lean value x1\n",
            "sum lean value x1\n  sum bent value x1\n",
            "line 66 of the tape: `apply`: there is no sum `bent`",
        ),
        ("  remember trust x26\n", "", "line 58 of the tape: `measure`: `resolve` does not remember `trust` anew"),
        (
            "  store peak x9\n",
            "",
            "rule.streams.peak is never changed, but `apply` must change it, or it is `read_only`",
        ),
        (
            "store peak x9\n",
            "store peak x9\n  store anchor x9\n",
            "rule.streams.anchor is changed, but `apply` gives a stream that is `read_only` back as it is",
        ),
        (
            "rule everything\n",
            "",
            "rule.name is \"\", but a name has small letters, digits and underscores, begins with a letter, and is no word of C++ or of the tape",
        ),
        (
            "x9:new_peak",
            "x9:while",
            "rule.apply.named is \"while\", but a name has small letters, digits and underscores, begins with a letter, and is no word of C++ or of the tape",
        ),
        (
            "remember decay cohort 1.0\n",
            "remember decay cohort inf\n",
            "rule.remember.decay.start is inf, but must be finite",
        ),
        ("starts 0.25 ", "starts NaN ", "rule.streams.exp_avg_sq.start is NaN, but must be a number"),
    ];
    let wrong: Vec<String> = cases
        .into_iter()
        .map(|(from, to, expected)| (said(from, to), expected))
        .filter(|(said, expected)| said != expected)
        .map(|(said, expected)| format!("said     {said}\nexpected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
