//! Changes of the tensors while an optimizer lives: gradients that move, come and go, tensors that freeze and are thawed, scales. All is
//! checked before anything is changed. Start at [`Plan::check_grads`]; tensors that come and go are in `add`.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::Units;
use super::layout::Write;
use super::seats::Standing;
use super::{Age, Cohort, Plan, Scales};
use crate::error::{Error, Result, number, quoted};

/// What a device has to do after a change, besides new seats.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What is written, in this order; then the step in force is evaluated anew.
    pub units: Units,
    /// Other tables than the seats differ.
    pub shape: bool,
    /// Tensors whose states start, and whose masters are to be made.
    pub added: Vec<u32>,
}

impl Change {
    /// Both, one after the other.
    pub fn and(mut self, next: Change) -> Change {
        self.units.extend(next.units);
        self.added.extend(next.added);
        self.shape |= next.shape;
        self
    }
}

/// A tensor, and whether it rests from now on.
pub(crate) type Turn = (u32, Standing);

impl Plan {
    /// A tensor in errors.
    pub fn tensor_name(&self, tensor: u32) -> String {
        format!("tensor {}", quoted(&self.names[tensor as usize]))
    }

    /// Checks new gradients, and says whose standing changes by them.
    pub fn check_grads(&self, grads: impl Iterator<Item = (u32, Option<u64>)>) -> Result<Vec<Turn>> {
        let mut turns = Vec::new();
        for (tensor, grad) in grads {
            let seat = &self.seats[tensor as usize];
            match grad {
                Some(address) if address == 0 || address % u64::from(seat.bytes) != 0 => {
                    let rule = match address {
                        0 => "a gradient that is not there is None".to_owned(),
                        _ => format!("its elements are aligned to {} bytes", seat.bytes),
                    };
                    return Err(Error::argument(
                        format!("gradient of {}", self.tensor_name(tensor)),
                        format!("{address:#x}"),
                        rule,
                    ));
                }
                _ => {}
            }
            if grad.is_none() != seat.standing.absent {
                turns.push((tensor, Standing { absent: grad.is_none(), ..seat.standing }));
            }
        }
        let came = |tensor: &u32| self.parts.as_ref().is_some_and(|parts| parts.contains(tensor));
        if let Some((tensor, _)) = turns.iter().find(|(tensor, _)| came(tensor)) {
            let rule = "it has come in an update that is not finished: call finish(..) first";
            return Err(Error::argument(self.tensor_name(*tensor), "to come to rest or to go on", rule));
        }
        self.check_turns(&turns)?;
        Ok(turns)
    }

