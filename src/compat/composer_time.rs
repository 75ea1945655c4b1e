//! Composer's times, `"10ba"`, `"1ep"`, `"0.5dur"`, `"3e9tok"`: as spans of what a schedule counts.
//!
//! As `Time.from_timestring` reads them and `_convert_time` of `composer/optim/scheduler.py` converts them (Composer 0.32.1): an epoch
//! is so many batches, a fraction of the duration is in the duration's own unit, and all are rounded down. Batches are steps; samples
//! and tokens are counted by the progress clock, of which there is one.

use std::cell::Cell;

use super::Arguments;
use crate::error::{Error, Result};
use crate::schedule::Schedule;

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Batches,
    Samples,
    Tokens,
}

/// A time as it is written. Only fractions of the duration may have a fraction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Epochs,
    Duration,
    Counted(Unit),
    Iterations,
    Seconds,
}

/// The units of Composer, as they stand after a number.
const UNITS: [(&str, Written); 7] = [
    ("iter", Written::Iterations),
    ("ep", Written::Epochs),
    ("ba", Written::Counted(Unit::Batches)),
    ("sp", Written::Counted(Unit::Samples)),
    ("tok", Written::Counted(Unit::Tokens)),
    ("dur", Written::Duration),
    ("sec", Written::Seconds),
];

/// A time that Composer has converted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub count: u64,
    pub unit: Unit,
}

impl Span {
    /// `schedule`, which counts in this span's unit.
    pub fn clock(self, schedule: Schedule) -> Schedule {
        self.unit.clock(schedule)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.count, self.unit.name())
    }
}

impl Unit {
    pub const ALL: [Unit; 3] = [Unit::Batches, Unit::Samples, Unit::Tokens];

    pub fn name(self) -> &'static str {
        UNITS.iter().find(|(_, unit)| *unit == Written::Counted(self)).map_or("", |(name, _)| name)
    }

    /// `schedule`, which counts in this unit, on the clock that counts it.
    pub fn clock(self, schedule: Schedule) -> Schedule {
        if self == Unit::Batches { schedule } else { schedule.on_progress() }
    }
}

/// What the trainer knows of time.
pub(super) struct Clock {
    /// The length of the training, `scale_schedule_ratio` included.
    pub duration: Span,
    /// Its unit as it is written, and that unit's name.
    written: Written,
    epoch: Option<u64>,
    /// Batches in a unit of the training's length, and how many of those units. Composer multiplies one after the other.
    length: [f64; 2],
    ratio: f64,
    /// What the progress clock counts, once a time needs it.
    progress: Cell<Option<Unit>>,
}

impl Clock {
    pub fn read(read: &mut Arguments) -> Result<Clock> {
        let ratio = read.f64_or("scale_schedule_ratio", 1.0)?;
        if ratio <= 0.0 {
            return Err(read.error("scale_schedule_ratio", ratio, "must be above 0"));
        }
        let epoch = read.optional_steps("dataloader_len")?;
        // A number alone is of epochs.
        let text = match read.peek("max_duration").and_then(serde_json::Value::as_u64) {
            None => read.text("max_duration")?,
            Some(epochs) => {
                read.value("max_duration");
                format!("{epochs}ep")
            }
        };
        let error = |rule: &str| read.error("max_duration", &text, rule);
        let (value, written) = parse(&text).map_err(error)?;
        let scaled = (value * ratio).trunc();
        let (length, unit) = match written {
            Written::Counted(unit) => ([1.0, scaled], unit),
            Written::Epochs => match epoch {
                Some(epoch) => ([epoch as f64, scaled], Unit::Batches),
                None => return Err(no_epoch(read, "max_duration", &text)),
            },
            _ => return Err(error("must be in ba, ep, sp or tok")),
        };
        let count = count(length[0] * length[1]).map_err(error)?;
        if count == 0 {
            return Err(error("must not come to 0: no training would occur"));
        }
        let duration = Span { count, unit };
        Ok(Clock { duration, written, epoch, length, ratio, progress: Cell::new(None) })
    }

    /// What the progress clock has to count for the times that were read; None if they are all in batches.
    pub fn progress(&self) -> Option<Unit> {
        self.progress.get()
    }

    /// The argument `name`, scaled.
    pub fn scaled(&self, read: &mut Arguments, name: &str, default: Option<&str>) -> Result<Span> {
        let text = read.optional_text(name)?.or(default.map(str::to_owned)).ok_or_else(|| read.missing(name))?;
        self.span(read, name, &text, self.ratio)
    }

