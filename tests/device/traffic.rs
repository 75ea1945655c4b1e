//! The bytes that a step moves beside the elements: tables, and the sums of a norm. Counted on the stand-in, where what all
//! threads of a block read counts once.

use cuda_on_cpu::{Direction, Standin};
use instep::{AdamW, Clip, Optimizer, OptimizerBuilder, Tensor, Tuning};

use crate::rig::{Array, Rig};

/// What one step moves.
#[derive(Debug, Clone, Copy)]
struct Bytes {
    load: i64,
    store: i64,
}

/// Parameters and gradients in one allocation each, cut into tensors of one length.
struct Work<'r> {
    rig: &'r Rig,
    standin: &'static Standin,
    memory: [Array; 2],
}

impl<'r> Work<'r> {
    fn new(rig: &'r Rig) -> Option<Work<'r>> {
        let Some(standin) = rig.standin else {
            println!("skipped: bytes are counted on the stand-in");
            return None;
        };
        let memory = [rig.array(&vec![1.0; ELEMENTS], 0), rig.array(&vec![0.5; ELEMENTS], 0)];
        Some(Work { rig, standin, memory })
    }

    /// The second step of AdamW over `count` tensors of `len` elements.
    fn step(&self, count: usize, len: usize, options: impl Fn(OptimizerBuilder) -> OptimizerBuilder) -> Bytes {
        let [param, grad] = [self.memory[0].address(), self.memory[1].address()];
        let tensor = |i: usize| {
            let offset = 4 * (i * len) as u64;
            // SAFETY: the arrays outlive the optimizer.
            unsafe { Tensor::f32(param + offset, grad + offset, len as u64) }
        };
        let tensors: Vec<Tensor> = (0..count).map(tensor).collect();
        let builder = Optimizer::builder(&self.rig.device).group(AdamW::new(1e-3), &tensors);
        let mut opt = options(builder).build().unwrap();
        opt.step(&self.rig.stream).unwrap();
        self.rig.finish();
        self.standin.reset_traffic();
        opt.step(&self.rig.stream).unwrap();
        self.rig.finish();
        let moved =
            |direction| [1, 2, 4, 8, 16].map(|width| self.standin.traffic(direction, width) as i64).iter().sum();
        Bytes { load: moved(Direction::Load), store: moved(Direction::Store) }
    }

    /// What the norm launch adds to it.
    fn norm(&self, count: usize, len: usize) -> Bytes {
        let with = self.step(count, len, |b| one_pack(b).clip(Clip::torch_norm(1.0)));
        let without = self.step(count, len, one_pack);
        Bytes { load: with.load - without.load, store: with.store - without.store }
    }
}

/// Cuts the work for a device that runs one block at a time.
fn one_pack(builder: OptimizerBuilder) -> OptimizerBuilder {
    builder.tuning(Tuning { wave: Some(1), ..Tuning::default() })
}

const ELEMENTS: usize = 10_000 * 64;

/// (tensors, elements of each, tiles, tiles of the norm), where one pack holds all small tensors.
const CASES: [(usize, usize, i64, i64); 8] = [
    (1, 2_048, 1, 1),
    (1, 65_536, 32, 16),
    (64, 2_048, 64, 64),
    (100, 4_096, 200, 100),
    (10, 40_960, 200, 100),
    (7, 64, 1, 1),
    (1_000, 64, 1, 1),
    (10_000, 64, 1, 1),
];

/// How often a tile looks at a tensor.
fn rows(count: usize, tiles: i64) -> i64 {
    tiles.max(count as i64)
}

#[test]
fn a_step_of_adamw_moves_28_bytes_per_parameter_and_little_beside_that_does_not_grow_for_block_0() {
    let Some(rig) = Rig::new() else { return };
    let Some(work) = Work::new(&rig) else { return };
    for (count, len, tiles, _) in CASES {
        let bytes = work.step(count, len, one_pack);
        let (elements, what) = ((count * len) as i64, format!("{count} tensors of {len} elements: {bytes:?}"));
        // A tile is 16 B, and its block reads the clock, the number of the call, the count of tiles and a record; a tensor is 64 B.
        // The warps of a pack part, and each of them counts its own read of the record, 36 B, nine reads at the most.
        let parted = if tiles < count as i64 { 36 * count.min(9) as i64 } else { 0 };
        let block_0 = bytes.load - 16 * elements - tiles * (16 + 20 + 48) - parted - rows(count, tiles) * 64;
        assert!((0..=512).contains(&block_0), "{what}, of which block 0 reads {block_0}");
        let written = bytes.store - 12 * elements;
        assert!((0..=144).contains(&written), "{what}, of which block 0 writes {written}");
    }
}

#[test]
fn a_norm_moves_4_bytes_per_parameter_and_little_beside() {
    let Some(rig) = Rig::new() else { return };
    let Some(work) = Work::new(&rig) else { return };
    for (count, len, update_tiles, tiles) in CASES {
        let bytes = work.norm(count, len);
        let (elements, what) = ((count * len) as i64, format!("{count} tensors of {len} elements: {bytes:?}"));
        // The sums of a tensor's blocks, if there are several, are added to one that is added with others in turn.
        let inner = if count > 1 && tiles > count as i64 { count as i64 } else { 0 };
        let sums = rows(count, tiles) + inner;
        // A tile is 16 B, and its block reads the count of tiles; a tensor is 48 B. A node is read by each block that brings
        // a sum to it, and then the sum; one sum alone needs none. The update reads the factor.
        let levels = if sums > 1 { (tiles + inner) * 32 + sums * 16 } else { 0 };
        let tables = tiles * (16 + 4) + rows(count, tiles) * 48 + levels + update_tiles * 4;
        let rest = bytes.load - 4 * elements - tables;
        // And what decides about a step, 256 B, which the last block of an update reads anew unless it is block 0: by the order of blocks.
        assert!((0..=640).contains(&rest), "{what}, of which the last block reads {rest}");
        let written = bytes.store - 16 * sums;
        assert!((0..=64).contains(&written), "{what}, of which the last block writes {written}");
    }
}