    /// Whether there is room for the ages that part.
    pub fn check_turns(&self, turns: &[Turn]) -> Result<()> {
        if turns.is_empty() {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        if let Some((tensor, _)) = turns.iter().find(|(tensor, _)| !seen.insert(*tensor)) {
            return Err(Error::argument(self.tensor_name(*tensor), "given twice", "a call changes a tensor once"));
        }
        let room = self.free_room();
        let (mut ages, mut cohorts) = (0, 0);
        for (age, tensors) in self.turned(turns) {
            if tensors.len() == self.ages[age as usize].tensors as usize {
                continue;
            }
            ages += 1;
            let distinct =
                tensors.iter().map(|tensor| self.tensors[*tensor as usize].cohort).collect::<BTreeSet<u32>>();
            cohorts += distinct.len();
            self.expect_room(room, (ages, cohorts), || self.tensor_name(tensors[0]))?;
        }
        Ok(())
    }

    /// How many ages and cohorts find a place.
    pub(super) fn free_room(&self) -> (usize, usize) {
        let shown: BTreeSet<u32> = self.groups.iter().map(|group| group.first_cohort).collect();
        let ages_shown: BTreeSet<u32> = shown.iter().map(|cohort| self.cohorts[*cohort as usize].age).collect();
        let free_age = |(place, age): &(u32, &Age)| age.tensors == 0 && !ages_shown.contains(place);
        let free_cohort = |(place, cohort): &(u32, &Cohort)| cohort.tensors == 0 && !shown.contains(place);
        let ages = (0..).zip(&self.ages).filter(free_age).count();
        let cohorts = (0..).zip(&self.cohorts).filter(free_cohort).count();
        (self.room.ages - self.ages.len() + ages, self.room.cohorts - self.cohorts.len() + cohorts)
    }

    /// Refuses more ages and cohorts than there is room for, for the sake of the one that is named.
    pub(super) fn expect_room(
        &self,
        room: (usize, usize),
        (ages, cohorts): (usize, usize),
        name: impl Fn() -> String,
    ) -> Result<()> {
        if ages <= room.0 && cohorts <= room.1 {
            return Ok(());
        }
        let rule = format!(
            "there is room for {} cohorts, tensors with one history of updates: build with more, Dynamic::cohorts",
            self.room.cohorts
        );
        Err(Error::argument(name(), "to have a history of its own", rule))
    }

    /// Whether some tensors part by these turns, or their work changes.
    pub fn parts(&self, turns: &[Turn]) -> bool {
        let whole = |(age, tensors): (u32, Vec<u32>)| tensors.len() == self.ages[age as usize].tensors as usize;
        !self.turned(turns).into_iter().all(whole)
    }

    /// Takes gradients that were checked.
    pub fn take_grads(&mut self, grads: &[(u32, Option<u64>)]) {
        for (tensor, grad) in grads {
            if let Some(address) = grad {
                self.seats[*tensor as usize].grad = *address;
            }
        }
    }

    /// Checks other scales of tensors, and whether there is room for them.
    pub fn check_scales(&self, scales: &[(u32, Scales)]) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (tensor, Scales { rate, decay }) in scales {
            let name = self.tensor_name(*tensor);
            if !seen.insert(*tensor) {
                return Err(Error::argument(name, "given twice", "a call changes a tensor once"));
            }
            if !self.scaled {
                let rule = "no kernel for it was compiled: build with Dynamic::scales";
                return Err(Error::argument(
                    format!("scales of {name}"),
                    format!("{} and {}", number(*rate), number(*decay)),
                    rule,
                ));
            }
            let variant = self.tensors[*tensor as usize].variant;
            self.check_scales_of(&name, variant, Scales { rate: *rate, decay: *decay })?;
        }
        let (room, mut new) = (self.free_room(), 0);
        for (tensor, scales) in scales {
            let row = &self.tensors[*tensor as usize];
            let (group, age) = (row.group, self.age_of(*tensor));
            let known = |cohort: &Cohort| {
                (cohort.group, cohort.age, cohort.scales) == (group, age, *scales) && cohort.tensors > 0
            };
            if self.cohorts[row.cohort as usize].tensors > 1 && !self.cohorts.iter().any(known) {
                new += 1;
                self.expect_room(room, (0, new), || self.tensor_name(*tensor))?;
            }
        }
        Ok(())
    }

    /// Tensors that come to rest or go on, by age.
    fn turned(&self, turns: &[Turn]) -> BTreeMap<u32, Vec<u32>> {
        let mut turned: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (tensor, standing) in turns {
            if self.seats[*tensor as usize].standing.rests() != standing.rests() {
                turned.entry(self.age_of(*tensor)).or_default().push(*tensor);
            }
        }
        turned
    }

    fn age_of(&self, tensor: u32) -> u32 {
        self.cohorts[self.tensors[tensor as usize].cohort as usize].age
    }

