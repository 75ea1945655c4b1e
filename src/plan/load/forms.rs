//! How parameters and states are stored, and where the state of each tensor comes from.

use super::matched::Matched;
use super::memory::Pieces;
use super::options::Word;
use super::report::{Findings, listed};
use crate::plan::kept::{Kept, KeptTensor};
use crate::plan::{Forms, Plan, TensorRow};
use crate::precision::{Form, Rounding};

/// For each tensor of a plan what the block has of it: None of a new one.
pub(super) type Sources<'a> = Vec<Option<Pieces<'a>>>;

/// A difference of forms, and the tensors that it is of.
#[derive(Debug)]
struct OfTensors<'a> {
    word: Word,
    place: String,
    stored: String,
    here: String,
    note: &'static str,
    names: Vec<&'a str>,
}

/// Differences so far: of many tensors that differ in one way one is told.
#[derive(Debug, Default)]
struct All<'a>(Vec<OfTensors<'a>>);

impl<'a> All<'a> {
    fn add(&mut self, name: &'a str, of: OfTensors<'a>) {
        let same = |known: &&mut OfTensors<'_>| {
            (&known.place, &known.stored, &known.here, known.word, known.note)
                == (&of.place, &of.stored, &of.here, of.word, of.note)
        };
        match self.0.iter_mut().find(same) {
            Some(known) => known.names.push(name),
            None => self.0.push(OfTensors { names: vec![name], ..of }),
        }
    }
}

/// Compares all, and hands on the states of those that are there.
pub(super) fn compare<'a>(
    plan: &Plan,
    kept: &Kept,
    matched: &Matched,
    mut states: Vec<Pieces<'a>>,
    findings: &mut Findings,
) -> Sources<'a> {
    let mut all = All::default();
    let mut sources: Sources<'a> = plan.tensors.iter().map(|_| None).collect();
    let stochastic = |theirs: &KeptTensor| {
        theirs.param.is_stochastic() || theirs.states.iter().any(|(_, storage)| storage.form.is_stochastic())
    };
    let (mut seeds, mut numbers) = (false, Vec::new());
    for index in plan.living() {
        let (row, Some(place)) = (&plan.tensors[index], matched.tensors[index]) else { continue };
        let (theirs, name) = (&kept.tensors[place], &*plan.names[index]);
        let group = plan.cohorts[row.cohort as usize].group;
        let of = |field: &str| format!("groups[{group}].{field}");
        compare_param(plan, row, theirs, &mut |word, field, stored, here, note| {
            let (place, names) = (of(field), Vec::new());
            all.add(name, OfTensors { word, place, stored, here, note, names });
        });
        if kept.control.shown != 0
            && plan.variants[row.variant as usize].tape.show.is_some()
            && !same_param(plan, row, theirs)
        {
            let note = "parameters for evaluation are shown: take the state while those for training are there";
            findings.refuse(of("param"), theirs.param.to_string(), plan.storages(row)[0].form.to_string(), note);
        }
        let ours = plan.variants[row.variant as usize].streams().iter().zip(&plan.storages(row)[2..]);
        for (stream, here) in ours {
            match theirs.states.iter().find(|(name, _)| *name == stream.name) {
                None => findings.refuse(of(&stream.name), "none", "a state of the rule", "the rule had others"),
                Some((_, stored)) if stored != here => all.add(
                    name,
                    OfTensors {
                        word: Word::Precision,
                        place: of(&stream.name),
                        stored: stored.form.to_string(),
                        here: here.form.to_string(),
                        note: "",
                        names: Vec::new(),
                    },
                ),
                Some(_) => {}
            }
        }
        if stochastic(theirs) && plan.forms[row.form as usize].is_stochastic() {
            seeds = true;
            if theirs.number != u64::from(row.number) {
                numbers.push((name, theirs.number, row.number));
            }
        }
        sources[index] = Some(std::mem::take(&mut states[place]));
    }
    if seeds && kept.seed != plan.seed {
        findings.differs(Word::Precision, "seed", kept.seed.to_string(), plan.seed.to_string());
    }
    other_numbers(&numbers, findings);
    for OfTensors { word, place, stored, here, note, names } in all.0 {
        findings.differs_with(word, format!("{place} of {}", listed(&names)), stored, here, note);
    }
    sources
}

/// Tensors whose random bits come from other numbers: name, that of the block, that of the plan.
fn other_numbers(numbers: &[(&str, u64, u32)], findings: &mut Findings) {
    let names: Vec<&str> = numbers.iter().map(|(name, ..)| *name).collect();
    let (stored, here) = match numbers {
        [] => return,
        [(_, stored, here)] => (format!("of number {stored}"), format!("of number {here}")),
        _ => ("of the tensors' numbers in the state".to_owned(), "of other numbers".to_owned()),
    };
    let place = format!("random bits of {}", listed(&names));
    findings.differs_with(Word::Precision, place, stored, here, "Tensor::number sets them");
}

fn same_param(plan: &Plan, row: &TensorRow, theirs: &KeptTensor) -> bool {
    plan.storages(row)[0].form == theirs.param && row.master_given == theirs.master_given
}

/// Tells `found` the word that allows it, the field, what both have, and what follows.
fn compare_param(
    plan: &Plan,
    row: &TensorRow,
    theirs: &KeptTensor,
    found: &mut impl FnMut(Word, &str, String, String, &'static str),
) {
    let here = plan.storages(row)[0].form;
    if same_param(plan, row, theirs) {
        return;
    }
    let beside = |form: Form, given: bool| match form {
        Form::Master(_) if given => "a master of the engine's",
        Form::Master(_) => "an f32 master",
        Form::Remainder => "a 16-bit remainder",
        Form::F32 | Form::Half(..) | Form::EightBit => "nothing",
    };
    let [stored, ours] = [beside(theirs.param, theirs.master_given), beside(here, row.master_given)];
    if stored != ours {
        let note = match (theirs.param, here) {
            (Form::Master(_) | Form::Remainder, Form::F32 | Form::Half(..)) => "the parameter is its rounding already",
            (Form::Master(_), Form::Master(_)) if row.master_given => "the engine's is as it put it there",
            (Form::Master(_), Form::Remainder) if !theirs.master_given => "converted",
            (Form::Remainder, Form::Master(_)) if !row.master_given => "made of the remainder and the parameter",
            (_, Form::Master(_)) if row.master_given => "the engine's is as it put it there",
            _ => "made from the parameter",
        };
        return found(Word::Masters, "param", format!("{stored} beside it"), format!("{ours} beside it"), note);
    }
    let words = |form: Form| match form {
        Form::Half(half, Rounding::Nearest) => format!("{half}, rounded to nearest"),
        other => other.to_string(),
    };
    found(Word::Precision, "param", words(theirs.param), words(here), "it is the engine's, which converts it");
}

impl Forms {
    /// Where something lies beside the parameter that is the optimizer's.
    pub(super) fn beside(&self, row: &TensorRow) -> bool {
        self.remakes() && !row.master_given
    }
}
