//! The host form: plain loops over the batch, and `Device::host()` for the update. The arithmetic of each function is
//! that of the kernel in `digits.cu` that it names.

use instep::{Device, Optimizer, Stream};

use crate::Result;
use crate::data::Digits;
use crate::network::{self, B1, B2, BATCH, DIGITS, HIDDEN, PARAMS, W1, W2};
use crate::optimizer::{WEIGHTS, optimizer};
use crate::order::shuffled;
use crate::recipe::Recipe;
use crate::stored::{Start, Stored};
use crate::training::{Report, Training, Validation};

pub struct HostTraining {
    // First, so that it is dropped before the buffers whose addresses it holds.
    optimizer: Optimizer,
    digits: Digits,
    /// PARAMS values; never resized, the optimizer holds its address.
    stored_param: Stored,
    /// PARAMS values; never resized, the optimizer holds its address.
    stored_grad: Stored,
    /// `f32[PARAMS]`: `stored_param`, widened.
    param: Vec<f32>,
    /// `f32[PARAMS]`: what `stored_grad` is rounded from.
    grad: Vec<f32>,
    loss: Vec<f32>,
    lr: Vec<f32>,
    validations: Vec<Validation>,
    /// Whether the optimizer has a rule that observes the validation loss.
    observes: bool,
}

impl HostTraining {
    pub fn new(digits: Digits, recipe: &Recipe, start: Start) -> Result<Self> {
        let (mut param, grad) = (vec![0.0; PARAMS], vec![0.0; PARAMS]);
        let (mut stored_param, mut stored_grad) = (start.params(), Stored::new(start.form, &grad));
        stored_param.load(&mut param);
        let addresses = (stored_param.address(), stored_grad.address());
        // SAFETY: both hold PARAMS values, stored as `start` has it, and live, their values unmoved, in `self` beside the
        // optimizer, whose steps take `&mut self` and finish before they return.
        let optimizer = unsafe { optimizer(&Device::host(), addresses.0, addresses.1, recipe, start) }?;
        let (loss, lr, validations) = (Vec::new(), Vec::new(), Vec::new());
        let observes = recipe.plateau().is_some();
        Ok(Self { optimizer, digits, stored_param, stored_grad, param, grad, loss, lr, validations, observes })
    }

    /// `backpropagate` and `reduce_gradients` over the batch of step `t`; the batch's mean loss.
    fn gradients(&mut self, t: u64) -> f32 {
        let steps_per_epoch = network::steps_per_epoch(&self.digits);
        let (epoch, first) = ((t / steps_per_epoch) as u32, (t % steps_per_epoch) as u32 * BATCH as u32);
        self.grad.fill(0.0);
        let mut loss = 0.0;
        for row in 0..BATCH as u32 {
            let image = shuffled(first + row, epoch, self.digits.training as u32) as usize;
            loss += self.backpropagate(image);
        }
        self.stored_grad.store(&self.grad);
        loss / BATCH as f32
    }

    /// Adds one image's gradients to `grad`; its loss.
    fn backpropagate(&mut self, image: usize) -> f32 {
        let pixel = self.digits.image(image);
        let label = self.digits.labels[image] as usize;
        let (hidden, logit) = forward(&self.param, pixel);

        let (max, total) = softmax(&logit);
        let logit_grad: [f32; DIGITS] = std::array::from_fn(|digit| {
            let target = if digit == label { 1.0 } else { 0.0 };
            ((logit[digit] - max).exp() / total - target) / BATCH as f32
        });
        let w2 = self.param[W2].as_chunks::<DIGITS>().0;
        let hidden_grad: [f32; HIDDEN] = std::array::from_fn(|unit| {
            let sum = logit_grad.iter().zip(&w2[unit]).fold(0.0, |sum, (g, w)| sum + g * w);
            if hidden[unit] > 0.0 { sum } else { 0.0 }
        });

        for (row, &input) in self.grad[W1].chunks_exact_mut(HIDDEN).zip(pixel) {
            add_scaled(row, input, &hidden_grad);
        }
        add_scaled(&mut self.grad[B1], 1.0, &hidden_grad);
        for (row, &input) in self.grad[W2].chunks_exact_mut(DIGITS).zip(&hidden) {
            add_scaled(row, input, &logit_grad);
        }
        add_scaled(&mut self.grad[B2], 1.0, &logit_grad);
        total.ln() - (logit[label] - max)
    }

