//! Which image stands at each place of an epoch: a permutation that is computed where it is needed, never stored.
//! `digits.cu` holds the same function, so host and device train on the same batches.
//!
//! A Feistel network permutes `0..2^(2 * HALF_BITS)`; walking its cycle until the value is small enough restricts it to
//! the images (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", method 2).

/// Half the bits of the permuted range, which must hold every training image.
pub const HALF_BITS: u32 = 6;
/// Rounds of the network; three already mix well, the fourth is cheap.
pub const ROUNDS: u32 = 4;

/// The image at `position` of an epoch over `count` images, `position < count <= 2^(2 * HALF_BITS)`.
pub fn shuffled(position: u32, epoch: u32, count: u32) -> u32 {
    const MASK: u32 = (1 << HALF_BITS) - 1;
    let mut index = position;
    loop {
        for round in 0..ROUNDS {
            let (left, right) = (index >> HALF_BITS, index & MASK);
            let key = mixed(epoch.wrapping_mul(ROUNDS).wrapping_add(round));
            index = right << HALF_BITS | (left ^ mixed(right ^ key) & MASK);
        }
        if index < count {
            return index;
        }
    }
}

/// A bijective hash of 32 bits. Source: Wellons 2018, "Prospecting for Hash Functions", lowbias32.
fn mixed(mut x: u32) -> u32 {
    x = (x ^ x >> 16).wrapping_mul(0x7feb_352d);
    x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}
