//! Records as words, in a ring: the same layout as `kernels/telemetry.cuh`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{TelemetryColumn, TelemetryRecord};

/// Words before the values. `kernels/telemetry.cuh` has the same number.
const HEADER: usize = 10;

/// In a source: an f64 that a group remembers; an f64 of a metric rule's state, or a count.
const REMEMBERED: u32 = 1 << 30;
const METRIC_VALUE: u32 = 1 << 31;
const METRIC_COUNT: u32 = 3 << 30;
const PLACE: u32 = METRIC_VALUE / 2 - 1;

/// Something that a metric rule's state holds, at a place in a half of the states, counted in 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Value(usize),
    Count(usize),
}

/// How the records of one optimizer lie in its ring.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub records: u32,
    /// On a device: whether the ring lies in pinned memory of the host.
    pub mapped: bool,
    pub columns: Arc<[TelemetryColumn]>,
    /// Where each value stands: in a half of the records of cohorts, counted in f32, or with one of the marks below in a half
    /// of what groups remember or of the metric rules' states, counted in 8 bytes. `Source` of `kernels/telemetry.cuh` is the same.
    pub sources: Vec<u32>,
}

/// Which run the calls in a ring are of, and the number of its first call: another run begins when a state is loaded, and calls
/// then have numbers anew. Shared by an optimizer and its readers.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<(u64, u64)>);

impl Runs {
    /// Another run begins with call `first`. The ring was cleared, and no call of the new run is in it yet.
    pub fn restart(&self, first: u64) {
        let mut run = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *run = (run.0 + 1, first);
    }

    /// The number of this run, and that of its first call.
    pub fn now(&self) -> (u64, u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of the next call.
    pub next: u64,
    /// How many records were overwritten before they were read.
    pub lost: u64,
}

/// What one look at a ring brought.
#[derive(Debug)]
pub(crate) struct Taken {
    pub records: Vec<TelemetryRecord>,
    pub progress: Progress,
}

/// A record before its place in the layout is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Header {
    pub t: u64,
    pub skipped: u64,
    pub applied: bool,
    pub raised: bool,
    pub overlapped: bool,
    pub loss_scale: f32,
    pub clip_factor: f32,
    pub norm: f64,
    pub loss: f32,
}

impl Layout {
    pub fn new(records: u32, mapped: bool) -> Layout {
        Layout { records, mapped, columns: Arc::new([]), sources: Vec::new() }
    }

    /// Adds the hyperparameters of a group, whose record begins at `record`.
    pub fn add(&mut self, group: usize, names: &[String], record: usize) {
        let columns = names.iter().map(|name| TelemetryColumn { group, name: name.as_str().into() });
        self.columns = self.columns.iter().cloned().chain(columns).collect();
        self.sources.extend((0..names.len()).map(|place| (record + place) as u32));
    }

