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
        let mut matched = Matched { tensors: Vec::new(), groups: vec![BTreeSet::new(); plan.groups.len()] };
        let (mut more, mut known) = (Vec::new(), BTreeSet::new());
        for (row, name) in plan.tensors.iter().zip(&plan.names) {
            let theirs = by_name.get(&**name).copied();
            match theirs {
                None => more.push(&**name),
                Some(theirs) => drop(known.insert(theirs)),
            }
            matched.tensors.push(theirs.filter(|theirs| {
                let (theirs, group) = (&kept.tensors[*theirs], plan.cohorts[row.cohort as usize].group as usize);
                let rule = &plan.variants[row.variant as usize].identity;
                let stored = &kept.groups[theirs.group].rule;
                if stored != rule {
                    let note = "moments of one rule mean nothing to another";
                    findings.refuse(format!("groups[{group}].rule"), spoken(stored), spoken(rule), note);
                }
                if theirs.len != row.len {
                    let [stored, here] = [theirs.len, row.len].map(|len| format!("{len} elements"));
                    findings.refuse(format!("tensor {name:?}"), stored, here, "");
                }
                if stored == rule && theirs.len == row.len {
                    matched.groups[group].insert(theirs.group);
                    return true;
                }
                false
            }));
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

    /// How many updates each tensor of the plan has had: new ones none.
    pub fn counts(&self, kept: &Kept) -> Vec<u64> {
        self.tensors.iter().map(|theirs| theirs.map_or(0, |theirs| kept.tensors[theirs].updates)).collect()
    }
}

/// What a block calls a rule, as people say it: without the signs of a kernel's type.
fn spoken(identity: &str) -> String {
    let Some((name, options)) = identity.split_once('<') else { return identity.to_owned() };
    format!("{name} ({})", options.trim_end_matches('>').replace("::", " ").replace('>', ")").replace('<', " ("))
        .to_owned()
}
