//! `multi_step`, whose milestones are steps or, beside `total_steps`, fractions of it.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::schedule::form::Milestones;
use crate::schedule::number::{Number, Steps};

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub(super) struct MultiStep {
    pub init: Number,
    pub factor: Number,
    pub milestones: Milestones,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    init: Number,
    factor: Number,
    milestones: Vec<Milestone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total_steps: Option<Steps>,
}

/// A milestone as it is written: which of the two it must be is known only with the other fields.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Milestone {
    Whole(u64),
    Fraction(f64),
}

impl TryFrom<Fields> for MultiStep {
    type Error = String;

    fn try_from(Fields { init, factor, milestones, total_steps }: Fields) -> Result<Self, String> {
        let milestones = match total_steps {
            Some(of) => {
                let fraction = |milestone| match milestone {
                    Milestone::Whole(whole) => whole as f64,
                    Milestone::Fraction(fraction) => fraction,
                };
                Milestones::Fractions { of, at: milestones.into_iter().map(fraction).collect() }
            }
            None => {
                let step = |(i, milestone): (usize, &Milestone)| match *milestone {
                    Milestone::Whole(step) => Ok(step),
                    Milestone::Fraction(fraction) => {
                        let rule = "must be a step; fractions need total_steps beside them";
                        Err(format!("milestones[{i}] is {fraction}, but {rule}"))
                    }
                };
                Milestones::Steps(milestones.iter().enumerate().map(step).collect::<Result<_, _>>()?)
            }
        };
        Ok(MultiStep { init, factor, milestones })
    }
}

impl From<MultiStep> for Fields {
    fn from(MultiStep { init, factor, milestones }: MultiStep) -> Fields {
        let (milestones, total_steps) = match milestones {
            Milestones::Steps(steps) => (steps.into_iter().map(Milestone::Whole).collect(), None),
            Milestones::Fractions { of, at } => (at.into_iter().map(Milestone::Fraction).collect(), Some(of)),
        };
        Fields { init, factor, milestones, total_steps }
    }
}

impl<'de> Deserialize<'de> for Milestone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MilestoneVisitor)
    }
}

struct MilestoneVisitor;

impl Visitor<'_> for MilestoneVisitor {
    type Value = Milestone;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a step, or a fraction of total_steps")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Milestone, E> {
        Ok(Milestone::Whole(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Milestone, E> {
        let whole = u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))?;
        Ok(Milestone::Whole(whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Milestone, E> {
        Ok(Milestone::Fraction(value))
    }
}
