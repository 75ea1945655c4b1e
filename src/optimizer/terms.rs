//! What an optimizer is built on, besides groups and options: where its clock begins, what may change of its tensors, and what groups
//! follow, what the engine hands in.

#[cfg(doc)]
use super::Optimizer;
use super::OptimizerBuilder;
use super::builder::GroupOf;
use super::group::GroupRule;
use crate::device::Pack;
use crate::dynamic::Dynamic;
use crate::error::Result;
#[cfg(doc)]
use crate::plan::Tensor;
use crate::plan::{Dtype, Output, Scalar, of_types};
use crate::precision::Precision;
use crate::rule::Traced;

impl OptimizerBuilder {
    /// Lets the clock begin at `t` instead of 0, at most 2^62, and the progress clock at as many increments: for a run that began elsewhere,
    /// whose states the engine puts to their places. A tensor has had as many updates then, unless it says otherwise itself ([`Tensor::updates`]), with what that means for
    /// states that would start from something.
    pub fn start_at(mut self, t: u64) -> Self {
        self.start = t;
        self
    }

    /// Takes the kernels from a pack: nothing is compiled, and no NVRTC is looked for, by [`OptimizerBuilder::build`] or by
    /// [`Optimizer::stop_condition`](super::Optimizer::stop_condition), which both fail with [`Error::NoKernel`](crate::Error::NoKernel) where the pack lacks
    /// what they need. An optimizer on the host needs none. See [`Pack`].
    pub fn kernels(mut self, pack: &Pack) -> Self {
        self.kernels = Some(pack.clone());
        self
    }

    /// Lets gradients move, tensors come, go, freeze and have no gradient while the optimizer lives: see [`Dynamic`].
    pub fn dynamic(mut self, dynamic: Dynamic) -> Self {
        self.dynamic = Some(dynamic);
        self
    }

    /// Has kernels compiled for groups that may come later ([`Optimizer::add_group`]), with this rule, schedules of these structures (their
    /// numbers are free), and parameters and gradients of these types, stored as the precision of the builder says. For each such
    /// kind of group one call.
    pub fn declare(self, rule: impl GroupRule, param: Dtype, grad: Dtype) -> Self {
        self.declare_kind(None, rule.traced(), param, grad)
    }

    /// [`OptimizerBuilder::declare`] for groups with a precision of their own.
    pub fn declare_in(self, precision: Precision, rule: impl GroupRule, param: Dtype, grad: Dtype) -> Self {
        self.declare_kind(Some(precision), rule.traced(), param, grad)
    }

    fn declare_kind(mut self, precision: Option<Precision>, rule: Result<Traced>, param: Dtype, grad: Dtype) -> Self {
        let rule = rule.and_then(Traced::compile);
        self.declared.push(GroupOf { rule, precision, tensors: vec![of_types(param, grad)], gate: None });
        self
    }

    /// Lets updates be made in parts, as gradients come: [`Optimizer::step_part`].
    pub fn in_parts(mut self) -> Self {
        self.parts = true;
        self
    }

    /// Lets the group that was added last follow an f32 flag of the engine's on the device: where it is 0, its tensors rest in that update,
    /// with their states and their counts (two-player training, delayed policies); its schedules go on with the optimizer's clock. The
    /// flag is read by each launch of a step, and is not written while one runs. Several groups may follow one flag.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn follow(mut self, flag: u64) -> Self {
        match self.groups.last_mut() {
            Some(group) => group.gate = Some(flag),
            None => self.follows_nothing = true,
        }
        self
    }

    /// Gives the address of an f32 that the engine writes before each step: anything but 0, a NaN too, keeps the update
    /// from being applied. Parameters, optimizer state, the clock and the schedules then stay as they were, and the update
    /// is counted as skipped. Peer: `found_inf` of `torch.amp.GradScaler`.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn found_inf(mut self, address: u64) -> Self {
        self.handed_in.found_inf = Some(Scalar(address));
        self
    }

    /// Gives the address of an f32 that gradients are multiplied by, instead of a loss scale of ours.
    /// Peer: the inverse scale of `torch.amp.GradScaler`.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn inv_scale(mut self, address: u64) -> Self {
        self.handed_in.inv_scale = Some(Scalar(address));
        self
    }

    /// Gives the address of an f32 with the square of the 2-norm of all (scaled) gradients, for clipping: one that was
    /// summed over ranks, say. It saves the norm launch, unless that is needed to find values that are not finite. With the
    /// policy to skip, a norm that is not finite skips the update too.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn norm_square(mut self, address: u64) -> Self {
        self.handed_in.norm_square = Some(Scalar(address));
        self
    }

    /// Lets every step write scalars that cohorts remember to addresses of the engine's, whose owner vouches for them as for the
    /// parameters of [`Tensor::new`]. The groups have no elements.
    pub(crate) fn outputs(mut self, outputs: Vec<Output>) -> Self {
        self.outputs.extend(outputs);
        self
    }
}
