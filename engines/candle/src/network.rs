//! The network: 64 pixels, 128 hidden units with ReLU, 10 digits. candle's own layers over a `VarMap`.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, VarBuilder, VarMap, linear, loss};

use crate::digits::{PIXELS, Set};

const HIDDEN: usize = 128;
const DIGITS: usize = 10;
/// Images in one step.
pub const BATCH: usize = 64;

/// Two layers, and the variables that are trained.
#[expect(missing_debug_implementations, reason = "VarMap has none")]
pub struct Network {
    /// All variables, by name.
    pub vars: VarMap,
    hidden: Linear,
    digits: Linear,
}

impl Network {
    /// A network of the same first values on every machine: candle's generator for the CPU takes no seed. Weights are uniform in
    /// ±√(6 / inputs), biases 0. Source: He et al. 2015, arXiv:1502.01852.
    pub fn new(device: &Device) -> Result<Network> {
        let vars = VarMap::new();
        let mut random = Random(0);
        for (layer, outputs, inputs) in [("hidden", HIDDEN, PIXELS), ("digits", DIGITS, HIDDEN)] {
            let bound = (6.0 / inputs as f32).sqrt();
            let weight: Vec<f32> = (0..outputs * inputs).map(|_| bound * (2.0 * random.fraction() - 1.0)).collect();
            let weight = Var::from_vec(weight, (outputs, inputs), device)?;
            let bias = Var::zeros(outputs, DType::F32, device)?;
            let mut known = vars.data().lock().map_err(candle_core::Error::msg)?;
            known.extend([(format!("{layer}.weight"), weight), (format!("{layer}.bias"), bias)]);
        }
        // The builder finds the variables that are there already.
        let builder = VarBuilder::from_varmap(&vars, DType::F32, device);
        let hidden = linear(PIXELS, HIDDEN, builder.pp("hidden"))?;
        let digits = linear(HIDDEN, DIGITS, builder.pp("digits"))?;
        Ok(Network { vars, hidden, digits })
    }

    /// The mean cross-entropy over `set`.
    pub fn loss(&self, set: &Set) -> Result<Tensor> {
        loss::cross_entropy(&self.logits(set)?, &set.labels)
    }

    /// The share of images in `set` that are recognised.
    pub fn accuracy(&self, set: &Set) -> Result<f64> {
        let right = self.logits(set)?.argmax(D::Minus1)?.eq(&set.labels)?;
        let right = right.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        Ok(f64::from(right) / set.count()? as f64)
    }

    fn logits(&self, set: &Set) -> Result<Tensor> {
        self.digits.forward(&self.hidden.forward(&set.images)?.relu()?)
    }
}

/// Full batches of one epoch, in an order that the epoch alone decides.
pub fn batches(images: usize, epoch: u64) -> Vec<Vec<u32>> {
    let mut places: Vec<u32> = (0..images as u32).collect();
    let mut random = Random(epoch << 32);
    for last in (1..images).rev() {
        places.swap(last, (random.next() % (last as u64 + 1)) as usize);
    }
    places.chunks_exact(BATCH).map(<[u32]>::to_vec).collect()
}

/// SplitMix64. Source: Steele et al. 2014, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// The upper 24 bits, exact in an f32, as a fraction of [0, 1).
    fn fraction(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}
