//! What kernels depend on and a configuration does not say: the engine's side. Start at [`EngineFacts`].

use super::super::OptimizerBuilder;
use crate::backend::Device;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::plan::{Buffer, Dtype, Scalar, Tensor};

/// Where a flag or a scalar would lie: kernels are the same for all addresses.
const SOMEWHERE: u64 = 64;

/// Elements of tensors whose states become 8-bit codes, and of those whose do not, where nothing is said of it.
const SIZES: [u64; 2] = [u32::MAX as u64, 1];

/// How the tensors of a group are, as far as kernels depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorKind {
    param: Dtype,
    grad: Dtype,
    elements: Option<u64>,
}

impl TensorKind {
    /// Parameters and gradients of these types. Where states are to become 8-bit codes, some tensors are large enough for that and some are
    /// not, unless [`TensorKind::elements`] says it.
    pub const fn new(param: Dtype, grad: Dtype) -> TensorKind {
        TensorKind { param, grad, elements: None }
    }

    /// Says that such tensors have so many elements, or others on the same side of [`Precision::quantize_from`](crate::Precision::quantize_from).
    #[must_use]
    pub const fn elements(mut self, elements: u64) -> TensorKind {
        self.elements = Some(elements);
        self
    }

    fn sizes(self) -> impl Iterator<Item = u64> {
        let all = self.elements.map_or_else(|| SIZES.to_vec(), |elements| vec![elements]);
        all.into_iter()
    }
}

/// What kernels depend on and a [`Config`] does not say: [`PackBuilder::add_config`](crate::PackBuilder::add_config). Without more, tensors
/// are f32 and the engine hands nothing in.
#[derive(Debug, Clone, Default)]
pub struct EngineFacts {
    tensors: Vec<Vec<TensorKind>>,
    found_inf: bool,
    inv_scale: bool,
    norm_square: bool,
    follow: Vec<usize>,
    scales: bool,
}

impl EngineFacts {
    /// f32 tensors, and nothing handed in.
    pub fn new() -> EngineFacts {
        EngineFacts::default()
    }

    /// The kinds of tensors of a group, in any order: called once for each group, or once for all of them.
    #[must_use]
    pub fn tensors(mut self, kinds: impl IntoIterator<Item = TensorKind>) -> EngineFacts {
        self.tensors.push(kinds.into_iter().collect());
        self
    }

    /// The engine hands in [`OptimizerBuilder::found_inf`].
    #[must_use]
    pub fn found_inf(mut self) -> EngineFacts {
        self.found_inf = true;
        self
    }

    /// The engine hands in [`OptimizerBuilder::inv_scale`].
    #[must_use]
    pub fn inv_scale(mut self) -> EngineFacts {
        self.inv_scale = true;
        self
    }

    /// The engine hands in [`OptimizerBuilder::norm_square`].
    #[must_use]
    pub fn norm_square(mut self) -> EngineFacts {
        self.norm_square = true;
        self
    }

    /// The group follows a flag: [`OptimizerBuilder::follow`].
    #[must_use]
    pub fn follow(mut self, group: usize) -> EngineFacts {
        self.follow.push(group);
        self
    }

    /// Some tensors scale the rates of their groups: [`Tensor::rate_scale`].
    #[must_use]
    pub fn scales(mut self) -> EngineFacts {
        self.scales = true;
        self
    }

    /// A builder that compiles to the same kernels as the engine's. It is for its text alone: its addresses are made up.
    pub(super) fn builder(&self, config: &Config) -> Result<OptimizerBuilder> {
        let count = config.groups.len();
        if ![0, 1, count].contains(&self.tensors.len()) {
            let rule = format!("must be said once for all groups, or once for each of the {count}");
            return Err(Error::argument("tensors", format!("said of {} groups", self.tensors.len()), rule));
        }
        if let Some(group) = self.follow.iter().find(|group| **group >= count) {
            let rule = format!("must be the place of one of the {count} groups, counted from 0");
            return Err(Error::argument("follow", group, rule));
        }
        let mut end = SOMEWHERE;
        let tensors: Vec<Vec<Tensor>> = (0..count).map(|group| self.tensors_of(group, &mut end)).collect();
        let tensors: Vec<&[Tensor]> = tensors.iter().map(Vec::as_slice).collect();
        let mut builder = config.builder(&Device::host(), &tensors)?;
        let handed = |given: bool| given.then_some(Scalar(SOMEWHERE));
        builder.handed_in.found_inf = handed(self.found_inf);
        builder.handed_in.inv_scale = handed(self.inv_scale);
        builder.handed_in.norm_square = handed(self.norm_square);
        for group in &self.follow {
            builder.groups[*group].gate = Some(SOMEWHERE);
        }
        Ok(builder)
    }

    /// Tensors of a group that lie behind `end`, nowhere.
    fn tensors_of(&self, group: usize, end: &mut u64) -> Vec<Tensor> {
        let plain = [TensorKind::new(Dtype::F32, Dtype::F32)];
        let kinds = self.tensors.get(group).or(self.tensors.first());
        let kinds = kinds.map_or(&plain[..], |kinds| if kinds.is_empty() { &plain[..] } else { &kinds[..] });
        let mut place = |dtype: Dtype, len: u64| {
            let address = end.next_multiple_of(256);
            *end = address.saturating_add(len.saturating_mul(dtype.bytes()));
            Buffer { address, len, dtype }
        };
        let all = kinds.iter().flat_map(|kind| kind.sizes().map(move |len| (kind, len)));
        let tensors = all.map(|(kind, len)| {
            let tensor = Tensor::unnamed(place(kind.param, len), place(kind.grad, len));
            if self.scales { tensor.rate_scale(0.5) } else { tensor }
        });
        tensors.collect()
    }
}
