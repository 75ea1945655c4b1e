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

    fn run(&mut self, row: &EditRow) {
        let clocks = Clocks { t: self.control.t, progress: self.control.progress };
        let writes = &row.writes[..row.count as usize];
        let constants = &mut self.plan.constants;
        for write in writes.iter().filter(|write| write.kind == Write::SET) {
            constants[write.place as usize] = write.bits;
        }
        let half = (clocks.t & 1) as usize * self.plan.room.scalars;
        let mut remaining = 0;
        for Write { bits, place, kind } in writes {
            let place = *place as usize;
            match *kind {
                Write::CLOCK => remaining = if *bits == 0 { clocks.t } else { clocks.progress },
                Write::CUT => {
                    constants[place] = constants[place].min(remaining);
                    remaining -= constants[place];
                }
                Write::LENGTH => constants[place] = remaining,
                Write::REACHED => constants[place] = self.values[half + *bits as usize].to_bits(),
                _ => {} // SET, which is done
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
}
