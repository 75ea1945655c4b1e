//! How a CUDA device learns of changes of the tensors: tables are written anew from pinned slots, in stream order, and what follows from
//! the clock is left to the kernel of edits. Start at [`Engine::rebind`](super::cuda::Engine::rebind).

use std::sync::PoisonError;

use super::cuda::Engine;
use super::places::{Moves, fill};
use super::shape::{Shape, grads_at};
use crate::device::{Filling, Stream};
use crate::dynamic::Dynamic;
use crate::error::{Error, Result};
use crate::plan::edit::launches;
use crate::plan::layout::{AgeFlags, EditRow, Step, THREADS, remake};
use crate::plan::{Change, Lies, Registered, Scales, Seat, Tensor, Turn};

impl Engine {
    /// The same as `self`, where tensors may move.
    pub fn moving(mut self, dynamic: Option<&Dynamic>) -> Result<Engine> {
        if let Some(dynamic) = dynamic {
            self.moves = Some(Moves::new(&self.context, &self.plan, dynamic)?);
        }
        Ok(self)
    }

    /// Refuses a stream on which nothing may change.
    fn expect_changeable(&self, stream: &Stream) -> Result<()> {
        stream.expect_context(&self.context)?;
        match stream.is_capturing()? {
            false => Ok(()),
            true => {
                let rule = "every replay of the graph would make the change again; make it on a stream that runs";
                Err(Error::argument("stream", "capturing a graph", rule))
            }
        }
    }

    /// New gradients. Without a change of ages one copy, an event and, where its slot was used before, a question to the driver.
    pub fn rebind(&mut self, grads: &[(u32, Option<u64>)], stream: &Stream) -> Result<()> {
        self.expect_changeable(stream)?;
        let turns = self.plan.check_grads(grads.iter().copied())?;
        if !self.plan.parts(&turns) {
            return self.send_seats(grads, &turns, stream);
        }
        self.moves_mut().expect_slot()?;
        self.plan.take_grads(grads);
        let change = self.plan.turn(&turns);
        self.send_shape(change, stream)
    }

    /// Freezes and thaws tensors.
    pub fn turn(&mut self, turns: &[Turn], stream: &Stream) -> Result<()> {
        self.expect_changeable(stream)?;
        if turns.is_empty() {
            return Ok(());
        }
        self.plan.check_turns(turns)?;
        self.moves_mut().expect_slot()?;
        let change = self.plan.turn(turns);
        self.send_shape(change, stream)
    }

    pub fn rescale(&mut self, scales: &[(u32, Scales)], stream: &Stream) -> Result<()> {
        self.expect_changeable(stream)?;
        self.plan.check_scales(scales)?;
        self.moves_mut().expect_slot()?;
        let change = self.plan.rescale(scales);
        self.send_shape(change, stream)
    }

    /// Adds tensors; their places.
    pub fn add(&mut self, group: usize, tensors: &[Tensor], stream: &Stream) -> Result<Vec<u32>> {
        self.expect_changeable(stream)?;
        super::addresses::check_tensors(&self.context, tensors)?;
        let of_group = &self.plan.groups[group];
        let adding = self.plan.check_add(of_group.variant, &of_group.precision, 0, tensors)?;
        self.moves_mut().expect_slot()?;
        let change = self.plan.add(group, tensors, adding);
        let added = change.added.clone();
        self.send_shape(change, stream)?;
        Ok(added)
    }

    /// Adds a group with its tensors; its place, and theirs.
    pub fn add_group(&mut self, registered: Registered, stream: &Stream) -> Result<(usize, Vec<u32>)> {
        self.expect_changeable(stream)?;
        let tensors = registered.tensors.clone();
        super::addresses::check_tensors(&self.context, &tensors)?;
        let precision = registered.precision.clone();
        let adding = self.plan.check_add_group(registered)?;
        let of_tensors = self.plan.check_add(adding.variant(), &precision, 1, &tensors)?;
        self.moves_mut().expect_slot()?;
        let (group, change) = self.plan.add_group(adding);
        let change = change.and(self.plan.add(group, &tensors, of_tensors));
        let added = change.added.clone();
        self.send_shape(change, stream)?;
        Ok((group, added))
    }

    pub fn remove(&mut self, tensors: &[u32], stream: &Stream) -> Result<()> {
        self.expect_changeable(stream)?;
        self.moves_mut().expect_slot()?;
        let change = self.plan.remove(tensors);
        self.send_shape(change, stream)
    }

