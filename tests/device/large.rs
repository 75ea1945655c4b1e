//! A tensor of more than 2^33 elements (2^32 on a GPU): places and bytes that no 32 bits hold. The stand-in has sparse memory for it and runs
//! the blocks at both ends alone, of which the patched kernels then count no more; a GPU runs all of it, if it has the memory.
//! On the stand-in in a process of its own, since compiled images are cached per process.

use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use cudarc::driver::CudaSlice;
use instep::{AdamW, Buffer, Clip, Optimizer, ParamForm, Precision, Sgd, Tensor, Tuning};

use crate::rig::Rig;
use crate::values::assert_same_bits;

/// Elements of a tile and of a norm block.
const TILE: usize = 4_096;
/// Blocks that run at each end. The last section of the norm has as many.
const BLOCKS: usize = 4;
/// Those whose gradients are not 0. Block 0 of the update looks ahead, so at the front it has one tile less.
const FRONT: Range<usize> = 0..BLOCKS * TILE;

/// The same at the end of `big` elements and some more: the last tile is none, and ends within a vector.
fn back(big: usize) -> Range<usize> {
    big..big + (BLOCKS - 1) * TILE + 1_003
}

/// What runs on the stand-in, and what the kernels are told of it.
const PATCHES: [(&str, &str); 2] = [
    ("blocks = tiles + 1;", "blocks = tiles < 8 ? tiles + 1 : 8;"),
    // The tensor's node has 2,049 sections, of which the first and the last one are there.
    (
        "if (!arrives_last<NORM, 1>((u32*)(step.ticket + 1) + parent, scratch, node.arrivals)) return;",
        "const u32 arrivals = node.arrivals > 1024 ? 2 : node.arrivals > 4 ? 4 : node.arrivals;
    if (!arrives_last<NORM, 1>((u32*)(step.ticket + 1) + parent, scratch, arrivals)) return;",
    ),
];

/// Multiples of 2^-10 below 1: their squares add up without rounding.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7_919 + seed) % 2_047) as f32 / 1_024.0 - 1.0).collect()
}

/// The whole tensor, zero but for its ends; None where memory is short.
fn allocate(rig: &Rig, back_at: Range<usize>, front: &[f32], back: &[f32]) -> Option<CudaSlice<f32>> {
    let mut slice = match rig.standin {
        // SAFETY: sparse memory holds zeros.
        Some(_) => unsafe { rig.engine.alloc::<f32>(back_at.end) }.unwrap(),
        None => rig.engine.alloc_zeros::<f32>(back_at.end).ok()?,
    };
    rig.engine.memcpy_htod(front, &mut slice.slice_mut(FRONT)).unwrap();
    rig.engine.memcpy_htod(back, &mut slice.slice_mut(back_at)).unwrap();
    Some(slice)
}

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("a GPU runs it in the test below");
    standin.sparse_memory(1 << 37);
    standin.run_only(BLOCKS as u32, BLOCKS as u32);
    PATCHES.iter().for_each(|(from, to)| standin.patch(from, to));
    run(&rig, 1 << 33);
}

/// A tensor of `big` elements and some more.
fn run(rig: &Rig, big: usize) {
    let last = back(big);
    let params = [values(FRONT.len(), 1), values(last.len(), 2)];
    let grads = [values(FRONT.len(), 3), values(last.len(), 4)];
    let Some(param) = allocate(rig, last.clone(), &params[0], &params[1]) else {
        return println!("skipped: too little memory");
    };
    let Some(grad) = allocate(rig, last.clone(), &grads[0], &grads[1]) else {
        return println!("skipped: too little memory");
    };
    let address = |slice: &CudaSlice<f32>| cudarc::driver::DevicePtr::device_ptr(slice, slice.stream()).0;
    // SAFETY: the slices outlive the optimizer, and everything is ordered on one stream.
    let tensor = unsafe { Tensor::f32(address(&param), address(&grad), last.end as u64) };
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.5), &[tensor]);
    let tuning = Tuning { vectors: 4, ..Tuning::default() };
    let mut opt = builder.clip(Clip::torch_norm(1.0)).tuning(tuning).build().unwrap();

    let norm = grads.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let factor = (1.0 / (norm + 1e-6)) as f32;
    let mut expected = params;
    for step in 0..2 {
        opt.step(&rig.stream).unwrap();
        for (p, g) in expected.iter_mut().flatten().zip(grads.iter().flatten()) {
            *p = (-0.5f32).mul_add(*g * factor, *p);
        }
        rig.finish();
        let [front, back] = [FRONT.start..FRONT.end - TILE, last.clone()]
            .map(|range| rig.read(address(&param) + 4 * range.start as u64, range.len()));
        assert_same_bits(&front, &expected[0][..front.len()], &format!("step {step}, the first tiles"));
        assert_same_bits(&back, &expected[1], &format!("step {step}, the last tiles"));
        assert_eq!(opt.status(&rig.stream).unwrap().norm, norm, "step {step}");
    }
}

