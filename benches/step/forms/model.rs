//! A model in one form or more, with its optimizer.

use instep::{Optimizer, Tensor};

use super::Form;
use crate::case::offsets;
use crate::driver::{Gpu, Graph, Memory, Result};
use crate::noise::noise;
use crate::rule;
use crate::way::Mode;

/// Of the random bits.
pub const SEED: u64 = 7;

pub struct Model<'g> {
    gpu: &'g Gpu,
    pub optimizer: Optimizer,
    /// One group a form.
    pub groups: Vec<Group>,
}

/// The tensors of one form.
pub struct Group {
    pub form: Form,
    pub params: Memory,
    pub grads: Memory,
    /// Bytes of each of the two.
    pub bytes: u64,
}

impl<'g> Model<'g> {
    /// Tensors of these lengths in each of `forms`, filled with noise.
    pub fn new(gpu: &'g Gpu, forms: &[Form], lengths: &[u64]) -> Result<Model<'g>> {
        let span = offsets(lengths).1;
        let group = |(seed, form): (u64, &Form)| -> Result<Group> {
            let of = |seed| noise(gpu, form.element, span, seed);
            let bytes = form.element.bytes() * span;
            Ok(Group { form: *form, params: of(2 * seed)?, grads: of(2 * seed + 1)?, bytes })
        };
        let groups: Vec<Group> = (0..).zip(forms).map(group).collect::<Result<_>>()?;
        gpu.wait()?; // the build works on a stream of its own, and reads parameters
        let mut builder = Optimizer::builder(&gpu.device).seed(SEED);
        for Group { form, params, grads, .. } in &groups {
            let tensors = tensors(form, params.address(), grads.address(), lengths);
            builder = builder.group_in(form.precision(), rule::adamw(rule::schedule()), &tensors);
        }
        Ok(Model { gpu, optimizer: builder.build()?, groups })
    }

    /// The graph of one step, where the mode has one.
    pub fn graph(&mut self, mode: Mode) -> Result<Option<Graph>> {
        let gpu = self.gpu;
        let capture = || gpu.capture(|| self.step(None));
        (mode != Mode::Eager).then(capture).transpose()
    }

    /// Enqueues one step.
    pub fn step(&mut self, graph: Option<&Graph>) -> Result<()> {
        match graph {
            Some(graph) => self.gpu.replay(graph),
            None => Ok(self.optimizer.step(&self.gpu.stream)?),
        }
    }

    /// Bytes that one step moves, by the library's own statement.
    pub fn bytes_per_step(&self) -> u64 {
        self.optimizer.tensors().map(|tensor| tensor.len as f64 * tensor.bytes_per_param).sum::<f64>() as u64
    }
}

impl Drop for Model<'_> {
    fn drop(&mut self) {
        // No memory must be freed under a step; an error is reported by whoever waited for results.
        let _ = self.gpu.wait();
    }
}

/// The tensors of these lengths in memory that lies as in a [`Group`].
pub fn tensors(form: &Form, params: u64, grads: u64, lengths: &[u64]) -> Vec<Tensor> {
    let buffer = |begin: u64, offset: u64, len: u64| {
        let address = begin + form.element.bytes() * offset;
        form.element.buffer(address, len)
    };
    let places = offsets(lengths).0.into_iter().zip(lengths);
    // SAFETY: whoever owns the memory keeps it until the optimizer is gone, and one stream orders everything.
    places.map(|(at, len)| unsafe { Tensor::new(buffer(params, at, *len), buffer(grads, at, *len)) }).collect()
}
