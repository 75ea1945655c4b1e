//! Rules as a block calls them (identities), in the words of files: which are akin, and what tells two of them apart. An identity is
//! `Adam<Decay::coupled, Direction::minimize>`, a name and the digest of a tape, or what a rule of one's own says; rules one after the
//! other are joined.

/// Between two identities of rules of which one comes after the other.
const THEN: &str = ", then ";

/// One rule of an identity.
struct Part<'a> {
    name: &'a str,
    /// What stands between `<` and `>`.
    options: Vec<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Part<'a> {
    fn new(part: &'a str) -> Part<'a> {
        if let Some((name, options)) = part.strip_suffix('>').and_then(|part| part.split_once('<')) {
            return Part { name, options: options.split(", ").collect(), digest: None };
        }
        let is_digest = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        match part.rsplit_once(' ').filter(|(_, word)| is_digest(word)) {
            Some((name, digest)) => Part { name, options: Vec::new(), digest: Some(digest) },
            None => Part { name: part, options: Vec::new(), digest: None },
        }
    }

    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    /// Its name in files. Two of these are one rule to a block where neither decays weights.
    fn called(&self) -> String {
        match self.name {
            "Adam" if self.has("Decay::decoupled") => "adamw".to_owned(),
            "Adam" if self.has("Decay::coupled") => "adam".to_owned(),
            "Adam" => "adam or adamw".to_owned(),
            "Sgd" => "sgd".to_owned(),
            name => name.to_owned(),
        }
    }

    /// The options in words, but for those that its name says.
    fn said(&self) -> Vec<String> {
        let in_its_name = |option: &&&str| self.name == "Adam" && **option == "Decay::decoupled";
        self.options.iter().filter(|option| !in_its_name(option)).filter_map(|option| in_words(option)).collect()
    }

    /// The same, with what it has that `other`, of the same name, has not.
    fn beside(&self, other: &Part<'_>, last: bool) -> String {
        let name = match (self.name, self.has("Decay::none")) {
            ("Adam", true) if !other.has("Decay::none") => other.called(),
            _ => self.called(),
        };
        let theirs = other.said();
        let own: Vec<String> = self.said().into_iter().filter(|option| !theirs.contains(option)).collect();
        match own.is_empty() {
            false => format!("{name} with {}", own.join(", ")),
            true if last && self.digest != other.digest => format!("{name} with other options or operations"),
            true => name,
        }
    }
}

/// An option as files have it; None for what is so by default.
fn in_words(option: &str) -> Option<String> {
    let word = |name: &str, value: &str| Some(format!("{name} = \"{}\"", value.to_lowercase()));
    match option.split_once("::") {
        Some(("Direction", "maximize")) => Some("maximize = true".to_owned()),
        Some(("Decay", "none")) => Some("weight_decay = 0".to_owned()),
        Some(("Direction", _) | ("Decay", "coupled")) => None,
        Some(("Decay", _)) => Some("decoupled_weight_decay = true".to_owned()),
        Some((name, value)) => word(&name.to_lowercase(), value),
        None => Some(option.to_owned()),
    }
}

/// The names of the rules that a block calls so, without their options.
pub(super) fn names(identity: &str) -> Vec<&str> {
    identity.split(THEN).map(|part| Part::new(part).name).collect()
}

/// Two rules that differ, each in words.
pub(super) fn spoken(stored: &str, here: &str) -> [String; 2] {
    let [a, b] = [stored, here].map(|identity| identity.split(THEN).map(Part::new).collect::<Vec<_>>());
    let joined = |parts: Vec<String>| parts.join(THEN);
    if names(stored) != names(here) {
        return [a, b].map(|parts| joined(parts.iter().map(Part::called).collect()));
    }
    let beside = |own: &[Part<'_>], other: &[Part<'_>], last: bool| {
        joined(own.iter().zip(other).map(|(own, other)| own.beside(other, last)).collect())
    };
    [beside(&a, &b, false), beside(&b, &a, true)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_called_as_in_files_by_what_tells_it_apart() {
        let cases = [
            ("lion 0123456789abcdef", "adan fedcba9876543210", "lion | adan"),
            ("lion 0123456789abcdef", "lion 0123456789abcdee", "lion | lion with other options or operations"),
            (
                "Adam<Decay::decoupled, Direction::minimize>",
                "Sgd<Momentum::none, Decay::none, Direction::minimize>",
                "adamw | sgd",
            ),
            ("Adam<Decay::none, Direction::minimize>", "lion 0123456789abcdef", "adam or adamw | lion"),
            (
                "Adam<Decay::decoupled, Direction::minimize>",
                "Adam<Decay::none, Direction::minimize>",
                "adamw | adamw with weight_decay = 0",
            ),
            (
                "Adam<Decay::none, Direction::minimize>",
                "Adam<Decay::coupled, Direction::maximize>",
                "adam with weight_decay = 0 | adam with maximize = true",
            ),
            (
                "Adam<Decay::decoupled, Direction::minimize, Parity::torch_fused, amsgrad = true>, then ema 0123456789abcdef",
                "Adam<Decay::decoupled, Direction::minimize, amsgrad = true, caution = \"mean\">, then ema 0123456789abcdef",
                "adamw with parity = \"torch_fused\", then ema | adamw with caution = \"mean\", then ema",
            ),
            (
                "Sgd<Momentum::heavy, Decay::decoupled, Direction::minimize, Caution::Mean>",
                "Sgd<Momentum::nesterov, Decay::coupled, Direction::minimize>",
                "sgd with momentum = \"heavy\", decoupled_weight_decay = true, caution = \"mean\" | \
                 sgd with momentum = \"nesterov\"",
            ),
            ("Sgd of mine", "Sgd of yours", "Sgd of mine | Sgd of yours"),
        ];
        for (stored, here, expected) in cases {
            assert_eq!(spoken(stored, here).join(" | "), expected);
        }
    }

    #[test]
    fn a_rule_with_other_options_has_its_name() {
        assert_eq!(
            names("Adam<Decay::none>, then ema 0123456789abcdef"),
            names("Adam<Decay::l2>, then ema fedcba9876543210")
        );
        assert_ne!(names("lion 0123456789abcdef"), names("adan 0123456789abcdef"));
        assert_eq!(names("Sgd of mine"), ["Sgd of mine"]);
    }
}
