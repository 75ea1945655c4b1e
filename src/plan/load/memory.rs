//! The states themselves: where those of a block lie in its section, and how they come to their places in the state memory of a plan,
//! converted where they are stored in another way.

use std::ops::Range;

use super::Loading;
use crate::error::Result;
use crate::plan::block::Reader;
use crate::plan::kept::KeptTensor;
use crate::plan::{Lies, Plan, TensorRow};
use crate::precision::{Beside, BytesMut, Constant, Form, Storage, convert, fill};

/// A stream in a block: its name (none of what is put aside), how it is stored, its elements and what belongs to them.
type Piece<'a> = (Option<String>, Storage, [&'a [u8]; 2]);

/// What a block has of a tensor.
#[derive(Debug, Default)]
pub(super) struct Pieces<'a> {
    streams: Vec<Piece<'a>>,
    /// The master or remainder, if it was the optimizer's.
    beside: Option<(Form, &'a [u8])>,
}

/// Of every tensor in turn what the section of the states has.
pub(super) fn pieces<'a>(tensors: &[KeptTensor], section: &mut Reader<'a>) -> Result<Vec<Pieces<'a>>> {
    let mut piece = |storage: Storage, len: u64, from: usize| -> Result<[&'a [u8]; 2]> {
        let mut bytes: [&[u8]; 2] = [&[]; 2];
        for (bytes, size) in bytes.iter_mut().zip(storage.form.sizes(len)).skip(from) {
            *bytes = section.bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
        }
        Ok(bytes)
    };
    let of = |tensor: &KeptTensor| {
        let mut pieces = Pieces::default();
        for (name, storage) in &tensor.states {
            pieces.streams.push((Some(name.clone()), *storage, piece(*storage, tensor.len, 0)?));
        }
        if let Some(aside) = tensor.aside {
            pieces.streams.push((None, aside, piece(aside, tensor.len, 0)?));
        }
        if tensor.param.has_second() && !tensor.master_given {
            let [_, beside] = piece(Storage::of(tensor.param), tensor.len, 1)?;
            pieces.beside = Some((tensor.param, beside));
        }
        Ok(pieces)
    };
    tensors.iter().map(of).collect()
}

impl<'a> Pieces<'a> {
    /// What a master or a remainder is made of.
    fn beside(&self) -> Beside<'a> {
        match self.beside {
            Some((Form::Master(_), bytes)) => Beside::Master(bytes),
            Some((Form::Remainder, bytes)) => Beside::Remainder(bytes),
            _ => Beside::Parameter,
        }
    }
}

impl Loading<'_> {
    /// The tensors whose parameters, as the engine has them, are needed for what lies beside them, each with where it lies and how many
    /// bytes it has.
    pub fn read_params(&self, plan: &Plan) -> Vec<(usize, Lies, u64)> {
        let all = plan.living().map(|tensor| (tensor, (&plan.tensors[tensor], &self.sources[tensor])));
        let needed = all.filter(|(_, (row, source))| {
            let beside = source.as_ref().map_or(Beside::Parameter, Pieces::beside);
            plan.forms[row.form as usize].beside(row) && beside.reads(plan.storages(row)[0].form)
        });
        needed.map(|(tensor, (row, _))| (tensor, row.streams[0], 2 * row.len)).collect()
    }

    /// Puts every tensor's state to its place in `memory`, the state memory of `plan`. `params`: for each of [`Loading::read_params`] its bytes.
    pub fn place_states(&self, plan: &Plan, params: &[(usize, Vec<u8>)], memory: &mut [u8]) {
        for tensor in plan.living() {
            let row = &plan.tensors[tensor];
            let rule = &plan.variants[row.variant as usize];
            let source = self.sources[tensor].as_ref();
            for (place, ranges) in plan.pieces(row) {
                let storage = plan.storages(row)[place];
                if place == 0 {
                    let param = params.binary_search_by_key(&tensor, |(tensor, _)| *tensor);
                    let param = param.map_or(&[][..], |at| &params[at].1);
                    let beside = source.map_or(Beside::Parameter, Pieces::beside);
                    beside.write(storage.form, param, &mut memory[ranges[1].clone()]);
                    continue;
                }
                let name = rule.streams().get(place - 2).map(|stream| &*stream.name);
                let stream =
                    source.and_then(|source| source.streams.iter().find(|(known, ..)| known.as_deref() == name));
                let target = two(memory, ranges);
                match stream {
                    Some((_, from, bytes)) => convert(row.len, *from, *bytes, storage, target),
                    None => fill(start(plan, row, place), target),
                }
            }
        }
    }
}

/// What a state begins with, 0 where the first update says it.
fn start(plan: &Plan, row: &TensorRow, place: usize) -> Constant {
    use crate::rule::Start;
    let stream = plan.variants[row.variant as usize].streams().get(place - 2);
    let value = match stream.map(|stream| stream.start) {
        Some(Start::Value(value)) => value,
        Some(Start::Zero | Start::Param | Start::FirstGradient) | None => 0.0,
    };
    plan.storages(row)[place].constant(value)
}

/// Two ranges of `memory`, of which the second begins after the first or is empty.
fn two(memory: &mut [u8], [first, second]: [Range<usize>; 2]) -> BytesMut<'_> {
    if second.is_empty() {
        return [&mut memory[first], &mut []];
    }
    let (before, after) = memory.split_at_mut(second.start);
    [&mut before[first], &mut after[..second.len()]]
}