    /// `validate` and `conclude`: the mean loss over the held-out images, and how many are recognised.
    fn validate(&self) -> Validation {
        let (mut loss, mut correct) = (0.0, 0);
        for image in self.digits.training..self.digits.labels.len() {
            let label = self.digits.labels[image] as usize;
            let (_, logit) = forward(&self.param, self.digits.image(image));
            let (max, total) = softmax(&logit);
            loss += total.ln() - (logit[label] - max);
            correct += u32::from(largest(&logit) == label);
        }
        Validation { steps: self.loss.len(), loss: loss / self.digits.held_out() as f32, correct }
    }
}

impl Training for HostTraining {
    fn advance(&mut self, left: u64) -> Result<u64> {
        let steps = left.min(network::steps_per_epoch(&self.digits));
        for _ in 0..steps {
            let view = self.optimizer.device_view();
            // SAFETY: on the host `t` is the address of a u64 that lives as long as the optimizer.
            let t = unsafe { *std::ptr::with_exposed_provenance::<u64>(view.t as usize) };
            let scalars = view.scalars(WEIGHTS).ok_or("no such group")?[(t & 1) as usize];
            // SAFETY: as above, an f32 here: the first of the scalars in force for update `t`, which is its rate.
            let lr = unsafe { *std::ptr::with_exposed_provenance::<f32>(scalars as usize) };
            let loss = self.gradients(t);
            self.loss.push(loss);
            self.lr.push(lr);
            self.optimizer.step(&Stream::host())?;
            self.stored_param.load(&mut self.param);
        }
        let validation = self.validate();
        if self.observes {
            // SAFETY: a value has no address.
            unsafe { self.optimizer.observe(f64::from(validation.loss), &Stream::host()) }?;
        }
        self.validations.push(validation);
        Ok(steps)
    }

    fn launches(&self) -> u64 {
        0
    }

    fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    fn validated(&self) -> Option<Validation> {
        self.validations.last().copied()
    }

    fn report(&mut self) -> Result<Report> {
        let Self { loss, lr, validations, .. } = self;
        Ok(Report { loss: loss.clone(), lr: lr.clone(), validations: validations.clone() })
    }
}

/// `forward`: the hidden units and the logits of one image.
fn forward(param: &[f32], pixel: &[f32]) -> ([f32; HIDDEN], [f32; DIGITS]) {
    let mut hidden = [0.0; HIDDEN];
    hidden.copy_from_slice(&param[B1]);
    for (weights, &input) in param[W1].chunks_exact(HIDDEN).zip(pixel) {
        add_scaled(&mut hidden, input, weights);
    }
    hidden = hidden.map(|sum| if sum > 0.0 { sum } else { 0.0 });
    let mut logit = [0.0; DIGITS];
    logit.copy_from_slice(&param[B2]);
    for (weights, &input) in param[W2].chunks_exact(DIGITS).zip(&hidden) {
        add_scaled(&mut logit, input, weights);
    }
    (hidden, logit)
}

/// The largest logit, and the sum of the exponentials of all logits relative to it.
fn softmax(logit: &[f32; DIGITS]) -> (f32, f32) {
    let max = logit[largest(logit)];
    (max, logit.iter().fold(0.0, |sum, &l| sum + (l - max).exp()))
}

/// `sum[i] += factor * terms[i]`, product and sum rounded apart, as in the kernels.
fn add_scaled(sum: &mut [f32], factor: f32, terms: &[f32]) {
    for (sum, term) in sum.iter_mut().zip(terms) {
        *sum += factor * term;
    }
}

/// The first index of the largest logit.
fn largest(logit: &[f32; DIGITS]) -> usize {
    (1..DIGITS).fold(0, |best, digit| if logit[digit] > logit[best] { digit } else { best })
}
