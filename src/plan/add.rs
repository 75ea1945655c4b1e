//! Tensors that come while an optimizer lives, and tensors that go. Start at [`Plan::check_add`].

use std::collections::HashSet;

use super::change::Change;
use super::check::{check_overlap, check_tensor};
use super::layout::Write;
use super::{Age, Buffer, Forms, Plan, STATE_ALIGNMENT, Scales, Seat, Standing, Tensor, forms, groups};
use crate::error::{Error, Result, quoted};
use crate::precision::Precision;
use crate::rule::Of;

/// What was found out about tensors that are to come.
#[derive(Debug)]
pub(crate) struct Adding {
    /// Of each tensor its form, what it scales, and where its states begin in the state memory.
    tensors: Vec<(u32, Scales, u64)>,
}

impl Plan {
    /// Checks tensors that are to join a group of rule `variant` with this precision.
    /// `shown`: that group is yet to come, and is shown by a cohort that is one more.
    pub fn check_add(&self, variant: u32, precision: &Precision, shown: usize, tensors: &[Tensor]) -> Result<Adding> {
        let Some(reserve) = &self.reserve else { unreachable!("asked for before") };
        let count = self.added.0 as usize + tensors.len();
        if count > reserve.tensors as usize {
            let rule = format!(
                "{} tensors were reserved, of which {} are there: Dynamic::tensors",
                reserve.tensors, self.added.0
            );
            return Err(Error::argument("tensors", format!("{} more", tensors.len()), rule));
        }
        let elements = tensors.iter().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.param.len));
        if elements.saturating_add(self.added.1) > reserve.elements {
            let rule = format!(
                "{} elements were reserved, of which {} are in use: Dynamic::elements",
                reserve.elements, self.added.1
            );
            return Err(Error::argument("tensors", format!("{elements} elements more"), rule));
        }
        let mut names: HashSet<&str> = self.living().map(|tensor| &*self.names[tensor]).collect();
        let mut numbers: HashSet<u32> = self.living().map(|tensor| self.tensors[tensor].number).collect();
        let places = self.places_for(tensors.len());
        let mut free = self.free.clone();
        let mut all = Vec::with_capacity(tensors.len());
        for ((i, tensor), place) in tensors.iter().enumerate().zip(places) {
            let path = format!("tensors[{i}]");
            let at = || path.clone();
            check_tensor(at, tensor, true)?;
            let name = tensor.name.as_deref().ok_or_else(|| {
                Error::argument(format!("{path}.name"), "not given", "a tensor that comes later needs a name")
            })?;
            if !names.insert(name) {
                return Err(Error::argument(format!("{path}.name"), quoted(name), "another tensor has that name"));
            }
            let number = tensor.number.unwrap_or(place);
            if !numbers.insert(number) {
                let rule = "another tensor's random bits come from it";
                return Err(Error::argument(format!("number of tensor {}", quoted(name)), number, rule));
            }
            let storages = forms::of_tensor(at, &self.variants[variant as usize], precision, tensor)?;
            let forms = Forms { variant, storages };
            let form = self.known_form(&forms).ok_or_else(|| self.not_compiled(name, &forms))?;
            let scales = tensor.scales;
            self.check_scales_of(&path, variant, scales)?;
            if scales != Scales::default() && !self.scaled {
                let rule = "no kernel for it was compiled: build with Dynamic::scales";
                return Err(Error::argument(format!("scales of tensor {}", quoted(name)), "not 1", rule));
            }
            let mut bytes = 0;
            self.streams_of(form, tensor, &mut bytes);
            let begin = take(&mut free, bytes).ok_or_else(|| {
                let rule = format!("the state memory in reserve has no {bytes} bytes in one piece: Dynamic::elements");
                Error::argument(format!("state of tensor {}", quoted(name)), format!("{bytes} bytes"), rule)
            })?;
            all.push((form, scales, begin));
        }
        self.check_places(tensors)?;
        self.check_room_for(tensors, shown)?;
        Ok(Adding { tensors: all })
    }

    /// Nothing that is written may overlap anything else.
    fn check_places(&self, tensors: &[Tensor]) -> Result<()> {
        let known = self.living().map(|tensor| self.as_tensor(tensor));
        let all: Vec<Tensor> = known.chain(tensors.iter().cloned()).collect();
        let names: Vec<String> = all.iter().map(|tensor| tensor.name.clone().unwrap_or_default()).collect();
        check_overlap(all.iter(), &names, self.gradients.zero)?;
        let state = self.state_base..self.state_base + self.state_bytes;
        let within = |buffer: Buffer| {
            let bytes = buffer.len * buffer.dtype.bytes();
            bytes > 0 && buffer.address < state.end && state.start < buffer.address + bytes
        };
        let touching =
            |tensor: &&Tensor| [Some(tensor.param), Some(tensor.grad), tensor.master].into_iter().flatten().any(within);
        match tensors.iter().find(touching) {
            None => Ok(()),
            Some(tensor) => {
                let name = tensor.name.as_deref().unwrap_or_default();
                Err(Error::argument(
                    format!("tensor {}", quoted(name)),
                    "in the state memory",
                    "states of this optimizer lie there",
                ))
            }
        }
    }

    /// A tensor as it could be registered.
    fn as_tensor(&self, tensor: usize) -> Tensor {
        let (row, seat) = (&self.tensors[tensor], &self.seats[tensor]);
        let storages = self.storages(row);
        let buffer =
            |address: u64, place: usize| Buffer { address, len: row.len, dtype: forms::dtype(storages[place].form) };
        let mut known =
            Tensor::unnamed(buffer(row.param(), 0), buffer(if seat.standing.absent { 0 } else { seat.grad }, 1));
        known.name = Some(self.names[tensor].clone());
        known.master = row.master_given.then(|| Buffer::f32(row.streams[0].second, row.len));
        known
    }

    fn check_room_for(&self, tensors: &[Tensor], shown: usize) -> Result<()> {
        let mut ages = Vec::new();
        let mut cohorts: Vec<(u64, bool, Scales)> = Vec::new();
        for tensor in tensors {
            let age = (tensor.updates.unwrap_or(0), tensor.is_absent());
            if !ages.contains(&age) {
                ages.push(age);
            }
            if !cohorts.contains(&(age.0, age.1, tensor.scales)) {
                cohorts.push((age.0, age.1, tensor.scales));
            }
        }
        let first = tensors.first().and_then(|tensor| tensor.name.clone()).unwrap_or_default();
        self.expect_room(self.free_room(), (shown + ages.len(), shown + cohorts.len()), || {
            format!("tensor {}", quoted(&first))
        })
    }

    fn not_compiled(&self, name: &str, forms: &Forms) -> Error {
        let stored: Vec<String> = forms.storages.iter().map(|storage| storage.form.to_string()).collect();
        let rule = format!(
            "no tensor of the rule {} was stored so at build, and no kernel for it was compiled: rebuild, or register one like it at build",
            self.variants[forms.variant as usize].tape.name
        );
        Error::argument(format!("tensor {}", quoted(name)), format!("stored as {}", stored.join(", ")), rule)
    }

    /// Adds what was checked to `group`.
    pub fn add(&mut self, group: usize, tensors: &[Tensor], Adding { tensors: found }: Adding) -> Change {
        let group = group as u32;
        let mut change = Change { shape: true, ..Change::default() };
        let mut ages: Vec<((u64, bool), u32)> = Vec::new();
        let places = self.places_for(tensors.len());
        self.tensors.iter_mut().for_each(|row| row.just_added = false);
        for ((tensor, (form, scales, at)), place) in tensors.iter().zip(found).zip(places) {
            let (updates, absent) = (tensor.updates.unwrap_or(0), tensor.is_absent());
            let known = ages.iter().find(|(known, _)| *known == (updates, absent)).map(|(_, age)| *age);
            let age = known.unwrap_or_else(|| {
                let gate = self.groups[group as usize].gate;
                let age = self.new_age(Age { base: 0, absent, tensors: 0, gate });
                ages.push(((updates, absent), age));
                change.units.push(vec![Write { bits: updates, place: age, kind: Write::AGE_AT }]);
                age
            });
            let cohort = self.cohort(group, age, scales);
            let starts = self.cohorts[cohort as usize].tensors == 0;
            let bytes = self.put(tensor, place, (form, cohort, group), at);
            take_at(&mut self.free, at, bytes);
            self.start_memory(place, starts.then_some(cohort), &mut change);
            change.added.push(place);
            self.added = (self.added.0 + 1, self.added.1 + tensor.param.len);
        }
        self.settle(change)
    }

    /// Puts a tensor to its place; returns the bytes of its states.
    fn put(&mut self, tensor: &Tensor, place: u32, (form, cohort, group): (u32, u32, u32), at: u64) -> u64 {
        let mut end = at;
        let streams = self.streams_of(form, tensor, &mut end);
        let mut row = self.row_of(place, group, tensor, (form, cohort), streams);
        row.just_added = true;
        let name = tensor.name.clone().unwrap_or_default();
        let mut seat = groups::seat_of(tensor, 0);
        match self.tensors.get(place as usize) {
            None => {
                self.tensors.push(row);
                self.names.push(name);
                self.seats.push(seat);
            }
            Some(_) => {
                let former = self.seats[place as usize];
                (seat.row, seat.turn) = (former.row, former.turn + 1);
                (self.tensors[place as usize], self.names[place as usize], self.seats[place as usize]) =
                    (row, name, seat);
            }
        }
        let base = self.state_base;
        self.move_streams(place as usize, |offset| offset + base);
        if self.seats[place as usize].row == Seat::NO_ROW && tensor.param.len > 0 && self.pack > 0 {
            self.seats[place as usize].row = self.rows.len() as u32;
            self.rows.push(place);
        }
        self.groups[group as usize].tensors.push(place);
        self.join(place, cohort);
        end - at
    }

    /// What is remembered of a tensor, and of its cohort where that is new, starts.
    fn start_memory(&self, place: u32, cohort: Option<u32>, change: &mut Change) {
        let row = &self.tensors[place as usize];
        let rule = &self.variants[row.variant as usize];
        let widths = self.widths().memory;
        let mut start = |of: Of, index: u32| {
            let first = index * widths[of as usize] as u32;
            for (place, k) in (first..).zip(rule.remembered(of)) {
                let bits = rule.tape.memory[k].start.to_bits();
                change.units.push(vec![Write { bits, place, kind: Write::START[of as usize] }]);
            }
        };
        start(Of::Tensor, place);
        if let Some(cohort) = cohort {
            start(Of::Cohort, cohort);
            if rule.remembered(Of::Group).next().is_some() {
                let first = self.groups[row.group as usize].first_cohort;
                // Of the group alone: what the cohort remembers was just started.
                change.units.push(vec![Write { bits: first.into(), place: cohort, kind: Write::GROUP_OF }]);
            }
        }
    }

    /// Takes tensors away; their names, places and state memory are free from then on.
    pub fn remove(&mut self, tensors: &[u32]) -> Change {
        let at_build = self.tensors.len() - self.added_places();
        for tensor in tensors {
            self.leave(*tensor);
            let row = &self.tensors[*tensor as usize];
            let group = &mut self.groups[row.group as usize];
            group.tensors.retain(|known| known != tensor);
            self.release(*tensor);
            if (*tensor as usize) >= at_build {
                let len = self.tensors[*tensor as usize].len;
                self.added = (self.added.0 - 1, self.added.1 - len);
            }
            self.seats[*tensor as usize].standing = Standing { removed: true, ..Standing::default() };
        }
        self.settle(Change { shape: true, ..Change::default() })
    }

    /// Gives the state memory of a tensor back.
    fn release(&mut self, tensor: u32) {
        for (offset, bytes) in self.state_pieces(tensor) {
            give(&mut self.free, offset, bytes.next_multiple_of(STATE_ALIGNMENT));
        }
    }

    /// What a tensor has of the state memory: offsets and bytes.
    pub fn state_pieces(&self, tensor: u32) -> Vec<(u64, u64)> {
        let row = &self.tensors[tensor as usize];
        let mut pieces = Vec::new();
        for (place, storage) in self.storages(row).iter().enumerate() {
            let [first, second] = storage.form.sizes(row.len);
            if place >= 2 {
                pieces.push((row.streams[place].first, first));
            }
            if storage.form.has_second() && !(place == 0 && row.master_given) {
                pieces.push((row.streams[place].second, second));
            }
        }
        pieces.retain(|(_, bytes)| *bytes > 0);
        pieces.into_iter().map(|(address, bytes)| (address - self.state_base, bytes)).collect()
    }

    /// Tensors that are there.
    pub fn living(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.tensors.len()).filter(|tensor| self.is_there(*tensor))
    }

    /// Places behind those at build.
    fn added_places(&self) -> usize {
        self.tensors.len() - (self.room.tensors - self.reserve.map_or(0, |reserve| reserve.tensors as usize))
    }

    /// Places for more tensors: of added ones that went, then new ones.
    fn places_for(&self, count: usize) -> Vec<u32> {
        let first = self.tensors.len() - self.added_places();
        let free = (first..self.tensors.len()).filter(|tensor| !self.is_there(*tensor));
        free.chain(self.tensors.len()..).take(count).map(|place| place as u32).collect()
    }
}

