//! Work on the CPU that Criterion times, and the samples of it for the table.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};

use crate::timing::Spread;

const SAMPLES: usize = 12;

/// Something to time, with what it moves.
pub struct Work {
    pub name: String,
    pub size: String,
    /// The table's time is that of one item.
    pub items: u64,
    /// Bytes that one run reads and writes; 0 where that is not the question.
    pub bytes: u64,
    /// One run. It fails rather than go on with a wrong answer.
    pub run: Box<dyn FnMut()>,
}

impl Work {
    pub fn new(name: impl Into<String>, size: impl Into<String>, run: impl FnMut() + 'static) -> Work {
        Work { name: name.into(), size: size.into(), items: 1, bytes: 0, run: Box::new(run) }
    }

    /// Times it in `group`. None if the command line filters it out.
    pub fn measure(&mut self, group: &mut BenchmarkGroup<'_, WallTime>) -> Option<Spread> {
        group
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_millis(1_200));
        group.throughput(if self.bytes > 0 { Throughput::Bytes(self.bytes) } else { Throughput::Elements(self.items) });
        let mut samples = Vec::new();
        group.bench_function(format!("{}, {}", self.name, self.size), |bencher| {
            bencher.iter_custom(|runs| {
                let start = Instant::now();
                for _ in 0..runs {
                    (self.run)();
                }
                let elapsed = start.elapsed();
                samples.push(elapsed.as_nanos() as f64 / (runs * self.items) as f64);
                elapsed
            });
        });
        // Before the samples that count come those of the warm-up.
        Spread::of(samples.split_off(samples.len().saturating_sub(SAMPLES)))
    }
}
