//! Which tensor of a block is which of the optimizer, and which groups follow from that.

use std::collections::{BTreeSet, HashMap};

use super::options::Word;
use super::report::{Findings, listed};
use super::rules::{names, spoken};
use crate::error::quoted;
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
                    findings.refuse(format!("tensor {}", quoted(name)), stored, here, "");
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
