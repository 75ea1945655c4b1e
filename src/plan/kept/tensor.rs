//! What a block holds of a tensor, but for its states.

use crate::error::{Result, quoted};
use crate::plan::Plan;
use crate::plan::block::{Reader, Writer};
use crate::plan::state::Tables;
use crate::precision::{Form, Half, Rounding, Storage, Values};
use crate::rule::Of;

/// A tensor.
#[derive(Debug)]
pub(in crate::plan) struct KeptTensor {
    pub name: String,
    pub group: usize,
    pub len: u64,
    /// Updates that it has had.
    pub updates: u64,
    /// What its random bits come from.
    pub number: u64,
    pub param: Form,
    pub master_given: bool,
    pub states: Vec<(String, Storage)>,
    /// What is put aside while parameters for evaluation are shown.
    pub aside: Option<Storage>,
    /// What the rule remembers of the tensor's cohort, and of the tensor.
    pub of_cohort: Vec<f64>,
    pub memory: Vec<f64>,
}

/// All tensors of `plan`.
pub(super) fn of(plan: &Plan, tables: &Tables) -> Vec<KeptTensor> {
    let places = plan.durable_places();
    let of = |index: usize| {
        let row = &plan.tensors[index];
        let (rule, cohort) = (&plan.variants[row.variant as usize], &plan.cohorts[row.cohort as usize]);
        let storages = plan.storages(row);
        let of_states = &storages[2..2 + rule.streams().len()];
        let memory = |first: usize, of: Of| {
            let memory = tables.remembered.get(first..).unwrap_or_default();
            memory[..rule.remembered(of).count()].to_vec()
        };
        KeptTensor {
            name: plan.names[index].clone(),
            group: cohort.group as usize,
            len: row.len,
            updates: plan.updates_of(tables, index),
            number: row.number.into(),
            param: storages[0].form,
            master_given: row.master_given,
            states: rule
                .streams()
                .iter()
                .map(|stream| stream.name.to_string())
                .zip(of_states.iter().copied())
                .collect(),
            aside: storages.get(2 + rule.streams().len()).copied(),
            of_cohort: memory(places.of_cohort(row.cohort as usize), Of::Cohort),
            memory: memory(places.of_tensor(index), Of::Tensor),
        }
    };
    plan.living().map(of).collect()
}

/// How streams are stored, by number.
const FORMS: [Form; 9] = [
    Form::F32,
    Form::Half(Half::Bf16, Rounding::Nearest),
    Form::Half(Half::Bf16, Rounding::Stochastic),
    Form::Half(Half::F16, Rounding::Nearest),
    Form::Half(Half::F16, Rounding::Stochastic),
    Form::Master(Half::Bf16),
    Form::Master(Half::F16),
    Form::Remainder,
    Form::EightBit,
];
const VALUES: [Values; 3] = [Values::Any, Values::NotNegative, Values::Denominator];

/// The most elements of a tensor: sizes in bytes fit their type.
const MAX_LEN: u64 = 1 << 56;

impl KeptTensor {
    pub(super) fn write(&self, to: &mut Writer) {
        let number = |form: Form| FORMS.iter().position(|known| *known == form).unwrap_or(FORMS.len()) as u64;
        let storage = |to: &mut Writer, storage: Storage| {
            to.number(number(storage.form));
            to.number(VALUES.iter().position(|known| *known == storage.values).unwrap_or(VALUES.len()) as u64);
        };
        to.text(&self.name);
        for of_tensor in [self.group as u64, self.len, self.updates, self.number] {
            to.number(of_tensor);
        }
        to.number(number(self.param));
        to.number(self.master_given.into());
        to.list(&self.states, |(name, of_state), to| {
            to.text(name);
            storage(to, *of_state);
        });
        to.number(self.aside.is_some().into());
        self.aside.into_iter().for_each(|aside| storage(to, aside));
        to.rows(&self.of_cohort);
        to.rows(&self.memory);
    }

    pub(super) fn read(from: &mut Reader<'_>, groups: usize) -> Result<KeptTensor> {
        let tensor = KeptTensor {
            name: from.text()?.to_owned(),
            group: from.place()?,
            len: from.number()?,
            updates: from.number()?,
            number: from.number()?,
            param: known(from, &FORMS)?,
            master_given: from.number()? != 0,
            states: from.list(|from| Ok((from.text()?.to_owned(), storage(from)?)))?,
            aside: if from.number()? == 0 { None } else { Some(storage(from)?) },
            of_cohort: from.rows()?,
            memory: from.rows()?,
        };
        match tensor.group < groups && tensor.len <= MAX_LEN && tensor.param != Form::EightBit {
            true => Ok(tensor),
            false => {
                let name = quoted(&tensor.name);
                Err(from.malformed(&format!("tensor {name} is in no group, too long or stored as none is")))
            }
        }
    }
}

/// Of a state, beside which nothing lies but scales.
fn storage(from: &mut Reader<'_>) -> Result<Storage> {
    match (known(from, &FORMS)?, known(from, &VALUES)?) {
        (Form::Master(_) | Form::Remainder, _) => Err(from.malformed("a state is stored as a parameter is")),
        (form, values) => Ok(Storage { form, values }),
    }
}

fn known<T: Copy>(from: &mut Reader<'_>, all: &[T]) -> Result<T> {
    let number = from.place()?;
    all.get(number).copied().ok_or_else(|| from.malformed(&format!("{number} is no way to store a stream")))
}
