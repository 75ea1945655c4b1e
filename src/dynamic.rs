//! What of the tensors may change while an optimizer lives, and room for that.

use crate::device::WhenBusy;
use crate::error::{Error, Result};
use crate::plan::Reserve;

/// Lets gradients move, come and go ([`Optimizer::rebind`](crate::Optimizer::rebind)), tensors freeze and be thawed
/// ([`Optimizer::freeze`](crate::Optimizer::freeze)), come and go ([`Optimizer::add`](crate::Optimizer::add)), without a new capture: graphs
/// that hold a step stay right. Everything has its place at build, so what may come is said there.
///
/// Tables of such an optimizer take about 200 bytes more a tensor, since each may come to have a history of updates of its own;
/// [`Dynamic::cohorts`] limits that.
///
/// ```
/// use instep::{AdamW, Device, Dynamic, Optimizer, Stream, Tensor};
/// let (mut param, grads, stream) = ([1.0f32; 4], [[0.5f32; 4], [0.25; 4]], Stream::host());
/// // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grads[0].as_ptr() as u64, 4) }.name("weight");
/// let mut opt = Optimizer::builder(&Device::host()).dynamic(Dynamic::new()).group(AdamW::new(0.1), &[weight]).build()?;
/// let weight = opt.tensor("weight")?;
/// opt.step(&stream)?;
/// // SAFETY: as above.
/// unsafe { opt.rebind(&[(weight, Some(grads[1].as_ptr() as u64))], &stream) }?;
/// opt.step(&stream)?;
/// // SAFETY: no address is given.
/// unsafe { opt.rebind(&[(weight, None)], &stream) }?;
/// let before = param;
/// opt.step(&stream)?; // it has no gradient: it rests, and its count stays 2
/// assert_eq!((param, opt.status(&stream)?.t), (before, 3));
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields, default))]
#[must_use = "give it to `OptimizerBuilder::dynamic`"]
pub struct Dynamic {
    tensors: u32,
    elements: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    cohorts: Option<u32>,
    groups: u32,
    scales: bool,
    slots: u32,
    when_busy: WhenBusy,
}

impl Default for Dynamic {
    fn default() -> Dynamic {
        Dynamic {
            tensors: 0,
            elements: 0,
            cohorts: None,
            groups: 0,
            scales: false,
            slots: 4,
            when_busy: WhenBusy::Wait,
        }
    }
}

impl Dynamic {
    /// Of the tensors at build, all may change; no other may come.
    pub fn new() -> Dynamic {
        Dynamic::default()
    }

    /// Reserves places for tensors to come: at most so many at a time, besides those at build.
    pub fn tensors(mut self, tensors: u32) -> Dynamic {
        self.tensors = tensors;
        self
    }

    /// Reserves room for the states of tensors to come, of so many elements together, in the widest form among the tensors at build. After
    /// many have come and gone it may be in pieces that are too small for a large one, which is then refused.
    pub fn elements(mut self, elements: u64) -> Dynamic {
        self.elements = elements;
        self
    }

    /// Limits how many histories of updates (times groups and scales) there may be at a time, by default one a tensor: tensors that
    /// always rest together share one.
    pub fn cohorts(mut self, cohorts: u32) -> Dynamic {
        self.cohorts = Some(cohorts);
        self
    }

    /// Reserves places for groups to come ([`Optimizer::add_group`](crate::Optimizer::add_group)), at most 2^16, each with schedules of at most 64
    /// numbers together.
    pub fn groups(mut self, groups: u32) -> Dynamic {
        self.groups = groups;
        self
    }

    /// Lets tensors come to scale the rates of their group ([`Optimizer::set_scales`](crate::Optimizer::set_scales)), though none does at
    /// build.
    pub fn scales(mut self) -> Dynamic {
        self.scales = true;
        self
    }

    /// Sets how many changes of gradients may be on their way to the device, from 1 to 64; 4 by default. Of changes that write all tables
    /// there are two at most.
    pub fn slots(mut self, slots: u32) -> Dynamic {
        self.slots = slots;
        self
    }

    /// Sets what happens when all slots are on their way.
    pub fn when_busy(mut self, when_busy: WhenBusy) -> Dynamic {
        self.when_busy = when_busy;
        self
    }

    /// What is to be reserved, checked.
    pub(crate) fn reserve(&self) -> Result<Reserve> {
        if !(1..=64).contains(&self.slots) {
            return Err(Error::argument("dynamic.slots", self.slots, "must be from 1 to 64"));
        }
        if self.tensors > 1 << 28 {
            return Err(Error::argument("dynamic.tensors", self.tensors, "must be at most 2^28"));
        }
        if self.groups > 1 << 16 {
            return Err(Error::argument("dynamic.groups", self.groups, "must be at most 2^16"));
        }
        if self.elements > 1 << 39 {
            return Err(Error::argument("dynamic.elements", self.elements, "must be at most 2^39"));
        }
        let Dynamic { tensors, elements, cohorts, groups, scales, .. } = *self;
        Ok(Reserve { tensors, elements, cohorts, groups, scales })
    }

    pub(crate) fn slots_in_all(&self) -> (usize, WhenBusy) {
        (self.slots as usize, self.when_busy)
    }
}