    /// Adds what a group's metric rule has come to.
    pub fn add_metric(&mut self, group: usize, words: &[(&'static str, Word)]) {
        let columns = words.iter().map(|(name, _)| TelemetryColumn { group, name: (*name).into() });
        self.columns = self.columns.iter().cloned().chain(columns).collect();
        self.sources.extend(words.iter().map(|(_, word)| match word {
            Word::Value(place) => METRIC_VALUE | *place as u32,
            Word::Count(place) => METRIC_COUNT | *place as u32,
        }));
    }

    /// Adds what a group remembers, which begins at `first`.
    pub fn add_remembered(&mut self, group: usize, names: &[Arc<str>], first: usize) {
        let columns = names.iter().map(|name| TelemetryColumn { group, name: name.clone() });
        self.columns = self.columns.iter().cloned().chain(columns).collect();
        self.sources.extend((0..names.len()).map(|place| REMEMBERED | (first + place) as u32));
    }

    pub fn words_per_record(&self) -> usize {
        HEADER + self.sources.len()
    }

    /// Words of the whole ring.
    pub fn words(&self) -> usize {
        self.records as usize * self.words_per_record()
    }

    /// The place of the first word of a call's record, and the mark that all its words have.
    fn place(&self, call: u64) -> (usize, u32) {
        ((call % u64::from(self.records)) as usize * self.words_per_record(), call.wrapping_add(1) as u32)
    }

    /// Writes a record: the twin of `note_call` in `kernels/telemetry.cuh`. `values`: a half of the records of cohorts;
    /// `states`: one of the metric rules' states; `remembered`: the one of what groups remember that this call left.
    pub fn write(&self, ring: &[AtomicU64], header: &Header, values: &[f32], states: &[u64], remembered: &[f64]) {
        let (place, mark) = self.place(header.t + header.skipped);
        let norm = header.norm.to_bits();
        let head = [
            header.t as u32,
            (header.t >> 32) as u32,
            header.skipped as u32,
            (header.skipped >> 32) as u32,
            u32::from(header.applied) | u32::from(header.raised) << 1 | u32::from(header.overlapped) << 2,
            header.loss_scale.to_bits(),
            header.clip_factor.to_bits(),
            norm as u32,
            (norm >> 32) as u32,
            header.loss.to_bits(),
        ];
        const _: () = assert!(HEADER == 10);
        let value = |source: &u32| match source & METRIC_COUNT {
            METRIC_VALUE => f64::from_bits(states[(source & PLACE) as usize]) as f32,
            METRIC_COUNT => states[(source & PLACE) as usize] as f32,
            REMEMBERED => remembered[(source & PLACE) as usize] as f32,
            _ => values[*source as usize],
        };
        let values = self.sources.iter().map(|source| value(source).to_bits());
        for (word, bits) in ring[place..].iter().zip(head.into_iter().chain(values)) {
            word.store(u64::from(mark) << 32 | u64::from(bits), Ordering::Relaxed);
        }
    }

    /// The record whose words begin at `place`; None if there is none, or if its words are of several records.
    fn decode(&self, ring: &[AtomicU64], place: usize) -> Option<TelemetryRecord> {
        let words: Vec<u64> =
            ring[place..][..self.words_per_record()].iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let mark = words[0] >> 32;
        if words.iter().any(|word| word >> 32 != mark) {
            return None;
        }
        let half = |k: usize| u64::from(words[k] as u32);
        let pair = |k: usize| half(k) | half(k + 1) << 32;
        let float = |k: usize| f32::from_bits(words[k] as u32);
        let record = TelemetryRecord {
            t: pair(0),
            skipped: pair(2),
            applied: half(4) & 1 != 0,
            raised: half(4) & 2 != 0,
            overlapped: half(4) & 4 != 0,
            loss_scale: float(5),
            clip_factor: float(6),
            norm: f64::from_bits(pair(7)),
            loss: float(9),
            columns: self.columns.clone(),
            values: (HEADER..words.len()).map(float).collect(),
        };
        // Zeroed memory is no record: the mark of call 0 is 1.
        let (expected, expected_mark) = self.place(record.call());
        (expected == place && u64::from(expected_mark) == mark).then_some(record)
    }

    /// All whole records from call `progress.next` on that follow each other, in the order of calls. A record that is torn,
    /// since it is being written at the moment, ends the list: the next look finds it. Where the next call was overwritten,
    /// it goes on with the oldest one that is there; this alone takes a look at the whole ring.
    pub fn read(&self, ring: &[AtomicU64], progress: Progress) -> Taken {
        let Progress { mut next, mut lost } = progress;
        let mut records = Vec::new();
        // No more than a round, however fast the ring is written.
        while records.len() < self.records as usize {
            match self.decode(ring, self.place(next).0) {
                Some(record) if record.call() == next => {
                    records.push(record);
                    next += 1;
                }
                Some(record) if record.call() > next => {
                    let calls = (0..self.records as usize).filter_map(|slot| self.call_at(ring, slot));
                    let oldest = calls.filter(|call| *call > next).min().unwrap_or(record.call());
                    (next, lost) = (oldest, lost + (oldest - next));
                }
                _ => break,
            }
        }
        Taken { records, progress: Progress { next, lost } }
    }

    /// The number of the call whose whole record is in slot `slot`.
    fn call_at(&self, ring: &[AtomicU64], slot: usize) -> Option<u64> {
        Some(self.decode(ring, slot * self.words_per_record())?.call())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(records: u32) -> Layout {
        let mut layout = Layout::new(records, false);
        layout.add(0, &["lr", "weight_decay"].map(str::to_owned), 0);
        layout
    }

    fn ring(layout: &Layout) -> Vec<AtomicU64> {
        (0..layout.words()).map(|_| AtomicU64::new(0)).collect()
    }

    fn write(layout: &Layout, ring: &[AtomicU64], call: u64) {
        let skipped = call / 3;
        let head = Header {
            t: call - skipped,
            skipped,
            applied: call.is_multiple_of(2),
            raised: call.is_multiple_of(3),
            overlapped: call.is_multiple_of(5),
            loss_scale: call as f32,
            clip_factor: 0.5,
            norm: -(call as f64),
            loss: call as f32 + 0.5,
        };
        layout.write(ring, &head, &[call as f32 + 0.25, 7.0], &[], &[]);
    }

    const START: Progress = Progress { next: 0, lost: 0 };

    #[test]
    fn records_come_in_order_once_and_overwritten_ones_are_counted() {
        let (layout, mut progress) = (layout(4), START);
        let ring = ring(&layout);
        let mut calls = Vec::new();
        for (call, look) in [false, true, true, false, false, false, false, false, false, true].into_iter().enumerate()
        {
            write(&layout, &ring, call as u64);
            if look {
                let taken = layout.read(&ring, progress);
                progress = taken.progress;
                calls.extend(taken.records.iter().map(|record| record.call()));
            }
        }
        assert_eq!(calls, [0, 1, 2, 6, 7, 8, 9]);
        assert_eq!(progress, Progress { next: 10, lost: 3 });
        assert!(layout.read(&ring, progress).records.is_empty());
    }

    #[test]
    fn what_was_written_is_read() {
        let layout = layout(3);
        let ring = ring(&layout);
        write(&layout, &ring, 5);
        let taken = layout.read(&ring, Progress { next: 5, lost: 0 });
        let record = &taken.records[0];
        assert_eq!((record.t, record.skipped, record.applied, record.raised), (4, 1, false, false));
        assert_eq!((record.loss_scale, record.clip_factor, record.norm), (5.0, 0.5, -5.0));
        assert_eq!((record.scalar(0, "lr"), record.scalar(0, "weight_decay")), (Some(5.25), Some(7.0)));
        assert_eq!((record.scalar(1, "lr"), record.scalar(0, "momentum")), (None, None));
    }

    #[test]
    fn a_record_of_which_any_words_are_another_calls_is_not_read() {
        let layout = layout(1);
        let (old, new) = (ring(&layout), ring(&layout));
        write(&layout, &old, 40);
        write(&layout, &new, 41);
        let words = layout.words();
        for mixture in 1..(1u32 << words) - 1 {
            let word = |k: usize| if mixture >> k & 1 == 1 { &new[k] } else { &old[k] };
            let mixed: Vec<_> = (0..words).map(|k| AtomicU64::new(word(k).load(Ordering::Relaxed))).collect();
            let taken = layout.read(&mixed[..], Progress { next: 40, lost: 0 });
            assert!(taken.records.is_empty() && taken.progress.next == 40, "mixture {mixture:b}");
        }
    }

    #[test]
    fn a_torn_record_holds_back_those_after_it_until_it_is_whole() {
        let layout = layout(4);
        let ring = ring(&layout);
        for call in 0..3 {
            write(&layout, &ring, call);
        }
        let torn = ring[layout.words_per_record() + 2].swap(0, Ordering::Relaxed);
        let taken = layout.read(&ring, START);
        assert_eq!((taken.records.len(), taken.progress), (1, Progress { next: 1, lost: 0 }));
        ring[layout.words_per_record() + 2].store(torn, Ordering::Relaxed);
        assert_eq!(layout.read(&ring, taken.progress).records.len(), 2);
    }

    #[test]
    fn what_is_next_in_line_is_read_though_the_writer_laps_the_reader_in_the_middle_of_a_look() {
        let layout = layout(4);
        let ring = ring(&layout);
        // Slots 0 and 1 were seen before the writer went on to call 7, slots 2 and 3 after it.
        for call in [0, 1, 6, 7] {
            write(&layout, &ring, call);
        }
        let taken = layout.read(&ring, START);
        let calls: Vec<u64> = taken.records.iter().map(|record| record.call()).collect();
        assert_eq!((calls, taken.progress), (vec![0, 1, 6, 7], Progress { next: 8, lost: 4 }));
    }

    #[test]
    fn calls_past_two_to_the_32_keep_their_numbers() {
        let layout = layout(4);
        let ring = ring(&layout);
        let first = u64::from(u32::MAX) - 1;
        for call in first..first + 4 {
            write(&layout, &ring, call);
        }
        let taken = layout.read(&ring, Progress { next: first, lost: 0 });
        let calls: Vec<u64> = taken.records.iter().map(|record| record.call()).collect();
        assert_eq!(calls, [first, first + 1, first + 2, first + 3]);
    }
}
