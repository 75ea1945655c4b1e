//! Composer's times, `"10ba"`, `"1ep"`, `"0.5dur"`, in batches.

use super::Arguments;
use crate::error::{Error, Result};

/// What the trainer knows of time.
pub(super) struct Clock {
    /// The length of the training in batches, `scale_schedule_ratio` included.
    pub duration: u64,
    epoch: Option<u64>,
    /// Batches in a unit of the training's length, and how many of those units. Composer multiplies one after the other.
    length: [f64; 2],
    ratio: f64,
}

enum Time {
    Batches(f64),
    Epochs(f64),
    Duration(f64),
}

impl Clock {
    pub fn read(read: &mut Arguments) -> Result<Clock> {
        let ratio = read.f64_or("scale_schedule_ratio", 1.0)?;
        if ratio <= 0.0 {
            return Err(read.error("scale_schedule_ratio", ratio, "must be above 0"));
        }
        let epoch = read.optional_steps("dataloader_len")?;
        let text = read.text("max_duration")?;
        let length = match (parse(&text), epoch) {
            (Some(Time::Batches(batches)), _) => [1.0, (batches * ratio).trunc()],
            (Some(Time::Epochs(epochs)), Some(epoch)) => [epoch as f64, (epochs * ratio).trunc()],
            _ => {
                let rule = "must be in ba, or in ep if dataloader_len is given";
                return Err(read.error("max_duration", text, rule));
            }
        };
        Ok(Clock { duration: (length[0] * length[1]) as u64, epoch, length, ratio })
    }

    /// The argument `name` in batches, scaled.
    pub fn scaled(&self, read: &mut Arguments, name: &str, default: Option<&str>) -> Result<u64> {
        let text = read.optional_text(name)?.or(default.map(str::to_owned)).ok_or_else(|| read.missing(name))?;
        self.batches(&text, self.ratio).map_err(|rule| read.error(name, text, rule))
    }

    /// The argument `name` in batches, as if the schedule were not scaled.
    pub fn unscaled(&self, read: &Arguments, name: &str) -> Result<u64> {
        let text = read.clone().text(name)?;
        self.batches(&text, 1.0).map_err(|rule| read.error(name, text, rule))
    }

    /// [`Clock::scaled`] by which Composer divides.
    pub fn divisor(&self, read: &mut Arguments, name: &str, default: Option<&str>) -> Result<u64> {
        match self.scaled(read, name, default)? {
            0 => Err(read.error(name, "0 batches", "must be at least 1: Composer divides by it")),
            batches => Ok(batches),
        }
    }

    /// Each time of the list `name` in batches, scaled.
    pub fn scaled_list(&self, read: &mut Arguments, name: &str) -> Result<Vec<u64>> {
        let list = read.list(name)?;
        let time = |(i, value): (usize, &serde_json::Value)| {
            let text = value.as_str().unwrap_or_default();
            self.batches(text, self.ratio).map_err(|rule| -> Error { read.error(&format!("{name}[{i}]"), value, rule) })
        };
        list.iter().enumerate().map(time).collect()
    }

    /// Rounded down where Composer does. A fraction of the duration is of the scaled one already.
    fn batches(&self, text: &str, ratio: f64) -> Result<u64, &'static str> {
        let batches = match (parse(text), self.epoch) {
            (Some(Time::Batches(batches)), _) => batches * ratio,
            (Some(Time::Epochs(epochs)), Some(epoch)) => epochs * epoch as f64 * ratio,
            (Some(Time::Epochs(_)), None) => return Err("must be in batches, since dataloader_len is not given"),
            (Some(Time::Duration(fraction)), _) => fraction * self.length[0] * self.length[1],
            (None, _) => return Err("must be a time in ba, ep or dur; samples, tokens and seconds are other clocks"),
        };
        Ok(batches as u64)
    }
}

/// None if it is no time, or not in a unit that counts batches. Only fractions of the duration may have a fraction.
fn parse(text: &str) -> Option<Time> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = text.split_at(unit);
    let value: f64 = digits.parse().ok().filter(|value: &f64| *value >= 0.0)?;
    match unit {
        "ba" if value.fract() == 0.0 => Some(Time::Batches(value)),
        "ep" if value.fract() == 0.0 => Some(Time::Epochs(value)),
        "dur" => Some(Time::Duration(value)),
        _ => None,
    }
}
