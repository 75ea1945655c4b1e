//! What is said of a word that nobody knows: which known one it comes nearest to, and where all of them stand.

pub(super) use crate::nearest::nearest;

/// Where every name stands that has a translation.
const LISTS: &str = "docs/compat.md and the page of `instep::compat` say what each becomes";

/// The rule that a name breaks which is none of `known`; `what` completes "is not …".
pub(super) fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    format!("is not {what}{}; there are {}; {LISTS}", hint(name, known), known.join(", "))
}

/// The rule that the argument `name` breaks where a call takes none but `known`.
pub(super) fn unknown_argument(name: &str, known: &[&str]) -> String {
    let all = if known.is_empty() { "it takes none".into() } else { format!("there are {}", known.join(", ")) };
    format!("is not an argument of this call{}; {all}", hint(name, known))
}

/// The rule that a word breaks which must be one of `known`.
pub(super) fn unknown_word(word: &str, known: &[&str]) -> String {
    format!("must be {}{}", either(known), hint(word, known))
}

/// `a, b or c`.
pub(super) fn either(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [firsts @ .., last] => format!("{} or {last}", firsts.join(", ")),
    }
}

/// A clause with the nearest, if there is one.
fn hint(word: &str, known: &[&str]) -> String {
    nearest(word, known.iter().copied()).map_or_else(String::new, |nearest| format!("; the nearest is {nearest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let known = ["linear", "log", "min_lr", "max_lr", "warmup_num_steps", "CosineAnnealingWarmRestarts", "StepLR"];
        let cases = [
            ("lineer", Some("linear")),
            ("LINEAR", Some("linear")),
            ("lr_min", Some("min_lr")),
            ("max-lr", Some("max_lr")),
            ("warmup_steps", Some("warmup_num_steps")),
            ("CosineAnnealingWarmupRestarts", Some("CosineAnnealingWarmRestarts")),
            ("steplr", Some("StepLR")),
            ("quadratic", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest("ab", ["abc", "abd"]), Some("abc"), "of equals the first");
    }

    #[test]
    fn a_rule_lists_what_is_known() {
        assert_eq!(unknown_word("mim", &["min", "max"]), "must be min or max; the nearest is min");
        assert_eq!(unknown_word("x", &["a", "b", "c"]), "must be a, b or c");
        assert_eq!(
            unknown_argument("gama", &["gamma", "step_size"]),
            "is not an argument of this call; the nearest is gamma; there are gamma, step_size"
        );
        assert_eq!(unknown_argument("x", &[]), "is not an argument of this call; it takes none");
        assert_eq!(
            unknown_name("a library", "pytorch", &["torch", "optax"]),
            "is not a library; the nearest is torch; there are torch, optax; docs/compat.md and the page of \
             `instep::compat` say what each becomes"
        );
    }
}
