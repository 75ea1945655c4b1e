//! Parameters for evaluation on the CPU: `kernels/show.cuh`.

use rayon::prelude::*;

use super::{MIN_PIECES, Piece, is_first, stored, stored_mut, wide};
use crate::plan::Plan;
use crate::precision::Stored;
use crate::rule::Start;

/// Shows parameters for evaluation, or puts those for training back, in parallel. `records`: one per cohort.
///
/// Sound for the reasons that [`update`](super::update) gives.
pub(in crate::host) fn show(plan: &Plan, pieces: &[Piece], records: &[f32], show: bool) {
    let width = plan.widths().record;
    pieces.par_iter().with_min_len(MIN_PIECES).for_each(|piece| {
        let row = &plan.tensors[piece.tensor as usize];
        let rule = &*plan.variants[row.variant as usize];
        if rule.tape.show.is_none() {
            return;
        }
        let (storages, range) = (&plan.forms[row.form as usize].storages, piece.elements(row));
        let aside = 2 + rule.streams().len();
        // SAFETY: as in `update`: the parameter is this tensor's alone, and this piece of it is ours.
        let mut param = unsafe { stored_mut(storages[0], row.streams[0], range) };
        // SAFETY: as above; state memory was allocated for this tensor.
        let mut aside =
            (aside < storages.len()).then(|| unsafe { stored_mut(storages[aside], row.streams[aside], range) });
        let mut now = vec![0.0; range.len];
        if !show {
            // A master has the parameter as it was.
            aside.as_ref().unwrap_or(&param).as_stored().load(&mut now);
            param.show(&now);
            return;
        }
        param.as_stored().load(&mut now);
        if let Some(aside) = &mut aside {
            aside.show(&now);
        }
        let record = &records[row.cohort as usize * width..][..width];
        let states = (2..2 + rule.streams().len()).map(|place| {
            // SAFETY: as above, and nothing writes states meanwhile.
            unsafe { stored(storages[place], row.streams[place], range) }
        });
        let states: Vec<Stored<'_>> = states.collect();
        let mut memory = vec![Vec::new(); states.len()];
        let views = states.iter().zip(&mut memory).map(|(stored, memory)| wide(stored, range.len, memory));
        let mut streams: Vec<&[f32]> = views.collect();
        let (before, no_gradient) = (now.clone(), vec![0.0; range.len]);
        if is_first(rule, record) {
            for (place, start) in rule.started() {
                streams[place] = if start == Start::Param { &before } else { &no_gradient };
            }
        }
        let own = vec![0.0; rule.standing.tensor_len];
        rule.code.show(&mut now, &streams, &rule.scalars(record, &own));
        param.show(&now);
    });
}
