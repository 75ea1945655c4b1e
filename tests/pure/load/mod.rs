//! A resume into something else, on the CPU backend: what differs is told as a whole, each word allows its own, and what a run had
//! come to goes on. `words` has the words one by one, `names` what goes by names, `forms` how states are stored, `ends` what is free.

mod ends;
mod forms;
mod names;
mod words;

use instep::{Difference, Error, LoadOptions, Loaded, Optimizer, Stream, Tensor};

use crate::owned::Pair;

/// Tensors with names, and gradients that follow from name and call alone.
pub struct Model {
    pairs: Vec<(&'static str, Pair)>,
    /// Multiplies gradients.
    pub scale: f32,
}

impl Model {
    pub fn new(tensors: &[(&'static str, usize)]) -> Model {
        let pair = |len: usize| Pair::new(&noise(len, len as u64), &vec![0.0; len]);
        Model { pairs: tensors.iter().map(|(name, len)| (*name, pair(*len))).collect(), scale: 1.0 }
    }

    /// As another one is now; tensors that it lacks as they begin.
    pub fn with_params_of(mut self, other: &Model) -> Model {
        for (name, pair) in &mut self.pairs {
            if let Some((_, known)) = other.pairs.iter().find(|(known, _)| known == name) {
                pair.param.write(&known.param.read());
            }
        }
        self
    }

    pub fn tensors(&self, names: &[&str]) -> Vec<Tensor> {
        names.iter().map(|name| self.pair(name).tensor().name(*name)).collect()
    }

    pub fn param(&self, name: &str) -> Vec<f32> {
        self.pair(name).param.read()
    }

    fn pair(&self, name: &str) -> &Pair {
        &self.pairs.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// The calls of these numbers.
    pub fn steps(&mut self, opt: &mut Optimizer, calls: std::ops::Range<u64>) {
        for call in calls {
            for (name, pair) in &mut self.pairs {
                let seed = name.bytes().fold(call, |seed, byte| seed * 131 + u64::from(byte));
                let len = pair.grad.read().len();
                let grad: Vec<f32> = noise(len, seed).iter().map(|x| x * self.scale).collect();
                pair.grad.write(&grad);
            }
            opt.step(&Stream::host()).unwrap();
        }
    }
}

/// Numbers between -1 and 1.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len + 4).map(|_| next()).skip(4).collect()
}

pub fn block(opt: &Optimizer) -> Vec<u8> {
    opt.state(&Stream::host()).unwrap()
}

/// The bytes of a state of a tensor: of its elements, `size` each.
pub fn bytes_of(opt: &Optimizer, tensor: &str, state: &str, size: usize) -> Vec<u8> {
    let view = opt.tensors().find(|view| view.name == tensor).unwrap();
    let state = view.states.iter().find(|known| known.name == state).unwrap();
    // SAFETY: the optimizer gave the address of as many live elements, and no step runs.
    unsafe { std::slice::from_raw_parts(state.address as usize as *const u8, size * view.len as usize) }.to_vec()
}

/// A state that is stored in f32.
pub fn f32_of(opt: &Optimizer, tensor: &str, state: &str) -> Vec<f32> {
    bytes_of(opt, tensor, state, 4).chunks_exact(4).map(|x| f32::from_ne_bytes(x.try_into().unwrap())).collect()
}

/// What is not allowed; nothing was changed.
#[track_caller]
pub fn refused(opt: &mut Optimizer, state: &[u8], options: LoadOptions) -> Vec<Difference> {
    let before = block(opt);
    match opt.load_state_with(state, options, &Stream::host()) {
        Err(Error::Differs { differences }) => {
            assert!(block(opt) == before, "refused, but something changed");
            differences
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub fn load(opt: &mut Optimizer, state: &[u8], options: LoadOptions) -> Loaded {
    opt.load_state_with(state, options, &Stream::host()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn lines(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(Difference::to_string).collect()
}