#[test]
fn a_tensor_of_more_elements_than_32_bits_count_is_updated_and_measured_at_both_ends() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        run(&rig, 1 << 32);
        return sixteen_bits(&rig);
    }
    drop(rig);
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "large::scenario", "--ignored", "--nocapture"]);
    let output = process.env("INSTEP_TEST_DEVICE", "standin").env("INSTEP_CACHE_DIR", "0").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

/// 2^32 + 5 elements of sixteen bits, the last of which do not fill a vector: on a GPU.
fn sixteen_bits(rig: &Rig) {
    const LEN: usize = (1 << 32) + 5;
    let ends = [0..4_096, LEN - 4_096..LEN];
    let halves = |seed: usize| -> Vec<u16> {
        values(4_096, seed).into_iter().map(|x| half::bf16::from_f32(x).to_bits()).collect()
    };
    let fill = |seeds: [usize; 2]| {
        let mut slice = rig.engine.alloc_zeros::<u16>(LEN).ok()?;
        for (range, seed) in ends.iter().zip(seeds) {
            rig.engine.memcpy_htod(&halves(seed), &mut slice.slice_mut(range.clone())).unwrap();
        }
        Some(slice)
    };
    let (Some(param), Some(grad)) = (fill([1, 2]), fill([3, 4])) else { return println!("skipped: too little memory") };
    let address = |slice: &CudaSlice<u16>| cudarc::driver::DevicePtr::device_ptr(slice, slice.stream()).0;
    let buffer = |slice| Buffer::bf16(address(slice), LEN as u64);
    // SAFETY: the slices outlive the optimizer, and everything is ordered on one stream.
    let tensor = unsafe { Tensor::new(buffer(&param), buffer(&grad)) };
    let precision = Precision::new().param(ParamForm::Nearest);
    let builder = Optimizer::builder(&rig.device).precision(precision).group(Sgd::new(0.5), &[tensor]);
    let mut opt = builder.build().unwrap();
    opt.step(&rig.stream).unwrap();
    rig.finish();
    for (range, (p, g)) in ends.iter().zip([(1, 3), (2, 4)]) {
        let bytes = rig.read_bytes(address(&param) + 2 * range.start as u64, 2 * range.len());
        let found: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect();
        let wide = |bits: &u16| half::bf16::from_bits(*bits).to_f32();
        let pairs = halves(p).into_iter().zip(halves(g));
        let expected: Vec<u16> =
            pairs.map(|(p, g)| half::bf16::from_f32((-0.5f32).mul_add(wide(&g), wide(&p))).to_bits()).collect();
        assert!(found == expected, "elements {range:?}");
    }
    println!("2^32 + 5 elements of bf16: both ends as expected");
}

/// AdamW over `count` tensors of `len` elements, which lie in one allocation, and how long its build took.
fn many(rig: &Rig, count: usize, len: u64, [params, grads]: [u64; 2]) -> (Optimizer, Duration) {
    let tensor = |i: u64| {
        // SAFETY: the slices outlive the optimizer, and everything is ordered on one stream.
        unsafe { Tensor::f32(params + 4 * len * i, grads + 4 * len * i, len) }.name(format!("tensor {i}"))
    };
    let tensors: Vec<Tensor> = (0..count as u64).map(tensor).collect();
    let begin = Instant::now();
    let opt = Optimizer::builder(&rig.device).group(AdamW::new(1e-3), &tensors).build().unwrap();
    (opt, begin.elapsed())
}

#[test]
fn a_tensor_takes_64_bytes_of_tables() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: the stand-in counts bytes") };
    const COUNT: usize = 20_000;
    let [params, grads] = [1.0, 0.5].map(|value| rig.array(&vec![value; 64 * COUNT], 0));
    let mut bytes = |count: usize| {
        let before = standin.live_bytes();
        let (opt, _) = many(&rig, count, 64, [params.address(), grads.address()]);
        let bytes = standin.live_bytes() - before;
        drop(opt);
        bytes
    };
    let [fewer, more] = [COUNT / 2, COUNT].map(&mut bytes);
    // Two states, and a tile for each pack of at least eight.
    let tensors = COUNT as u64 / 2;
    let tables = more - fewer - tensors * 2 * 256;
    assert!(tables <= tensors * 64 + tensors / 8 * 16, "{} B a tensor", tables as f64 / tensors as f64);
    println!("{:.1} B of tables a tensor, tiles included", tables as f64 / tensors as f64);
}

#[test]
fn a_million_tensors_are_built_in_seconds_and_updated_at_both_ends() {
    let Some(rig) = Rig::new() else { return };
    const COUNT: usize = 1_000_000;
    let [params, grads] = [1.0, 0.5].map(|value| rig.array(&vec![value; 4 * COUNT], 0));
    let (mut opt, took) = many(&rig, COUNT, 4, [params.address(), grads.address()]);
    println!("a million tensors: built in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    opt.step(&rig.stream).unwrap();
    rig.finish();
    let all = params.read(&rig);
    assert!(all.iter().all(|x| *x == all[0]) && all[0] < 1.0);
    assert_eq!(opt.tensors().len(), COUNT);
}