    fn moves_mut(&mut self) -> &mut Moves {
        self.moves.as_mut().expect("asked for at build, which the optimizer looks at first")
    }

    /// Sends what is said of ages and gradients: all of it where a standing changes, else the rows that did.
    fn send_seats(&mut self, grads: &[(u32, Option<u64>)], turns: &[Turn], stream: &Stream) -> Result<()> {
        let Some(moves) = &mut self.moves else { unreachable!("asked for at build") };
        let mut slot = moves.seats.take(moves.when_busy)?;
        let plan = &mut self.plan;
        plan.take_grads(grads);
        plan.turn(turns);
        let first_row = grads_at(plan) / size_of::<u64>();
        let of_grads = grads.iter().map(|(tensor, _)| plan.seats[*tensor as usize].row);
        let rows = of_grads.filter(|row| *row != Seat::NO_ROW);
        let (first, last) = rows.fold((u32::MAX, 0), |(first, last), row| (first.min(row), last.max(row)));
        let (begin, end) = match turns.is_empty() {
            // None of them has elements.
            true if first > last => return Ok(()),
            true => (first_row + first as usize, first_row + last as usize + 1),
            false => (0, first_row + plan.rows.len()),
        };
        let words = slot.words();
        if begin == 0 {
            let flags: &mut [AgeFlags] = bytemuck::cast_slice_mut(&mut words[..first_row]);
            for (flags, age) in flags.iter_mut().zip(&plan.ages) {
                *flags = AgeFlags::new(age.absent, age.gate);
            }
        }
        let from = begin.max(first_row);
        for (word, tensor) in words[from..end].iter_mut().zip(&plan.rows[from - first_row..]) {
            *word = plan.seats[*tensor as usize].in_use();
        }
        let copy = (8 * begin, self.step.age_flags + 8 * begin as u64, 8 * (end - begin));
        slot.send(stream, &[copy])
    }

    /// Writes all tables that follow from the tensors, and has the step in force evaluated anew.
    fn send_shape(&mut self, change: Change, stream: &Stream) -> Result<()> {
        let mut rules = self.rules;
        let shape = Shape::of(&self.plan);
        rules.measure_tile_count = shape.rules.measure_tile_count;
        rules.group_count = shape.rules.group_count;
        self.rules = rules;
        let Some(moves) = &mut self.moves else { unreachable!("asked for at build") };
        let mut slot = moves.shapes.take(moves.when_busy)?;
        let rules = (bytemuck::bytes_of(&rules).to_vec(), size_of_val(&rules));
        let tables = shape.tables().chain((self.step.rules != 0).then_some(&rules));
        let (mut at, mut copies) = (0, Vec::new());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(slot.words());
        for ((content, room), to) in tables.zip(&self.places.tables) {
            debug_assert!(content.len() <= *room, "{} bytes, and room for {room}", content.len());
            bytes[at..at + content.len()].copy_from_slice(content);
            copies.push((at, *to, content.len()));
            at += content.len().next_multiple_of(8);
        }
        slot.send(stream, &copies)?;
        let tables = &self.resident.tables;
        let state = self.resident.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = &*state else { unreachable!("it is freed with the optimizer") };
        for (address, bytes) in &self.places.sums {
            tables.fill(stream, (address - tables.address()) as usize, *bytes, Filling::Bytes(0))?;
        }
        for (offset, bytes) in change.added.iter().flat_map(|tensor| self.plan.state_pieces(*tensor)) {
            state.fill(stream, offset as usize, bytes as usize, Filling::Bytes(0))?;
        }
        for (row, place, value) in self.plan.filled_states().filter(|(row, ..)| change.added.contains(&row.place)) {
            let Lies { first, second } = row.streams[place];
            let base = self.plan.state_base;
            fill(state, stream, Lies { first: first - base, second: second.saturating_sub(base) }, row.len, value)?;
        }
        let mut rows = launches(&change.units, self.step);
        for row in &mut rows[..1] {
            row.flags |= EditRow::LEVEL_MEMORY;
        }
        rows.iter().try_for_each(|row| self.edit.launch(stream, 1, THREADS, row))?;
        if let Some(remake) = self.remake.as_ref().filter(|_| !change.added.is_empty()) {
            let step = Step { choice: remake::ADDED, ..self.step };
            remake.launch(stream, self.grid, THREADS, &step)?;
        }
        Ok(())
    }
}
