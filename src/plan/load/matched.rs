//! Which tensor of a block is which of the optimizer, and which groups follow from that.

use std::collections::{BTreeSet, HashMap};

use super::options::Word;
use super::report::{Findings, listed};
use crate::plan::Plan;
use crate::plan::kept::Kept;

/// The block's counterparts of what a plan has.
#[derive(Debug)]
pub(super) struct Matched {
    /// For each tensor that of the block with the same name, length and rule.
    pub tensors: Vec<Option<usize>>,
    /// For each group those of the block that its tensors were in.
    pub groups: Vec<BTreeSet<usize>>,
}

impl Matched {
    pub fn new(plan: &Plan, kept: &Kept, findings: &mut Findings) -> Matched {
        let by_name: HashMap<&str, usize> =
            kept.tensors.iter().enumerate().map(|(theirs, tensor)| (&*tensor.name, theirs)).collect();
        let mut matched =
            Matched { tensors: vec![None; plan.tensors.len()], groups: vec![BTreeSet::new(); plan.groups.len()] };
        let (mut more, mut known) = (Vec::new(), BTreeSet::new());
        for tensor in plan.living() {
            let (row, name) = (&plan.tensors[tensor], &plan.names[tensor]);
            let theirs = by_name.get(&**name).copied();
            match theirs {
                None => more.push(&**name),
                Some(theirs) => drop(known.insert(theirs)),
            }
            matched.tensors[tensor] = theirs.filter(|theirs| {
                let (theirs, group) = (&kept.tensors[*theirs], plan.cohorts[row.cohort as usize].group as usize);
                let rule = &plan.variants[row.variant as usize];
                let stored = &kept.groups[theirs.group].rule;
                let states = theirs.states.iter().map(|(name, _)| &**name);
                let akin = names(stored) == names(&rule.identity)
                    && states.eq(rule.streams().iter().map(|stream| &*stream.name));
                if *stored != rule.identity {
                    let ([stored, here], place) = (spoken(stored, &rule.identity), format!("groups[{group}].rule"));
                    match akin {
                        true => findings.differs_with(Word::Constants, place, stored, here, "its states go on"),
                        false => findings.refuse(place, stored, here, "states of one rule mean nothing to another"),
                    }
                }
                if theirs.len != row.len {
                    let [stored, here] = [theirs.len, row.len].map(|len| format!("{len} elements"));
                    findings.refuse(format!("tensor {name:?}"), stored, here, "");
                }
                if akin && theirs.len == row.len {
                    matched.groups[group].insert(theirs.group);
                    return true;
                }
                false
            });
        }
        let gone = (0..kept.tensors.len()).filter(|theirs| !known.contains(theirs));
        let gone: Vec<&str> = gone.map(|theirs| &*kept.tensors[theirs].name).collect();
        if !more.is_empty() {
            let (names, note) = (listed(&more), "they start with a fresh state");
            findings.differs_with(Word::Tensors, "tensors", format!("without {names}"), "with them", note);
        }
        if !gone.is_empty() {
            let (names, note) = (listed(&gone), "their state is dropped");
            findings.differs_with(Word::Tensors, "tensors", format!("with {names}"), "without them", note);
        }
        if kept.control.shown != 0 && (!more.is_empty() || !plan.shows()) {
            let (stored, note) =
                ("parameters for evaluation are shown", "take the state while those for training are there");
            findings.refuse("mode", stored, "other tensors, which show none", note);
        }
        matched
    }

    /// Which memory the cohort of each tensor of the plan has: a number for each that differs in some bit, 0 for new ones.
    pub fn memories(&self, kept: &Kept) -> Vec<u32> {
        let mut known: HashMap<Vec<u64>, u32> = HashMap::new();
        let mut number = |theirs: &usize| {
            let bits: Vec<u64> = kept.tensors[*theirs].of_cohort.iter().map(|value| value.to_bits()).collect();
            let next = known.len() as u32 + 1;
            *known.entry(bits).or_insert(next)
        };
        self.tensors.iter().map(|theirs| theirs.as_ref().map_or(0, &mut number)).collect()
    }

    /// How many updates each tensor of the plan has had: new ones none.
    pub fn counts(&self, kept: &Kept) -> Vec<u64> {
        self.tensors.iter().map(|theirs| theirs.map_or(0, |theirs| kept.tensors[theirs].updates)).collect()
    }
}

/// The names of the rules that a block calls so, without their options.
fn names(identity: &str) -> Vec<&str> {
    identity.split(", then ").map(|part| part.split_once('<').map_or(without_digest(part), |(name, _)| name)).collect()
}

/// What a block calls one rule, without the digest of its tape.
fn without_digest(part: &str) -> &str {
    let is_digest = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    part.rsplit_once(' ').filter(|(_, word)| is_digest(word)).map_or(part, |(name, _)| name)
}

/// What two rules are called in a block, as people say it: without the signs of a kernel's type, and without the digests of tapes unless
/// these are all that tells them apart.
fn spoken(stored: &str, here: &str) -> [String; 2] {
    let words = |identity: &str| identity.replace("::", " ").replace('<', " (").replace('>', ")");
    let short = [stored, here].map(|identity| {
        let parts: Vec<&str> = identity.split(", then ").map(without_digest).collect();
        words(&parts.join(", then "))
    });
    if short[0] == short[1] { [words(stored), words(here)] } else { short }
}

#[test]
fn a_rule_is_called_by_what_tells_it_apart() {
    let of = |a: &str, b: &str| spoken(a, b).join(" | ");
    assert_eq!(of("Lion 0123456789abcdef", "Adan fedcba9876543210"), "Lion | Adan");
    assert_eq!(of("Lion 0123456789abcdef", "Lion 0123456789abcdee"), "Lion 0123456789abcdef | Lion 0123456789abcdee");
    assert_eq!(
        of("A<B::c>, then Ema 0123456789abcdef", "A<B::d>, then Ema 0123456789abcdef"),
        "A (B c), then Ema | A (B d), then Ema"
    );
}

#[test]
fn a_rule_with_other_options_has_its_name() {
    assert_eq!(
        names("Adam<Decay::none>, then Ema 0123456789abcdef"),
        names("Adam<Decay::l2>, then Ema fedcba9876543210")
    );
    assert_ne!(names("Lion 0123456789abcdef"), names("Adan 0123456789abcdef"));
    assert_eq!(names("Sgd of mine"), ["Sgd of mine"]);
}
