//! An update in parts: which tensors have come, and what each launch takes. Start at [`Plan::check_part`].

use std::collections::BTreeSet;

use bytemuck::Zeroable;

use super::layout::{MAX_PARTS, PartOf, PartRow, Step};
use super::{Plan, Seat};
use crate::error::{Error, Result};

/// The tensors that have come since the last update.
pub(crate) type Parts = BTreeSet<u32>;

/// A launch of a part: its argument and its blocks.
#[derive(Debug)]
pub(crate) struct PartLaunch {
    pub row: Box<PartRow>,
    pub blocks: u32,
}

impl Plan {
    /// Whether updates may be made in parts at all, as `call` is about to.
    pub fn expect_parts(&self, call: &str) -> Result<&Parts> {
        let refused = |rule: String| Err(Error::argument(call, "called", rule));
        let Some(parts) = &self.parts else {
            return refused("the optimizer was built without: call in_parts() on its builder".to_owned());
        };
        if self.gradients.norm.is_some() {
            let rule = "clipping by norm, a dynamic loss scale and skipping look at all gradients first: hand in what they need, with \
                        norm_square or found_inf";
            return refused(rule.to_owned());
        }
        match self.variants.iter().find(|rule| !rule.tape.sums.is_empty()) {
            Some(rule) => refused(format!("the rule {} sums over elements first, of all tensors", rule.tape.name)),
            None => Ok(parts),
        }
    }

    /// Checks the tensors of a part: each comes once an update.
    pub fn check_part(&self, tensors: &[u32]) -> Result<()> {
        let parts = self.expect_parts("step_part")?;
        match tensors.iter().find(|tensor| parts.contains(tensor)) {
            None => Ok(()),
            Some(tensor) => {
                let rule = "it has come in this update: call finish(..) first";
                Err(Error::argument(self.tensor_name(*tensor), "given again", rule))
            }
        }
    }

    /// Whether every tensor has come that does not rest.
    pub fn check_finish(&self) -> Result<()> {
        let parts = self.expect_parts("finish")?;
        let missing = self.living().find(|tensor| {
            let comes = self.tensors[*tensor].len > 0 && !self.seats[*tensor].standing.rests();
            comes && !parts.contains(&(*tensor as u32))
        });
        match missing {
            None => Ok(()),
            Some(tensor) => {
                let rule = "give it to step_part(..) before, or say that it has no gradient: rebind(..) with None";
                Err(Error::argument(self.tensor_name(tensor as u32), "missing", rule))
            }
        }
    }

    /// Refuses `call` while an update is half made.
    pub fn expect_whole(&self, call: &str) -> Result<()> {
        match self.parts.as_ref().and_then(|parts| parts.first()) {
            None => Ok(()),
            Some(tensor) => {
                let rule = format!(
                    "{} has come in an update that is not finished: call finish(..) first",
                    self.tensor_name(*tensor)
                );
                Err(Error::argument(call, "called", rule))
            }
        }
    }

    /// The launches that update the tiles of these tensors.
    pub fn part_launches(&self, tensors: &[u32], step: Step) -> Vec<PartLaunch> {
        let mut launches: Vec<PartLaunch> = Vec::new();
        for tensor in tensors {
            let (seat, tiles) =
                (&self.seats[*tensor as usize], self.tensors[*tensor as usize].len.div_ceil(self.tuning.tile()));
            // Whether it rests the device looks, each time a captured part is replayed.
            if seat.row == Seat::NO_ROW || tiles == 0 || seat.standing.removed {
                continue;
            }
            if launches.last().is_none_or(|last| last.row.count as usize == MAX_PARTS) {
                launches.push(PartLaunch { row: Box::new(PartRow { step, ..PartRow::zeroed() }), blocks: 0 });
            }
            if let Some(PartLaunch { row, blocks }) = launches.last_mut() {
                row.of[row.count as usize] = PartOf { row: seat.row, first: *blocks };
                row.count += 1;
                *blocks += tiles as u32;
            }
        }
        launches
    }
}
