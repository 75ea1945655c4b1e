//! How long steps take: device time by events around bursts of steps, host time by a clock around their enqueueing, and
//! what is made of many samples.

use std::time::{Duration, Instant};

use crate::driver::{Events, Gpu, Result};

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
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub device: Spread,
    pub host: Spread,
}

/// A burst fills this much device time, if the bounds on its length allow it.
const BURST: Duration = Duration::from_millis(10);
/// Steps of the shortest burst.
const MIN_STEPS: usize = 4;
const MIN_SAMPLES: usize = 5;
const MAX_SAMPLES: usize = 50;

/// Times several contestants in turn, a burst of each, over and over within `budget`: what drifts, drifts for all of them.
/// `advance(i)` enqueues `per_call[i]` steps of contestant `i`. A burst has at most `max_calls` calls, so that no queue
/// fills and stops the host.
pub fn time(
    gpu: &Gpu,
    budget: Duration,
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

    let mut calls = Vec::new();
    for (i, per_call) in per_call.iter().enumerate() {
        // The first calls load and warm; the next show how long a burst has to be.
        let least = MIN_STEPS.div_ceil(*per_call);
        burst(i, least)?;
        let (device, host) = burst(i, least)?;
        let call = device.max(host) * *per_call as f64;
        calls.push(((BURST.as_nanos() as f64 / call) as usize).clamp(least, max_calls));
    }
    let mut samples = vec![(Vec::new(), Vec::new()); per_call.len()];
    let start = Instant::now();
    for round in 0..MAX_SAMPLES {
        if round >= MIN_SAMPLES && start.elapsed() >= budget {
            break;
        }
        for (i, (device, host)) in samples.iter_mut().enumerate() {
            let sample = burst(i, calls[i])?;
            device.push(sample.0);
            host.push(sample.1);
        }
    }
    let timing = |(device, host)| Some(Timing { device: Spread::of(device)?, host: Spread::of(host)? });
    Ok(samples.into_iter().filter_map(timing).collect())
}
