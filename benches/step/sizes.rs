//! The models that are measured: a name and the elements of each tensor. `xtask/bundle/peers.py` has the same.

/// A model. A size that another row needs is one line here, and one in `peers.py` if the peers are to be measured there.
#[derive(Clone, Copy)]
pub struct Size {
    pub name: &'static str,
    lengths: fn() -> Vec<u64>,
}

pub const SMALL: Size = Size { name: "1 x 64", lengths: || vec![64] };
pub const FEW: Size = Size { name: "148 x 64", lengths: || vec![64; 148] };
pub const THOUSAND: Size = Size { name: "1000 x 1024", lengths: || vec![1_024; 1_000] };
pub const MANY: Size = Size { name: "10000 x 64", lengths: || vec![64; 10_000] };
pub const MEBI: Size = Size { name: "1 x 1 Mi", lengths: || vec![1 << 20] };
pub const GPT2: Size = Size { name: "148 tensors, 124 M", lengths: gpt2_small };
pub const HUNDRED_MILLION: Size = Size { name: "1 x 100 M", lengths: || vec![100_000_000] };
pub const BILLION: Size = Size { name: "1 x 1 B", lengths: || vec![1_000_000_000] };

pub const LLAMA_LAYERS: u64 = 32;

pub const ALL: [Size; 7] = [SMALL, FEW, THOUSAND, MANY, MEBI, GPT2, BILLION];

/// Steps over more parameters are long enough to be timed alone.
const TINY: u64 = 1 << 21;

impl Size {
    /// Elements of each tensor.
    pub fn lengths(&self) -> Vec<u64> {
        (self.lengths)()
    }

    /// Whether a step is so short that many of them are replayed from one graph.
    pub fn is_tiny(&self) -> bool {
        self.lengths().iter().sum::<u64>() <= TINY
    }
}

/// The 148 tensors of a GPT-2 of 124 M parameters. Source: Radford et al. 2019, table 2; shapes as in its released weights.
fn gpt2_small() -> Vec<u64> {
    const WIDTH: u64 = 768;
    let block = [
        [WIDTH, WIDTH],                 // layer norm
        [WIDTH * 3 * WIDTH, 3 * WIDTH], // query, key, value
        [WIDTH * WIDTH, WIDTH],         // attention's projection
        [WIDTH, WIDTH],                 // layer norm
        [WIDTH * 4 * WIDTH, 4 * WIDTH], // up
        [4 * WIDTH * WIDTH, WIDTH],     // down
    ];
    let blocks = std::iter::repeat_n(block, 12).flatten().flatten();
    [50_257 * WIDTH, 1_024 * WIDTH].into_iter().chain(blocks).chain([WIDTH, WIDTH]).collect()
}

/// The tensors of a Llama-3 of 8 B parameters with so many of its 32 layers. Source: Grattafiori et al. 2024, table 3; shapes as in
/// its released weights.
pub fn llama(layers: u64) -> Vec<u64> {
    const WIDTH: u64 = 4_096;
    const KEYS: u64 = 1_024; // 8 heads of 128
    const HIDDEN: u64 = 14_336;
    const WORDS: u64 = 128_256;
    let layer = [
        WIDTH * WIDTH,  // query
        KEYS * WIDTH,   // key
        KEYS * WIDTH,   // value
        WIDTH * WIDTH,  // attention's projection
        HIDDEN * WIDTH, // gate
        HIDDEN * WIDTH, // up
        WIDTH * HIDDEN, // down
        WIDTH,          // norm
        WIDTH,          // norm
    ];
    let layers = std::iter::repeat_n(layer, layers as usize).flatten();
    [WORDS * WIDTH].into_iter().chain(layers).chain([WIDTH, WORDS * WIDTH]).collect()
}
