//! What a schedule costs where the host evaluates it: nanoseconds per value, one thread.

use std::hint::black_box;

use instep::Schedule;

use crate::rule;
use crate::work::Work;

/// Values per run: enough that checking the schedule, once a run, does not show.
const VALUES: u64 = 20_000;

pub fn rows() -> Vec<Work> {
    let schedules = [
        ("constant", Schedule::constant(3e-4)),
        ("warm-up, cosine", rule::schedule()),
        ("exponential", Schedule::exponential_decay(0.1, 0.999_9)),
        ("polynomial, power 2.5", Schedule::polynomial(1e-2, 1e-5, 2.5).over(VALUES)),
        ("chain of 30 pieces", chain(30)),
    ];
    let rows = schedules.map(|(name, schedule)| {
        let last = schedule.at(VALUES - 1).expect("a valid schedule");
        let work = Work::new(format!("schedule on the host: {name}"), "1 value", move || {
            let values = schedule.trace(0..black_box(VALUES)).expect("a valid schedule");
            assert_eq!(black_box(values).last(), Some(&last), "the trace ends as the single value does");
        });
        Work { items: VALUES, ..work }
    });
    rows.into()
}

/// `pieces` pieces in turn linear and cosine, all of them used within [`VALUES`] steps.
fn chain(pieces: u64) -> Schedule {
    let over = VALUES / pieces;
    let piece = |i: u64| match i % 2 {
        0 => Schedule::linear(1e-4, 3e-4).over(over),
        _ => Schedule::cosine(3e-4, 1e-4).over(over),
    };
    (1..pieces).fold(piece(0), |chain, i| chain.then(piece(i)))
}