/// The first piece of `free` with room for `bytes`, of which they are taken.
fn take(free: &mut Vec<(u64, u64)>, bytes: u64) -> Option<u64> {
    if bytes == 0 {
        return Some(0);
    }
    let at = free.iter().find(|(_, len)| *len >= bytes)?.0;
    take_at(free, at, bytes);
    Some(at)
}

/// The same where it is known which piece.
fn take_at(free: &mut Vec<(u64, u64)>, at: u64, bytes: u64) {
    if let Some(piece) = free.iter_mut().find(|(first, len)| bytes > 0 && *first == at && *len >= bytes) {
        *piece = (at + bytes, piece.1 - bytes);
    }
    free.retain(|(_, len)| *len > 0);
}

/// Gives a piece back, in the order of the offsets, as one with its neighbours.
fn give(free: &mut Vec<(u64, u64)>, at: u64, bytes: u64) {
    let place = free.partition_point(|(first, _)| *first < at);
    free.insert(place, (at, bytes));
    if place + 1 < free.len() && at + bytes == free[place + 1].0 {
        free[place].1 += free.remove(place + 1).1;
    }
    if place > 0 && free[place - 1].0 + free[place - 1].1 == at {
        free[place - 1].1 += free.remove(place).1;
    }
}

#[test]
fn pieces_of_memory_are_taken_and_given_back() {
    let mut free = vec![(0, 100)];
    assert_eq!([take(&mut free, 40), take(&mut free, 30), take(&mut free, 40)], [Some(0), Some(40), None]);
    give(&mut free, 0, 40);
    assert_eq!(free, [(0, 40), (70, 30)]);
    give(&mut free, 40, 30);
    assert_eq!(free, [(0, 100)]);
}
