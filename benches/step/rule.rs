//! The update rules that are measured, their schedule, and the scalars of one step as a host computes them.
//!
//! The rates come from a table that is filled at the start: scheduling on the host is charged for the rule's scalars alone,
//! never for evaluating a curve. The rows of `curves` say what that would add.

use bytemuck::{Pod, Zeroable};
use instep::rule::{Tape, TapeRule};
use instep::{AdamW, Device, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Tensor};

use crate::driver::Result;

const WEIGHT_DECAY: f64 = 0.1;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;
const MOMENTUM: f64 = 0.9;
const TOTAL_STEPS: u64 = 2_000;

/// Warm-up and cosine, as language models are trained; never 0, so that every step moves the parameters.
pub fn schedule() -> Schedule {
    Schedule::linear(3e-5, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(TOTAL_STEPS - 200))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Sgd,
    SgdMomentum,
    AdamW,
}

/// Layout twin: `Record` of `kernels/tables.cuh`, as wide as any; the places are those of the emitted rule.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Record {
    value: [f32; 16],
}

/// The AdamW that is measured, with the rate `lr`.
pub fn adamw(lr: Schedule) -> AdamW {
    AdamW::new(lr).weight_decay(WEIGHT_DECAY).beta1(BETA1).beta2(BETA2).eps(EPS)
}

impl Rule {
    pub const ALL: [Rule; 3] = [Rule::Sgd, Rule::SgdMomentum, Rule::AdamW];

    pub fn name(self) -> &'static str {
        match self {
            Rule::Sgd => "SGD",
            Rule::SgdMomentum => "SGD with momentum",
            Rule::AdamW => "AdamW",
        }
    }

    /// f32 tensors of state per parameter.
    pub fn states(self) -> usize {
        match self {
            Rule::Sgd => 0,
            Rule::SgdMomentum => 1,
            Rule::AdamW => 2,
        }
    }

    /// Adds `tensors` as a group of this rule with the rate `lr`.
    pub fn group(self, builder: OptimizerBuilder, lr: Schedule, tensors: &[Tensor]) -> OptimizerBuilder {
        match self {
            Rule::Sgd => builder.group(Sgd::new(lr), tensors),
            Rule::SgdMomentum => builder.group(Sgd::new(lr).momentum(Momentum::Heavy, MOMENTUM), tensors),
            Rule::AdamW => builder.group(adamw(lr), tensors),
        }
    }

    /// The same rule as data, with the rate `lr`.
    pub fn interpreted(self, lr: Schedule) -> instep::Result<TapeRule> {
        let heavy = Sgd::new(0.0).momentum(Momentum::Heavy, MOMENTUM);
        Ok(match self {
            Rule::Sgd => TapeRule::new(Tape::of(&Sgd::new(0.0))?).set("lr", lr),
            Rule::SgdMomentum => TapeRule::new(Tape::of(&heavy)?).set("lr", lr).set("momentum", MOMENTUM),
            // Betas and eps are those that the rule has by default.
            Rule::AdamW => TapeRule::new(Tape::of(&adamw(0.0.into()))?).set("lr", lr).set("weight_decay", WEIGHT_DECAY),
        })
    }

    /// The scalars of the update after `updates` others: all in f64, each rounded once.
    pub fn record(self, lr: f64, updates: u64) -> Record {
        let mut value = [0.0; 16];
        match self {
            Rule::Sgd => value[0] = lr as f32,
            Rule::SgdMomentum => {
                // The first update takes its gradient whole into the empty buffer.
                let keep = if updates == 0 { 0.0 } else { MOMENTUM };
                let scalars = [lr, 0.0, MOMENTUM, 0.0, keep, 1.0];
                value.iter_mut().zip(scalars).for_each(|(place, scalar)| *place = scalar as f32);
            }
            Rule::AdamW => {
                let correction = |beta: f64| -((updates + 1) as f64 * beta.ln()).exp_m1();
                let scalars = [
                    lr,
                    WEIGHT_DECAY,
                    BETA1,
                    BETA2,
                    EPS,
                    lr * WEIGHT_DECAY,
                    1.0 - BETA1,
                    1.0 - BETA2,
                    lr / correction(BETA1),
                    1.0 / correction(BETA2).sqrt(),
                ];
                value.iter_mut().zip(scalars).for_each(|(place, scalar)| *place = scalar as f32);
            }
        }
        Record { value }
    }

    /// The header `generated.cuh` of `baseline.cu`: the text that the library compiles for a group of this rule.
    pub fn emitted(self) -> Result<String> {
        Ok(self.group(Optimizer::builder(&Device::host()), schedule(), &[]).emit()?)
    }

    /// The header `literal.cuh` of `baseline.cu`, with `record` as its literal one.
    pub fn header(self, record: &Record) -> String {
        let scalars = match self {
            Rule::Sgd => 4,
            Rule::SgdMomentum => 6,
            Rule::AdamW => 10,
        };
        // The shortest decimal that reads back as the same f32.
        let values: Vec<String> = record.value[..scalars].iter().map(|value| format!("{value:?}f")).collect();
        let values = values.join(", ");
        format!(
            "#pragma once\nstatic_assert(Variant0::SCALARS == {scalars}, \"benches/step/rule.rs\");\n__device__ __forceinline__ Record<{scalars}> literal_record() {{ return {{{{{values}}}}}; }}\n"
        )
    }
}

/// The rate and the number of earlier updates that the literal scalars are computed for: past all bias correction.
pub const LITERAL: (f64, u64) = (2e-4, 1 << 40);

/// The values of [`schedule`], in a table.
pub struct Rates(Vec<f64>);

impl Rates {
    pub fn new() -> Result<Rates> {
        Ok(Rates(schedule().trace(0..=TOTAL_STEPS)?))
    }

    pub fn at(&self, t: u64) -> f64 {
        self.0[t.min(TOTAL_STEPS) as usize]
    }
}
