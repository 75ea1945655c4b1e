//! What the driver says of addresses that an engine registers: whether the device reaches them, and where they end. Start at
//! [`Addresses::look`]. Nothing is enqueued, allocated or waited for.
//!
//! Only what the driver is sure of counts. Where it knows nothing of an address although the device may reach all memory of
//! the process, or gives no range, or refuses to answer, the address passes: to refuse what works would be worse.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use super::context::Context;
use super::driver;
use crate::error::Result;

/// What was found out about some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing speaks against them.
    Fits,
    /// A clause: what they are, instead of memory that the device reaches.
    Unreachable(String),
    /// Only so many bytes are there.
    Short(u64),
}

/// Answers for one context, which remembers ranges: an address inside of one that is known takes no call.
#[derive(Debug)]
pub(crate) struct Addresses<'a> {
    context: &'a Context,
    /// By first address.
    ranges: BTreeMap<u64, Range>,
    /// Whether the device reaches all memory of the process, once that was asked.
    pageable: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    end: u64,
    /// An allocation of its own, which ends here even where another one follows at once. Mappings of virtual memory and
    /// memory of pools may go on.
    whole: bool,
}

/// Of one address.
#[derive(Debug, Clone, Copy)]
struct Attributes {
    memory_type: u32,
    context: u64,
    device: c_int,
    /// Where kernels of the current context reach it; 0 if nowhere.
    device_pointer: u64,
    managed: bool,
    begin: u64,
    bytes: u64,
    ipc_capable: bool,
}

const ATTRIBUTES: [c_int; 8] = [
    driver::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
    driver::CU_POINTER_ATTRIBUTE_CONTEXT,
    driver::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
    driver::CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
    driver::CU_POINTER_ATTRIBUTE_IS_MANAGED,
    driver::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
    driver::CU_POINTER_ATTRIBUTE_RANGE_SIZE,
    driver::CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
];

impl<'a> Addresses<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        Self { context, ranges: BTreeMap::new(), pageable: None }
    }

    /// Looks at `bytes` bytes, at least 1, from `address`. Fails only where the context cannot be made current.
    pub(crate) fn look(&mut self, address: u64, bytes: u64) -> Result<Place> {
        let end = address.saturating_add(bytes);
        let mut at = address;
        loop {
            let range = match self.known(at) {
                Some(range) => range,
                None => {
                    let Some(found) = self.ask(at)? else { return Ok(Place::Fits) };
                    if let Some(what) = self.unreachable(&found) {
                        let place = Place::Unreachable(what);
                        return Ok(if at == address { place } else { Place::Short(at - address) });
                    }
                    let range = Range { end: found.begin.saturating_add(found.bytes), whole: found.ipc_capable };
                    if !(found.begin..range.end).contains(&at) {
                        return Ok(Place::Fits);
                    }
                    self.ranges.insert(found.begin, range);
                    range
                }
            };
            if range.end >= end {
                return Ok(Place::Fits);
            }
            if range.whole {
                return Ok(Place::Short(range.end - address));
            }
            at = range.end;
        }
    }

    fn known(&self, address: u64) -> Option<Range> {
        let (_, range) = self.ranges.range(..=address).next_back()?;
        (address < range.end).then_some(*range)
    }

    /// None where the driver refuses to say.
    fn ask(&self, address: u64) -> Result<Option<Attributes>> {
        let _current = self.context.current()?;
        let (mut kinds, mut values) = (ATTRIBUTES, [0u64; ATTRIBUTES.len()]);
        let mut places = [ptr::null_mut::<c_void>(); ATTRIBUTES.len()];
        for (place, value) in places.iter_mut().zip(&mut values) {
            *place = ptr::from_mut(value).cast();
        }
        let (driver, count) = (self.context.driver(), ATTRIBUTES.len() as c_uint);
        // SAFETY: as many places as attributes, each of 8 zero bytes, which no attribute of these exceeds; the address is only
        // looked up, never followed.
        let answer = unsafe { driver.cuPointerGetAttributes(count, kinds.as_mut_ptr(), places.as_mut_ptr(), address) };
        let [memory_type, context, device, device_pointer, managed, begin, bytes, ipc_capable] = values;
        Ok(answer.ok().map(|()| Attributes {
            memory_type: memory_type as u32,
            context,
            device: device as c_int,
            device_pointer,
            managed: managed != 0,
            begin,
            bytes,
            ipc_capable: ipc_capable != 0,
        }))
    }

    /// What is wrong with memory that kernels of this context cannot reach.
    fn unreachable(&mut self, found: &Attributes) -> Option<String> {
        let (device, context) = (self.context.device(), self.context.raw().addr() as u64);
        if found.managed || found.memory_type > driver::CU_MEMORYTYPE_DEVICE {
            return None;
        }
        if found.memory_type == driver::CU_MEMORYTYPE_DEVICE {
            let elsewhere = found.device >= 0 && found.device != device;
            if elsewhere && (found.device_pointer == 0 || !self.is_peer(found.device)) {
                return Some(format!(
                    "it is memory of device {}, which device {device} has no access to",
                    found.device
                ));
            }
            let foreign = found.context != 0 && found.context != context && found.device_pointer == 0;
            return foreign.then(|| "it is memory of another context of the device".into());
        }
        if self.reaches_pageable() {
            return None;
        }
        match found.memory_type {
            driver::CU_MEMORYTYPE_HOST if found.device_pointer != 0 => None,
            driver::CU_MEMORYTYPE_HOST => Some("it is memory of the host that the device cannot reach".into()),
            _ => Some("it is memory of the host that the device cannot reach, or no memory at all".into()),
        }
    }

    /// Whether the device could be given access to the memory of `other`. Where the driver does not say, yes.
    fn is_peer(&self, other: c_int) -> bool {
        let mut can = 0;
        // SAFETY: `can` outlives the call.
        let asked = unsafe { self.context.driver().cuDeviceCanAccessPeer(&mut can, self.context.device(), other) };
        asked.is_err() || can != 0
    }

    fn reaches_pageable(&mut self) -> bool {
        *self.pageable.get_or_insert_with(|| {
            let which = driver::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS;
            self.context.attribute(which).is_ok_and(|value| value != 0)
        })
    }
}
