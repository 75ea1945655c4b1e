//! An edit on the CPU: `kernels/edit.cuh`, write for write.

use super::Engine;
use super::resolve::Half;
use crate::error::Result;
use crate::plan::Request;
use crate::plan::layout::{EditRow, Step, Write};
use crate::program::Clocks;

impl Engine {
    /// Checks the edit, then writes its constants and evaluates the step in force anew.
    pub fn edit(&mut self, request: &Request) -> Result<()> {
        let prepared = self.plan.prepare(request)?;
        // The tables are at hand here, so no address is needed.
        for row in prepared.launches(Step::default()) {
            self.run(&row);
        }
        self.plan.edited(prepared);
        Ok(())
    }

    pub(super) fn run(&mut self, row: &EditRow) {
        let clocks = Clocks { t: self.control.t, progress: self.control.progress };
        let writes = &row.writes[..row.count as usize];
        for write in writes.iter().filter(|write| write.kind == Write::SET) {
            self.plan.constants[write.place as usize] = write.bits;
        }
        let half = (clocks.t & 1) as usize * self.plan.room.scalars;
        if row.flags & EditRow::LEVEL_MEMORY != 0 {
            self.level_memory(clocks.t);
        }
        let mut remaining = 0;
        for Write { bits, place, kind } in writes {
            let place = *place as usize;
            match *kind {
                Write::CLOCK => remaining = if *bits == 0 { clocks.t } else { clocks.progress },
                Write::CUT => {
                    let constant = &mut self.plan.constants[place];
                    *constant = (*constant).min(remaining);
                    remaining -= *constant;
                }
                Write::LENGTH => self.plan.constants[place] = remaining,
                Write::REACHED => self.plan.constants[place] = self.values[half + *bits as usize].to_bits(),
                kind => self.change(clocks.t, kind, place, *bits), // or SET, which is done
            }
        }
        if row.flags & EditRow::ACCUMULATE != 0 {
            self.plan.settings.accumulate = row.accumulate;
        }
        if row.flags & EditRow::INCREMENT != 0 {
            self.control.increment = row.increment;
        }
        if row.flags & EditRow::STOP_AT != 0 {
            self.plan.settings.stop_at = row.stop_at;
        }
        if row.flags & EditRow::LOWER_FLAGS != 0 {
            let control = &mut *self.control;
            if control.stop != 0 {
                control.end[(clocks.t & 1) as usize] = 0;
            }
            (control.stop, control.raised, control.skipped_in_a_row) = (0, 0, 0);
            (control.overlapped, control.exhausted, control.called_while_shown) = (0, 0, 0);
        }
        if row.flags & EditRow::EVALUATE != 0 {
            let before = self.end_in_force();
            self.evaluate(clocks, Half::InForce);
            self.stop_if_end(clocks.t, before);
        }
    }

    /// A write that a change of the tensors takes.
    fn change(&mut self, t: u64, kind: u32, place: usize, bits: u64) {
        let ages = (t & 1) as usize * self.plan.room.ages;
        let from = bits as usize;
        match kind {
            Write::AGE_OF => self.ages[ages + place] = self.ages[ages + from],
            Write::AGE_AT => self.ages[ages + place] = bits.wrapping_sub(t),
            Write::MEMORY_OF => {
                let [width, ..] = self.plan.widths().memory;
                let half = self.cohorts_in_force(t);
                for k in 0..width {
                    self.remembered.cohorts[half + 2 * (place * width + k)] =
                        self.remembered.cohorts[half + 2 * (from * width + k)];
                }
                self.copy_group(from, place);
            }
            Write::GROUP_OF => self.copy_group(from, place),
            kind if kind == Write::START[0] => {
                let half = self.cohorts_in_force(t);
                self.remembered.cohorts[half + 2 * place] = f64::from_bits(bits);
            }
            kind if kind == Write::START[1] => start(&mut self.remembered.groups, place, bits),
            kind if kind == Write::START[2] => start(&mut self.remembered.tensors, place, bits),
            _ => {}
        }
    }

    /// Where what cohorts remember begins in the half in force.
    fn cohorts_in_force(&self, t: u64) -> usize {
        (t & 1) as usize * self.remembered.cohorts.len() / 2
    }

    /// What a cohort has of its group goes to another one.
    fn copy_group(&mut self, from: usize, to: usize) {
        let (width, half) = (self.plan.widths().memory[1], self.remembered.groups.len() / 2);
        for at in [0, half] {
            self.remembered.groups.copy_within(at + from * width..at + (from + 1) * width, at + to * width);
        }
    }

    /// What groups and tensors remember, in both halves as the last update left it.
    fn level_memory(&mut self, t: u64) {
        for memory in [&mut self.remembered.groups, &mut self.remembered.tensors] {
            let half = memory.len() / 2;
            let from = (!t & 1) as usize * half;
            memory.copy_within(from..from + half, (t & 1) as usize * half);
        }
    }
}

/// Writes one value to both halves of a memory.
fn start(memory: &mut [f64], place: usize, bits: u64) {
    let half = memory.len() / 2;
    (memory[place], memory[half + place]) = (f64::from_bits(bits), f64::from_bits(bits));
}
