//! Reproducible numbers, and how results are compared.

/// The SplitMix64 generator of Steele, Lea and Flood 2014.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1).
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn units(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit()).collect()
    }

    /// Of either sign and of magnitudes from 2^-16 to 1. Each sum of them or of their squares in f64 is rounded, which those of
    /// [`Random::units`] are not, so that their order shows.
    pub fn spread(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit() * 0.5f32.powi((self.next() % 17) as i32)).collect()
    }

    /// Mostly ordinary values, with subnormals, huge ones, zeros, infinities and NaNs among them.
    pub fn wild(&mut self, len: usize) -> Vec<f32> {
        let special = [0.0, -0.0, 1e-41, -3e-39, 1e38, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-20];
        (0..len)
            .map(|_| match self.next() % 8 {
                0 => special[self.next() as usize % special.len()],
                _ => self.unit(),
            })
            .collect()
    }
}

/// How many elements differ in their bits, where a NaN equals any NaN, and the first of them.
pub fn differing(ours: &[f32], theirs: &[f32]) -> (usize, Option<usize>) {
    assert_eq!(ours.len(), theirs.len());
    let differ = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
    let places = ours.iter().zip(theirs).enumerate().filter(|(_, pair)| differ(*pair)).map(|(i, _)| i);
    let places: Vec<usize> = places.collect();
    (places.len(), places.first().copied())
}

#[track_caller]
pub fn assert_same_bits(device: &[f32], host: &[f32], what: &str) {
    if let (count, Some(first)) = differing(device, host) {
        let (d, h) = (device[first], host[first]);
        panic!("{what}: {count} of {} elements differ, first {first}: device {d:e}, host {h:e}", host.len());
    }
}
