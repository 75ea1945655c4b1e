//! What the two forms of the example have in common: [`Training`], as the loop in `main.rs` sees it.

use instep::Optimizer;

use crate::Result;

/// A network in training, with its optimizer.
pub trait Training {
    /// Trains on, but for no more than the `left` steps that are left, and says for how many: an epoch, or all of them.
    /// After each epoch and after the last step it validates; the recipe's plateau rule, if it has one, observes the
    /// loss. The CUDA form only enqueues all that.
    fn advance(&mut self, left: u64) -> Result<u64>;

    /// Graph launches so far: none on the host.
    fn launches(&self) -> u64;

    fn optimizer(&self) -> &Optimizer;

    /// The last validation, where it is known without waiting.
    fn validated(&self) -> Option<Validation>;

    /// Waits for all steps so far and says how they went.
    fn report(&mut self) -> Result<Report>;
}

/// What the held-out images say of the network.
#[derive(Debug, Clone, Copy)]
pub struct Validation {
    /// How many steps had been made.
    pub steps: usize,
    /// The mean loss over the held-out images, in nats.
    pub loss: f32,
    /// Held-out images recognised.
    pub correct: u32,
}

/// The course of a training.
pub struct Report {
    /// `f32[steps so far]`: the mean loss over each step's batch, in nats.
    pub loss: Vec<f32>,
    /// `f32[steps so far]`: the rate that each update applied, read from the optimizer's own state.
    pub lr: Vec<f32>,
    /// One for each epoch.
    pub validations: Vec<Validation>,
}

impl Report {
    /// The validations after which the rate of the very next step was lower than before.
    pub fn drops(&self) -> impl Iterator<Item = &Validation> {
        let lowered = |seen: &&Validation| self.lr.get(seen.steps).is_some_and(|lr| *lr < self.lr[seen.steps - 1]);
        self.validations.iter().filter(lowered)
    }
}
