//! The CPU backend: bandwidth of a step beside that of a plain copy and a triad on the same cores, and the time of a build.

use std::hint::black_box;

use instep::{Device, Optimizer, OptimizerBuilder, Stream, Tensor};
use rayon::prelude::*;

use crate::rule::{Rule, schedule};
use crate::work::Work;

pub const ELEMENTS: u64 = 10_000_000;
const PIECE: usize = 1 << 15;

/// References for the bandwidth of this machine's memory. `elements` f32 in each array.
pub fn references(elements: u64) -> Vec<Work> {
    let len = elements as usize;
    let size = format!("{} MB", 4 * elements * 3 / 1_000_000);
    let (mut a, b, c) = (vec![0.0f32; len], vec![1.0f32; len], vec![2.0f32; len]);
    let triad = Work::new("memory: triad, all cores", size, move || {
        let inputs = b.par_chunks(PIECE).zip(c.par_chunks(PIECE));
        a.par_chunks_mut(PIECE).zip(inputs).for_each(|(a, (b, c))| {
            a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + 0.5 * c);
        });
        assert_eq!(black_box(&a).last(), Some(&2.0));
    });
    let (mut to, from) = (vec![0.0f32; len], vec![1.0f32; len]);
    let copy = Work::new("memory: copy, all cores", format!("{} MB", 4 * elements * 2 / 1_000_000), move || {
        to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
        assert_eq!(black_box(&to).last(), Some(&1.0));
    });
    vec![Work { bytes: 8 * elements, ..copy }, Work { bytes: 12 * elements, ..triad }]
}

/// A step over one tensor of `elements`.
pub fn steps(elements: u64) -> Vec<Work> {
    Rule::ALL
        .map(|rule| row(format!("{}, CPU backend", rule.name()), elements, |b, t| rule.group(b, schedule(), t)))
        .into()
}

/// The same of rules that are interpreted, each beside the compiled one: a tensor in the cache, and one that is in none.
pub fn interpreted() -> Vec<Work> {
    let pair = |(rule, elements): (Rule, u64)| {
        let name = |form: &str| format!("{}, {form}, CPU backend", rule.name());
        let interpreted = move |builder: OptimizerBuilder, tensors: &[Tensor]| {
            builder.group(rule.interpreted(schedule()).expect("a rule of the crate's own"), tensors)
        };
        [
            row(name("compiled"), elements, |b, t| rule.group(b, schedule(), t)),
            row(name("interpreted"), elements, interpreted),
        ]
    };
    let sizes = [1 << 11, 1 << 22].into_iter();
    sizes.flat_map(|elements| [(Rule::AdamW, elements), (Rule::SgdMomentum, elements)]).flat_map(pair).collect()
}

/// `add` adds the rule to a builder.
fn row(name: String, elements: u64, add: impl Fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder) -> Work {
    let mut param = noise(elements, 0);
    let grad = noise(elements, 1);
    // SAFETY: the work owns both vectors, which do not move, and the optimizer, which runs while nobody else touches them.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, elements) };
    let mut optimizer = add(Optimizer::builder(&Device::host()), &[tensor]).build().expect("a valid optimizer");
    let bytes = elements * optimizer.tensors().map(|tensor| tensor.bytes_per_param as u64).sum::<u64>();
    let mut before = optimizer.status(&Stream::host()).expect("on the host").t;
    let work = Work::new(name, count(elements), move || {
        optimizer.step(&Stream::host()).expect("on the host");
        let t = optimizer.status(&Stream::host()).expect("on the host").t;
        assert_eq!(t, before + 1, "one update per step");
        before = t;
        black_box((&param, &grad));
    });
    Work { bytes, ..work }
}

/// The build of an optimizer over many small tensors: checks and tables.
pub fn builds() -> Vec<Work> {
    let row = |tensors: usize| {
        let (mut param, grad) = (noise(64 * tensors as u64, 0), noise(64 * tensors as u64, 1));
        Work::new("build, CPU backend", format!("{tensors} tensors x 64"), move || {
            let tensors = (0..tensors).map(|i| {
                let offset = 4 * 64 * i as u64;
                // SAFETY: as in `row`; the optimizer is gone when the run ends.
                unsafe { Tensor::f32(param.as_mut_ptr() as u64 + offset, grad.as_ptr() as u64 + offset, 64) }
            });
            let builder =
                Rule::AdamW.group(Optimizer::builder(&Device::host()), schedule(), &tensors.collect::<Vec<_>>());
            black_box(builder.build().expect("a valid optimizer"));
        })
    };
    [148, 10_000].map(row).into()
}

/// Uniform in [-1, 1), another sequence for each seed.
pub fn noise(len: u64, seed: u64) -> Vec<f32> {
    let value = |i: u64| {
        let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(value).collect()
}

fn count(elements: u64) -> String {
    format!("1 x {} M", elements as f64 / 1e6)
}
