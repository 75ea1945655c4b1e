//! Random bits for stochastic rounding: `kernels/random.cuh` in Rust. Philox 4x32-10 of Salmon et al. 2011.

/// What is thrown with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dice {
    pub seed: u64,
    /// Of which the lower half counts.
    pub t: u64,
}

pub(crate) fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        let (a, b) = (u64::from(c0) * 0xD251_1F53, u64::from(c2) * 0xCD9E_8D57);
        (c0, c1, c2, c3) = ((b >> 32) as u32 ^ c1 ^ k0, b as u32, (a >> 32) as u32 ^ c3 ^ k1, a as u32);
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [c0, c1, c2, c3]
}

/// The random bits of the stream at one place of one tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throws {
    pub dice: Dice,
    /// The tensor's number.
    pub tensor: u32,
    /// Of the stream, among those of the rule.
    pub place: u32,
}

impl Throws {
    /// For `len` elements from `begin` on, a multiple of 4.
    pub fn fill(&self, begin: u64, len: usize, bits: &mut Vec<u32>) {
        let Throws { dice: Dice { seed, t }, tensor, place } = *self;
        bits.clear();
        for vector in begin / 4..(begin + len as u64).div_ceil(4) {
            let rest = (place / 2) | (((vector >> 32) as u32) << 8);
            let thrown = philox(seed, [vector as u32, t as u32, tensor, rest]);
            bits.extend(thrown.map(|word| if place % 2 == 0 { word } else { word.rotate_left(16) }));
        }
    }
}

#[test]
fn philox_gives_the_numbers_that_its_authors_list() {
    // kat_vectors of Random123.
    assert_eq!(philox(0, [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    let (all, ones) = ([u32::MAX; 4], u64::MAX);
    assert_eq!(philox(ones, all), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    assert_eq!(philox(0x299f_31d0_a409_3822, pi), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}
