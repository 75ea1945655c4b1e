//! Of a name that nobody knows: the known one that comes nearest.

/// How alike two names must be, from 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// The one of `known` that `name` may be a slip of; None if none is near. Case, `-`, `_` and the order of parts count little: `lr_min`
/// is near `min_lr`.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (plain, sorted) = forms(name);
    let alike = known.into_iter().map(|known| {
        let (other, other_sorted) = forms(known);
        (likeness(&plain, &other).max(likeness(&sorted, &other_sorted)), known)
    });
    // Of equals the first.
    let nearer = |best: (f64, &'k str), next: (f64, &'k str)| if next.0 > best.0 { next } else { best };
    alike.filter(|(alike, _)| *alike >= ALIKE).reduce(nearer).map(|(_, known)| known)
}

/// The letters and digits of a name, and the same with its parts in order.
fn forms(name: &str) -> (String, String) {
    let name = name.to_lowercase();
    let mut parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let plain = parts.concat();
    parts.sort_unstable();
    (plain, parts.concat())
}

/// How alike two names are, from 0 to 1; short ones, of which Jaro and Winkler think little, are alike at one slip. Without files
/// nobody writes names.
fn likeness(a: &str, b: &str) -> f64 {
    #[cfg(feature = "serde")]
    return match a.len() > 2 && strsim::osa_distance(a, b) == 1 {
        true => strsim::jaro_winkler(a, b).max(ALIKE),
        false => strsim::jaro_winkler(a, b),
    };
    #[cfg(not(feature = "serde"))]
    return if a == b { 1.0 } else { 0.0 };
}

/// The rule that a name breaks which is none of `known`: `is not {what}`, the nearest, and all of a few, or where all stand.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str], list: &str) -> String {
    const FEW: usize = 12;
    let hint =
        nearest(name, known.iter().copied()).map_or_else(String::new, |known| format!("; the nearest is {known}"));
    match known.len() {
        0 => format!("is not {what}: there are none"),
        1..=FEW => format!("is not {what}{hint}; there are {}", known.join(", ")),
        _ => format!("is not {what}{hint}; {list}"),
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let known = ["adamw", "adam", "sgd", "lion", "weight_decay", "beta1", "beta2"];
        let cases = [
            ("lyon", Some("lion")),
            ("AdamW", Some("adamw")),
            ("weight-decay", Some("weight_decay")),
            ("weigth_decay", Some("weight_decay")),
            ("beta", Some("beta1")),
            ("sdg", Some("sgd")),
            ("quadratic", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(nearest("lr_min", ["max_lr", "min_lr"]), Some("min_lr"));
    }

    #[test]
    fn a_rule_says_what_is_known_or_where_that_stands() {
        assert_eq!(unknown("an option", "x", &[], "the page"), "is not an option: there are none");
        assert_eq!(
            unknown("a norm", "tow", &["one", "two"], "the page"),
            "is not a norm; the nearest is two; there are one, two"
        );
        let many = ["linear", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
        assert_eq!(
            unknown("a schedule", "linaer", &many, "the page has all"),
            "is not a schedule; the nearest is linear; the page has all"
        );
    }
}
