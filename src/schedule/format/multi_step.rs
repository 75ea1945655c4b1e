//! `multi_step`, whose milestones are steps, which may be knobs, or, beside `total_steps`, fractions of it.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{number, quoted};
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
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Milestone {
    Step(Steps),
    Fraction(f64),
}

impl TryFrom<Fields> for MultiStep {
    type Error = String;

    fn try_from(Fields { init, factor, milestones, total_steps }: Fields) -> Result<Self, String> {
        let milestones = match total_steps {
            Some(of) => {
                let fraction = |(i, milestone)| match milestone {
                    Milestone::Step(Steps::Literal(whole)) => Ok(whole as f64),
                    Milestone::Step(Steps::Knob { name, .. }) => Err(format!(
                        "milestones[{i}] is the knob {}, but fractions of total_steps must be numbers",
                        quoted(&name)
                    )),
                    Milestone::Step(Steps::Sum(_)) => {
                        Err(format!("milestones[{i}] is a sum of counts, but fractions of total_steps must be numbers"))
                    }
                    Milestone::Fraction(fraction) => Ok(fraction),
                };
                let at = milestones.into_iter().enumerate().map(fraction).collect::<Result<_, _>>()?;
                Milestones::Fractions { of, at }
            }
            None => {
                let step = |(i, milestone)| match milestone {
                    Milestone::Step(step) => Ok(step),
                    Milestone::Fraction(fraction) => {
                        let rule = "must be a step; fractions need total_steps beside them";
                        Err(format!("milestones[{i}] is {}, but {rule}", number(fraction)))
                    }
                };
                let steps = milestones.into_iter().enumerate().map(step).collect::<Result<Vec<_>, _>>()?;
                Milestones::Steps(steps.into())
            }
        };
        Ok(MultiStep { init, factor, milestones })
    }
}

impl From<MultiStep> for Fields {
    fn from(MultiStep { init, factor, milestones }: MultiStep) -> Fields {
        let (milestones, total_steps) = match milestones {
            Milestones::Steps(steps) => (steps.iter().map(Milestone::Step).collect(), None),
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

impl<'de> Visitor<'de> for MilestoneVisitor {
    type Value = Milestone;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a step, {\"knob\": name, \"value\": step}, or a fraction of total_steps")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Milestone, E> {
        Ok(Milestone::Step(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Milestone, E> {
        Ok(Milestone::Step(Steps::Literal(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Milestone, E> {
        Ok(Milestone::Fraction(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Milestone, A::Error> {
        Steps::deserialize(MapAccessDeserializer::new(map)).map(Milestone::Step)
    }
}
