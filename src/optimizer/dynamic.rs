//! What may change of the tensors while an optimizer lives: the public side.

use std::collections::BTreeSet;

use super::builder::{GroupOf, registered};
use super::group::GroupRule;
use super::{Engine, Optimizer, expect_host};
use crate::backend::Stream;
use crate::error::{Error, Result, quoted};
use crate::plan::{Scales, Standing, Tensor};
use crate::precision::Precision;
use crate::rule::Traced;

/// A tensor of an optimizer: [`Optimizer::tensor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorId {
    optimizer: u64,
    place: u32,
    turn: u32,
}

impl Optimizer {
    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<TensorId> {
        let plan = self.plan();
        let known = plan.living().find(|tensor| plan.names[*tensor] == name);
        known
            .map(|tensor| self.id(tensor as u32))
            .ok_or_else(|| Error::argument("tensor", quoted(name), "no tensor of this optimizer has that name"))
    }

    /// All tensors, in the order of [`Optimizer::tensors`].
    pub fn tensor_ids(&self) -> Vec<TensorId> {
        self.plan().living().map(|tensor| self.id(tensor as u32)).collect()
    }

    /// Gives tensors other gradients, from the next work on `stream` on: for each an address, or None where there is none at
    /// present. A tensor without a gradient rests: its parameter, states and count stay as they are, and it adds nothing to norms and
    /// sums, until it is given one again. Length and type stay those of the build; vectors fit the address or not, as the device
    /// finds it.
    ///
    /// The addresses go to the device from a slot of pinned memory, without a wait ([`Dynamic::when_busy`](crate::Dynamic::when_busy) says
    /// what if none is left): one copy, one event, one question to the driver, whatever the number of tensors; a captured step reads
    /// them when it runs. Where tensors come to rest apart from others that had as many updates as they, they get a history of
    /// their own, once: tables are written anew by more copies and a small launch, as [`Optimizer::freeze`] does.
    ///
    /// Fails with [`Error::Argument`], which names the tensor, for an address that is 0 or not aligned to an element, a tensor that was
    /// removed, more histories than there is room for ([`Dynamic::cohorts`](crate::Dynamic::cohorts)); for a stream of another device or one that is being
    /// captured; for an optimizer without [`OptimizerBuilder::dynamic`](crate::OptimizerBuilder::dynamic); with [`Error::Busy`]. Nothing is changed then.
    ///
    /// # Safety
    ///
    /// As for the gradient in [`Tensor::new`], from the work that is put on `stream` next until the tensor is given another one and
    /// the work before that is done. That it overlaps nothing that an update writes is not looked at here.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn rebind(&mut self, grads: &[(TensorId, Option<u64>)], stream: &Stream) -> Result<()> {
        let ids: Vec<TensorId> = grads.iter().map(|(id, _)| *id).collect();
        let places = self.places(&ids)?;
        let grads: Vec<(u32, Option<u64>)> = places.into_iter().zip(grads.iter().map(|(_, grad)| *grad)).collect();
        self.rebind_places(&grads, stream)
    }

    /// [`Optimizer::rebind`] for all tensors, in the order of [`Optimizer::tensors`].
    ///
    /// # Safety
    ///
    /// As for [`Optimizer::rebind`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn rebind_all(&mut self, grads: &[Option<u64>], stream: &Stream) -> Result<()> {
        self.expect_dynamic("rebind_all")?;
        let plan = self.plan();
        let there = plan.living().count();
        if grads.len() != there {
            let rule = format!("the optimizer has {there} tensors: one gradient for each, None where there is none");
            return Err(Error::argument("grads.len", grads.len(), rule));
        }
        let grads: Vec<(u32, Option<u64>)> =
            plan.living().map(|tensor| tensor as u32).zip(grads.iter().copied()).collect();
        self.rebind_places(&grads, stream)
    }

    fn rebind_places(&mut self, grads: &[(u32, Option<u64>)], stream: &Stream) -> Result<()> {
        self.expect_dynamic("rebind")?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.rebind(grads, stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.rebind(grads)
            }
        }
    }

    /// Freezes tensors, from the next work on `stream` on: until they are thawed they rest as without a gradient, whatever
    /// [`Optimizer::rebind`] says, and updates do not even look at them. One small launch and some copies, no wait, no new capture; the
    /// first such change allocates a slot of pinned memory as large as the tables. Frozen ones stay as they are.
    ///
    /// Fails as [`Optimizer::rebind`] does.
    pub fn freeze(&mut self, tensors: &[TensorId], stream: &Stream) -> Result<()> {
        self.set_frozen(tensors, true, stream)
    }

    /// Thaws tensors: the counterpart of [`Optimizer::freeze`]. Their counts and what is remembered of them go on from where they stood.
    pub fn thaw(&mut self, tensors: &[TensorId], stream: &Stream) -> Result<()> {
        self.set_frozen(tensors, false, stream)
    }

    fn set_frozen(&mut self, tensors: &[TensorId], frozen: bool, stream: &Stream) -> Result<()> {
        let call = if frozen { "freeze" } else { "thaw" };
        self.expect_dynamic(call)?;
        self.plan().expect_whole(call)?;
        let mut turns = Vec::new();
        for tensor in self.places(tensors)? {
            let standing = self.plan().seats[tensor as usize].standing;
            if standing.frozen != frozen {
                turns.push((tensor, Standing { frozen, ..standing }));
            }
        }
        match &mut self.0 {
            Engine::Cuda(engine) => engine.turn(&turns, stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.turn(&turns)
            }
        }
    }

    /// Sets what tensors multiply the learning rate and the weight decay of their group by, each 0 or more:
    /// [`Tensor::rate_scale`], [`Tensor::decay_scale`]. What a rule remembers of tensors with one history and one scale (a product of momenta, say) is
    /// remembered of all of them together; who joins others goes on with theirs. As [`Optimizer::freeze`], for an optimizer in which some tensor scales at build or
    /// that has [`Dynamic::scales`](crate::Dynamic::scales).
    pub fn set_scales(&mut self, scales: &[(TensorId, f64, f64)], stream: &Stream) -> Result<()> {
        self.expect_dynamic("set_scales")?;
        self.plan().expect_whole("set_scales")?;
        let all = scales.iter().map(|(id, rate, decay)| Ok((self.place(*id)?, Scales { rate: *rate, decay: *decay })));
        let all = all.collect::<Result<Vec<_>>>()?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.rescale(&all, stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.rescale(&all)
            }
        }
    }

    /// Adds tensors to a group, from the next work on `stream` on: each with a name, with states that start, and with a count of
    /// its own that begins at 0, or where [`Tensor::updates`] says. As [`Optimizer::freeze`], and a launch more where something lies beside
    /// parameters, which is then made of them; steps that were captured before update it too (not captured parts, which hold the tensors that they
    /// were given). Not while parameters for evaluation are shown.
    ///
    /// Fails with [`Error::Argument`] beyond what was reserved ([`Dynamic::tensors`](crate::Dynamic::tensors),
    /// [`Dynamic::elements`](crate::Dynamic::elements)), for a tensor that breaks a rule of the build, and for one that is stored as
    /// none of its rule was at build, so that no kernel was compiled for it. Nothing is changed then.
    pub fn add(&mut self, group: usize, tensors: &[Tensor], stream: &Stream) -> Result<Vec<TensorId>> {
        self.expect_dynamic("add")?;
        self.plan().expect_whole("add")?;
        self.expect_training("add")?;
        let groups = self.plan().groups.len();
        if group >= groups {
            return Err(Error::argument("group", group, format!("the optimizer has {groups}, counted from 0")));
        }
        let places = match &mut self.0 {
            Engine::Cuda(engine) => engine.add(group, tensors, stream.cuda()?)?,
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.add(group, tensors)?
            }
        };
        Ok(places.into_iter().map(|place| self.id(place)).collect())
    }

    /// Adds a group with its tensors, as [`Optimizer::add`] adds tensors: its place, and theirs. Its rule, the structure of each of its schedules
    /// (their numbers are free) and the forms of its tensors are those of some group at build, or were declared there
    /// ([`OptimizerBuilder::declare`](crate::OptimizerBuilder::declare)): kernels were compiled for those. It follows the metric rule that all groups
    /// share, if there is one; telemetry shows the groups of the build alone.
    ///
    /// Fails as [`Optimizer::add`] does; beyond [`Dynamic::groups`](crate::Dynamic::groups); and where something of it was not compiled, which the
    /// error names.
    pub fn add_group(
        &mut self,
        rule: impl GroupRule,
        tensors: &[Tensor],
        stream: &Stream,
    ) -> Result<(usize, Vec<TensorId>)> {
        self.add_kind(None, rule.traced(), tensors, stream)
    }

    /// [`Optimizer::add_group`] for a group with a precision of its own.
    pub fn add_group_in(
        &mut self,
        precision: Precision,
        rule: impl GroupRule,
        tensors: &[Tensor],
        stream: &Stream,
    ) -> Result<(usize, Vec<TensorId>)> {
        self.add_kind(Some(precision), rule.traced(), tensors, stream)
    }

    fn add_kind(
        &mut self,
        precision: Option<Precision>,
        rule: Result<Traced>,
        tensors: &[Tensor],
        stream: &Stream,
    ) -> Result<(usize, Vec<TensorId>)> {
        self.expect_dynamic("add_group")?;
        self.plan().expect_whole("add_group")?;
        self.expect_training("add_group")?;
        if tensors.is_empty() {
            return Err(Error::argument("tensors", "empty", "a group needs at least one tensor"));
        }
        let rule = rule.and_then(Traced::compile);
        let group = GroupOf { rule, precision, tensors: tensors.to_vec(), gate: None };
        let registered = registered(&group, &self.plan().precision, "")?;
        let (group, places) = match &mut self.0 {
            Engine::Cuda(engine) => engine.add_group(registered, stream.cuda()?)?,
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.add_group(registered)?
            }
        };
        Ok((group, places.into_iter().map(|place| self.id(place)).collect()))
    }

    /// Takes tensors away, from the next work on `stream` on: their buffers are the engine's alone once the work before is done, their
    /// names and what was reserved for them are free. As [`Optimizer::freeze`]; an identifier of theirs is refused from then on.
    pub fn remove(&mut self, tensors: &[TensorId], stream: &Stream) -> Result<()> {
        self.expect_dynamic("remove")?;
        self.plan().expect_whole("remove")?;
        let places = self.places(tensors)?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.remove(&places, stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.remove(&places)
            }
        }
    }

    fn id(&self, place: u32) -> TensorId {
        let plan = self.plan();
        TensorId { optimizer: plan.number, place, turn: plan.seats[place as usize].turn }
    }

    fn place(&self, id: TensorId) -> Result<u32> {
        let plan = self.plan();
        let refused = |argument: String, value: &str, rule: &str| Err(Error::argument(argument, value, rule));
        match plan.seats.get(id.place as usize).filter(|_| id.optimizer == plan.number) {
            Some(seat) if seat.turn == id.turn && !seat.standing.removed => Ok(id.place),
            Some(seat) if seat.turn == id.turn => {
                refused(plan.tensor_name(id.place), "removed", "it is no tensor of this optimizer any more")
            }
            Some(_) => {
                refused("tensor".to_owned(), "removed", "another one has its place: ask Optimizer::tensor again")
            }
            None => refused(
                "tensor".to_owned(),
                "of another optimizer",
                "after a rebuild, too: ask Optimizer::tensor again",
            ),
        }
    }

    /// The same of several, each once.
    pub(super) fn places(&self, ids: &[TensorId]) -> Result<Vec<u32>> {
        let mut seen = BTreeSet::new();
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            let place = self.place(*id)?;
            if !seen.insert(place) {
                return Err(Error::argument(
                    self.plan().tensor_name(place),
                    "given twice",
                    "a call changes a tensor once",
                ));
            }
            places.push(place);
        }
        Ok(places)
    }

    /// A parameter that comes while others are shown for evaluation would be put back as something that it never was.
    fn expect_training(&self, call: &str) -> Result<()> {
        match self.plan().shown {
            false => Ok(()),
            true => Err(Error::argument(call, "called", "parameters for evaluation are shown: call train(..) first")),
        }
    }

    fn expect_dynamic(&self, call: &str) -> Result<()> {
        match self.plan().reserve {
            Some(_) => Ok(()),
            None => {
                Err(Error::argument(call, "called", "the optimizer was built without: call dynamic(..) on its builder"))
            }
        }
    }
}
