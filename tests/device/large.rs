//! A tensor of more than 2^32 elements: places and bytes that no 32 bits hold. The stand-in has sparse memory for it and runs
//! the blocks at both ends alone, of which the patched kernels then count no more; a GPU runs all of it, if it has the memory.
//! On the stand-in in a process of its own, since compiled images are cached per process.

use std::ops::Range;
use std::process::Command;

use cudarc::driver::CudaSlice;
use instep::{Clip, Optimizer, Sgd, Tensor, Tuning};

use crate::rig::Rig;
use crate::values::assert_same_bits;

/// Elements of a tile and of a norm block.
const TILE: usize = 4_096;
/// Blocks that run at each end. The last section of the norm has as many.
const BLOCKS: usize = 4;
/// The last tile is none, and ends within a vector.
const LEN: usize = (1 << 32) + (BLOCKS - 1) * TILE + 1_003;
/// Those whose gradients are not 0. Block 0 of the update looks ahead, so at the front it has one tile less.
const FRONT: Range<usize> = 0..BLOCKS * TILE;
const BACK: Range<usize> = 1 << 32..LEN;
/// What runs on the stand-in, and what the kernels are told of it.
const PATCHES: [(&str, &str); 2] = [
    ("blocks = tiles + 1;", "blocks = tiles < 8 ? tiles + 1 : 8;"),
    // The tensor's node has 1,025 sections, of which the first and the last one are there.
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
fn allocate(rig: &Rig, front: &[f32], back: &[f32]) -> Option<CudaSlice<f32>> {
    let mut slice = match rig.standin {
        // SAFETY: sparse memory holds zeros.
        Some(_) => unsafe { rig.engine.alloc::<f32>(LEN) }.unwrap(),
        None => rig.engine.alloc_zeros::<f32>(LEN).ok()?,
    };
    rig.engine.memcpy_htod(front, &mut slice.slice_mut(FRONT)).unwrap();
    rig.engine.memcpy_htod(back, &mut slice.slice_mut(BACK)).unwrap();
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
    run(&rig);
}

fn run(rig: &Rig) {
    let params = [values(FRONT.len(), 1), values(BACK.len(), 2)];
    let grads = [values(FRONT.len(), 3), values(BACK.len(), 4)];
    let Some(param) = allocate(rig, &params[0], &params[1]) else { return println!("skipped: too little memory") };
    let Some(grad) = allocate(rig, &grads[0], &grads[1]) else { return println!("skipped: too little memory") };
    let address = |slice: &CudaSlice<f32>| cudarc::driver::DevicePtr::device_ptr(slice, slice.stream()).0;
    // SAFETY: the slices outlive the optimizer, and everything is ordered on one stream.
    let tensor = unsafe { Tensor::f32(address(&param), address(&grad), LEN as u64) };
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
        let [front, back] = [FRONT.start..FRONT.end - TILE, BACK]
            .map(|range| rig.read(address(&param) + 4 * range.start as u64, range.len()));
        assert_same_bits(&front, &expected[0][..front.len()], &format!("step {step}, the first tiles"));
        assert_same_bits(&back, &expected[1], &format!("step {step}, the last tiles"));
        assert_eq!(opt.status(&rig.stream).unwrap().norm, norm, "step {step}");
    }
}

#[test]
fn a_tensor_of_more_than_2_to_the_32_elements_is_updated_and_measured_at_both_ends() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return run(&rig);
    }
    drop(rig);
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "large::scenario", "--ignored", "--nocapture"]);
    let output = process.env("INSTEP_TEST_DEVICE", "standin").env("INSTEP_CACHE_DIR", "0").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}