    /// The argument `name`, as if the schedule were not scaled.
    pub fn unscaled(&self, read: &Arguments, name: &str) -> Result<Span> {
        let text = read.clone().text(name)?;
        self.span(read, name, &text, 1.0)
    }

    /// [`Clock::scaled`] by which Composer divides.
    pub fn divisor(&self, read: &mut Arguments, name: &str, default: Option<&str>) -> Result<Span> {
        match self.scaled(read, name, default)? {
            Span { count: 0, unit } => {
                let rule = "must be at least 1: Composer divides by it";
                Err(read.error(name, format!("0{}", unit.name()), rule))
            }
            span => Ok(span),
        }
    }

    /// Each time of the list `name`, scaled.
    pub fn scaled_list(&self, read: &mut Arguments, name: &str) -> Result<Vec<Span>> {
        let list = read.list(name)?;
        let time = |(i, value): (usize, &serde_json::Value)| {
            let name = format!("{name}[{i}]");
            match value.as_str() {
                Some(text) => self.span(read, &name, text, self.ratio),
                None => Err(read.error(&name, value, "must be a text")),
            }
        };
        list.iter().enumerate().map(time).collect()
    }

    /// Refuses the argument `name` unless it is written in the unit that `max_duration` is written in.
    pub fn expect_unit_of_duration(&self, read: &Arguments, name: &str) -> Result<()> {
        let text = read.clone().text(name)?;
        match parse(&text) {
            Ok((_, written)) if written == self.written => Ok(()),
            Ok(_) => Err(read.error(name, &text, "must be in the unit of max_duration, which llm-foundry compares")),
            Err(rule) => Err(read.error(name, &text, rule)),
        }
    }

    /// Rounded down where Composer does. A fraction of the duration is of the scaled one already.
    fn span(&self, read: &Arguments, name: &str, text: &str, ratio: f64) -> Result<Span> {
        let error = |rule: &str| read.error(name, text, rule);
        let (value, written) = parse(text).map_err(error)?;
        let (value, unit) = match (written, self.epoch) {
            (Written::Counted(unit), _) => (value * ratio, unit),
            (Written::Epochs, Some(epoch)) => (value * epoch as f64 * ratio, Unit::Batches),
            (Written::Epochs, None) => return Err(no_epoch(read, name, text)),
            (Written::Duration, _) => (value * self.length[0] * self.length[1], self.duration.unit),
            (Written::Iterations, _) => return Err(error("is in iterations, whose length only the trainer knows")),
            (Written::Seconds, _) => return Err(error("is in wall-clock time, which Composer allows no schedule")),
        };
        match (unit, self.progress.get()) {
            (Unit::Batches, _) => {}
            (unit, Some(other)) if unit != other => {
                return Err(error("must not count samples where another time counts tokens: one clock counts either"));
            }
            (unit, _) => self.progress.set(Some(unit)),
        }
        Ok(Span { count: count(value).map_err(error)?, unit })
    }
}

/// That epochs are of no known length.
fn no_epoch(read: &Arguments, name: &str, text: &str) -> Error {
    read.error("dataloader_len", "missing", format!("must be given, the batches of an epoch, since {name} is {text}"))
}

/// A whole count, of which two can be added.
fn count(value: f64) -> Result<u64, &'static str> {
    if value < 2f64.powi(63) { Ok(value as u64) } else { Err("must come to less than 2^63") }
}

/// A number and its unit, as Python reads them.
fn parse(text: &str) -> Result<(f64, Written), &'static str> {
    let plain = text.trim().to_ascii_lowercase();
    let clock = |c: char| c.is_ascii_digit() || matches!(c, 'h' | 'm' | 's');
    if plain.starts_with(|c: char| c.is_ascii_digit()) && plain.ends_with(['h', 'm', 's']) && plain.chars().all(clock) {
        return Ok((0.0, Written::Seconds));
    }
    let found = UNITS.iter().find_map(|(name, unit)| Some((plain.strip_suffix(name)?, *unit)));
    let (digits, written) = found.ok_or("must be a number and one of ba, ep, dur, sp and tok")?;
    let value: f64 = digits.trim().replace('_', "").parse().map_err(|_| "must be a number and its unit")?;
    match written {
        _ if !(value.is_finite() && value >= 0.0) => Err("must not be negative"),
        Written::Duration => Ok((value, written)),
        _ if value.fract() != 0.0 => Err("must be a whole number of its unit: only dur takes fractions"),
        _ => Ok((value, written)),
    }
}
