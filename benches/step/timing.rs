//! How long steps take: device time by events around bursts of steps, host time by a clock around their enqueueing, and
//! what is made of many samples.

use std::time::{Duration, Instant};

use crate::driver::{Events, Gpu, Result};

/// What a row takes, warm-up included.
pub const ROW: Duration = Duration::from_millis(330);

/// The middle of some samples and where most of them lie: the 10th and the 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub samples: usize,
}

impl Spread {
    /// A value that was measured once.
    pub fn single(value: f64) -> Spread {
        Spread { median: value, low: value, high: value, samples: 1 }
    }

    /// None without samples.
    pub fn of(mut samples: Vec<f64>) -> Option<Spread> {
        samples.sort_by(f64::total_cmp);
        let last = samples.len().checked_sub(1)?;
        let at = |share: f64| samples[(share * last as f64).round() as usize];
        Some(Spread { median: at(0.5), low: at(0.1), high: at(0.9), samples: samples.len() })
    }
}

/// Nanoseconds per step.
#[derive(Clone, Debug)]
pub struct Timing {
    pub device: Spread,
    pub host: Spread,
    /// The device's samples, one a round: those of one round were taken one after the other.
    pub rounds: Vec<f64>,
}

/// A burst fills this much device time, if the bounds on its length allow it.
const BURST: Duration = Duration::from_millis(5);
/// Steps of the shortest burst.
const MIN_STEPS: usize = 2;
const MIN_SAMPLES: usize = 5;
const MAX_SAMPLES: usize = 50;
/// The share of a row that warms up: kernels are loaded, clocks rise, and a burst's length is found.
const WARM_UP: u32 = 8;

/// Times several contestants in turn, a burst of each, over and over, for `row` each: what drifts, drifts for all of them.
/// `advance(i)` enqueues `per_call[i]` steps of contestant `i`. A burst has at most `max_calls` calls, so that no queue
/// fills and stops the host.
pub fn time(
    gpu: &Gpu,
    row: Duration,
    max_calls: usize,
    per_call: &[usize],
    mut advance: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Timing>> {
    let events = Events::new()?;
    // Nanoseconds per step on the device and on the host.
    let mut burst = |i: usize, calls: usize| -> Result<(f64, f64)> {
        let mut host = Duration::ZERO;
        let seconds = gpu.seconds(&events, || {
            let start = Instant::now();
            (0..calls).try_for_each(|_| advance(i))?;
            host = start.elapsed();
            Ok(())
        })?;
        let steps = (calls * per_call[i]) as f64;
        Ok((seconds * 1e9 / steps, host.as_nanos() as f64 / steps))
    };

    let end = Instant::now() + row * per_call.len() as u32;
    let mut lengths = Vec::new();
    for (i, per_call) in per_call.iter().enumerate() {
        let start = Instant::now();
        let least = MIN_STEPS.div_ceil(*per_call);
        let mut calls = least;
        burst(i, calls)?; // loads, and is no measure of what follows
        let step = loop {
            let (device, host) = burst(i, calls)?;
            if start.elapsed() >= row / WARM_UP {
                break device.max(host);
            }
            calls = (2 * calls).min(max_calls);
        };
        let fill = BURST.as_nanos() as f64 / (step * *per_call as f64);
        lengths.push((fill as usize).clamp(least, max_calls));
    }
    let mut samples = vec![(Vec::new(), Vec::new()); per_call.len()];
    for round in 0..MAX_SAMPLES {
        if round >= MIN_SAMPLES && Instant::now() >= end {
            break;
        }
        for (i, (device, host)) in samples.iter_mut().enumerate() {
            let sample = burst(i, lengths[i])?;
            device.push(sample.0);
            host.push(sample.1);
        }
    }
    let timing = |(device, host): (Vec<f64>, Vec<f64>)| {
        Some(Timing { device: Spread::of(device.clone())?, host: Spread::of(host)?, rounds: device })
    };
    Ok(samples.into_iter().filter_map(timing).collect())
}