    /// Makes what [`Plan::check_turns`] has checked so.
    pub fn turn(&mut self, turns: &[Turn]) -> Change {
        let mut change = Change::default();
        for (age, tensors) in self.turned(turns) {
            if tensors.len() == self.ages[age as usize].tensors as usize {
                self.ages[age as usize].absent ^= true;
                continue;
            }
            let Age { absent, gate, .. } = self.ages[age as usize];
            let own = self.new_age(Age { base: 0, absent: !absent, tensors: 0, gate });
            change.units.push(vec![Write { bits: age.into(), place: own, kind: Write::AGE_OF }]);
            for tensor in tensors {
                let scales = self.cohorts[self.tensors[tensor as usize].cohort as usize].scales;
                self.move_to(tensor, own, scales, &mut change);
            }
        }
        for (tensor, standing) in turns {
            let known = &mut self.seats[*tensor as usize].standing;
            change.shape |= known.frozen != standing.frozen;
            *known = *standing;
        }
        self.settle(change)
    }

    /// Gives tensors other scales, for which there is room.
    pub fn rescale(&mut self, scales: &[(u32, Scales)]) -> Change {
        let mut change = Change::default();
        for (tensor, scales) in scales {
            let age = self.age_of(*tensor);
            if self.cohorts[self.tensors[*tensor as usize].cohort as usize].scales != *scales {
                self.move_to(*tensor, age, *scales, &mut change);
            }
        }
        self.settle(change)
    }

    /// Lays out what follows from ages and cohorts.
    pub(super) fn settle(&mut self, mut change: Change) -> Change {
        change.shape |= !change.units.is_empty();
        if change.shape {
            self.lay_out_corrections();
        }
        change
    }

    /// Moves a tensor to the cohort of its group of this age and these scales; one that is alone takes its cohort with it, and what that
    /// remembers.
    pub(super) fn move_to(&mut self, tensor: u32, age: u32, scales: Scales, change: &mut Change) {
        let from = self.tensors[tensor as usize].cohort;
        let group = self.tensors[tensor as usize].group;
        // At least something, so that tables are written anew.
        change.units.push(Vec::new());
        if self.cohorts[from as usize].tensors == 1 {
            self.leave(tensor);
            (self.cohorts[from as usize].age, self.cohorts[from as usize].scales) = (age, scales);
            return self.join(tensor, from);
        }
        let to = self.cohort(group, age, scales);
        if self.cohorts[to as usize].tensors == 0 && self.remembers() {
            change.units.push(vec![Write { bits: from.into(), place: to, kind: Write::MEMORY_OF }]);
        }
        self.leave(tensor);
        self.join(tensor, to);
    }

    /// A tensor leaves its cohort and its age.
    pub(super) fn leave(&mut self, tensor: u32) {
        let cohort = &mut self.cohorts[self.tensors[tensor as usize].cohort as usize];
        cohort.tensors -= 1;
        self.ages[cohort.age as usize].tensors -= 1;
    }

    /// A tensor joins a cohort and its age.
    pub(super) fn join(&mut self, tensor: u32, to: u32) {
        let cohort = &mut self.cohorts[to as usize];
        cohort.tensors += 1;
        self.ages[cohort.age as usize].tensors += 1;
        self.tensors[tensor as usize].cohort = to;
    }

    /// A place for an age: one that no tensor has any more, or a new one.
    pub(super) fn new_age(&mut self, age: Age) -> u32 {
        let free =
            (0..self.ages.len() as u32).find(|known| self.ages.len() >= self.room.ages && self.is_free_age(*known));
        match free {
            Some(place) => {
                self.ages[place as usize] = age;
                place
            }
            None => {
                self.ages.push(age);
                self.ages.len() as u32 - 1
            }
        }
    }

    /// Whether no tensor is of this age, and no group is shown by it.
    fn is_free_age(&self, age: u32) -> bool {
        let shown = |group: &super::Group| self.cohorts[group.first_cohort as usize].age == age;
        self.ages[age as usize].tensors == 0 && !self.groups.iter().any(shown)
    }

    /// The same of a cohort.
    pub(super) fn is_free_cohort(&self, cohort: u32) -> bool {
        let Cohort { tensors, group, .. } = self.cohorts[cohort as usize];
        tensors == 0 && self.groups[group as usize].first_cohort != cohort
    }
}
