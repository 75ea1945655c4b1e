//! How a rule runs on the CPU: what compiled rules and interpreted ones have in common.

use std::fmt;

/// Elements of one tensor, as many of each stream.
pub(crate) struct Lanes<'a, 'b> {
    pub param: &'a mut [f32],
    pub grad: &'a [f32],
    /// Those that are there.
    pub streams: &'a mut [&'b mut [f32]],
}

/// What scalars are resolved from.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    /// The values of the hyperparameters.
    pub hyperparameters: &'a [f64],
    /// How many updates there were before.
    pub updates: u64,
    pub memory: &'a [f64],
    pub sums: &'a [f64],
    pub lens: &'a [f64],
}

/// What was resolved.
#[derive(Debug)]
pub(crate) struct Values {
    pub scalars: Vec<f32>,
    pub memory: Vec<f64>,
}

/// A rule on the CPU: the bits of the kernel.
pub(crate) trait Code: fmt::Debug + Send + Sync {
    fn resolve(&self, moment: &Moment<'_>) -> Values;

    /// `scalars`: all of the rule's, those that elements do not use are arbitrary.
    fn apply(&self, lanes: Lanes<'_, '_>, scalars: &[f32]);

    /// Writes what each element adds to each sum: two factors, or a value and 1. `terms` is [sum][side][element].
    fn measure(&self, param: &[f32], grad: &[f32], streams: &[&[f32]], scalars: &[f32], terms: &mut [[Vec<f32>; 2]]);

    /// Writes what the parameter is for evaluation over it, if that is another one.
    fn show(&self, param: &mut [f32], streams: &[&[f32]], scalars: &[f32]);
}

/// A loop over elements, compiled anew for the options of a rule: see [`Rule::with_constants`](super::Rule::with_constants).
pub trait Loop<R> {
    /// Marked `#[inline(always)]`.
    fn run(self, rule: &R);
}
