//! A boundary set to the device's clock: what the device has to do at that point of the stream, since the host knows neither
//! how far it has come nor what it skipped. Start at [`resolve`].
//!
//! How a schedule depends on a knob is found by lowering it with another value. Constants that follow the knob one by one
//! are plain uses, which get the length that the device finds; a constant that is computed from the knob is refused.

use super::edit::Source;
use super::layout::{MAX_WRITES, Write};
use crate::error::{Error, Result, number, quoted};
use crate::program::{Count, Knob, Knobs, Node};

/// The other value: past any step that a device can reach, so that the rules hold for the one that it will find.
const FAR: u64 = 1 << 48;

/// What sets the knob `name` to now: for each scalar whose boundary it is, what is done one after the other.
pub(super) fn resolve(name: &str, knobs: &Knobs, sources: &[Source]) -> Result<Vec<Vec<Write>>> {
    let refused = |value: &str, rule: String| Error::argument(format!("now({})", quoted(name)), value, rule);
    let value = match knobs.get(name)? {
        Knob::Count(value) => value,
        Knob::Real(value) => {
            return Err(refused(&number(value), "only a count of steps can be set to now".to_owned()));
        }
    };
    if sources.iter().any(|source| source.program.listed.contains(name)) {
        let rule = "it is a step in a list, which must stay between its neighbours, and the device does not look at those; \
                    put pieces together with `then` or `join`, whose boundaries can be set to now";
        return Err(refused("refused", rule.to_owned()));
    }
    let far = if value == FAR { FAR - 1 } else { FAR };
    let mut probed = knobs.clone();
    probed.set(name, Knob::Count(far))?;

    let (mut scalars, mut resolved) = (Vec::new(), Vec::new());
    for source in sources.iter().filter(|source| source.program.knobs.contains(name)) {
        let probe =
            source.lower(&mut probed).map_err(|e| e.within(&format!("now({}), at any later step: ", quoted(name))))?;
        let writes = boundary(source, &probe.constants, value, far).map_err(|rule| refused("refused", rule))?;
        if !scalars.contains(&source.scalar) {
            scalars.push(source.scalar);
            resolved.push(writes);
        }
    }
    Ok(resolved)
}

/// The writes for one scalar, or why there are none. `probe`: the constants with the knob at `far` instead of `value`.
fn boundary(source: &Source, probe: &[u64], value: u64, far: u64) -> Result<Vec<Write>, String> {
    let constants = &source.program.constants;
    let mut changed: Vec<u32> =
        (0..constants.len()).filter(|i| constants[*i] != probe[*i]).map(|place| place as u32).collect();

    let chain = source.program.root.chain().ok_or("the schedule is not a sequence of pieces as a whole")?;
    let mut hits = (0..chain.lengths.len()).filter(|piece| changed.contains(&chain.lengths[*piece].0));
    let piece = hits.next().ok_or("it is the length of no piece of the schedule's outermost sequence")?;
    if hits.next().is_some() {
        return Err("it moves more than one boundary".to_owned());
    }
    let length = chain.lengths[piece].0;
    let reached = match chain.pieces[piece + 1].start() {
        Node::Ramp { from, .. } if source.program.reached.contains(from) => Some(from.0),
        _ => None,
    };
    changed.retain(|place| Some(*place) != reached && *place != length);

    let at = |place: u32| (constants[place as usize], probe[place as usize]);
    let (before, after) = at(length);
    let follows = after.wrapping_sub(before) == far.wrapping_sub(value);
    // A length is the knob's value, or as far from where its piece begins as a boundary of `join` is, or the rest of a count. What else
    // depends on the knob must be that same length.
    let begin = chain.lengths[..piece].iter().fold(0u64, |sum, length| sum.wrapping_add(constants[length.0 as usize]));
    let plain = before == value || begin.wrapping_add(before) == value;
    if !follows || !plain || changed.iter().any(|place| at(*place) != (before, after)) {
        return Err("other constants are computed from it, which the device does not do".to_owned());
    }

    if changed.iter().any(|place| source.program.root.divides_by(Count(*place))) {
        return Err("it is a period too, and the boundary may be where its piece begins: no period is 0".to_owned());
    }

    let place = |place: u32| source.first + place;
    let mut writes = vec![Write { bits: u64::from(chain.on_progress), place: 0, kind: Write::CLOCK }];
    let cut = chain.lengths[..piece].iter();
    writes.extend(cut.map(|length| Write { bits: 0, place: place(length.0), kind: Write::CUT }));
    let lengths = changed.into_iter().chain([length]);
    writes.extend(lengths.map(|length| Write { bits: 0, place: place(length), kind: Write::LENGTH }));
    let scalar = u64::from(source.scalar);
    writes.extend(reached.map(|from| Write { bits: scalar, place: place(from), kind: Write::REACHED }));
    match writes.len() <= MAX_WRITES {
        true => Ok(writes),
        false => Err(format!("it takes {} writes, and {MAX_WRITES} fit in a launch", writes.len())),
    }
}
