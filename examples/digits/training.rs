//! What the two forms of the example have in common: [`Training`], as the loop in `main.rs` sees it.

use crate::Result;

/// A network in training, with its optimizer.
pub trait Training {
    /// Trains for `steps` more steps. The CUDA form only enqueues them.
    fn advance(&mut self, steps: u64) -> Result<()>;

    /// Waits for all steps so far and says how they went.
    fn report(&mut self) -> Result<Report>;
}

/// The state of a training at one moment.
pub struct Report {
    /// Held-out images recognised.
    pub correct: usize,
    /// `f32[steps so far]`: the mean loss over each step's batch, in nats.
    pub loss: Vec<f32>,
    /// `f32[steps so far]`: the rate that each update applied, read from the optimizer's own state.
    pub lr: Vec<f32>,
}
