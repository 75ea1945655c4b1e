//! Lays out groups and their tensors: variants, forms, cohorts, and where states lie in the state memory.

use super::{Forms, Group, Lies, Plan, Registered, STATE_ALIGNMENT, Scales, Seat, Standing, Tensor, TensorRow, forms};
use crate::error::{Error, Result, number};
use crate::rule::WEIGHT_DECAY;

impl Plan {
    /// `metric`: the place of its metric rule.
    pub(super) fn lay_out_group(&mut self, index: usize, registered: &Registered, metric: u32) -> Result<()> {
        let Registered { rule, precision, tensors, gate, .. } = registered;
        let group = self.groups.len() as u32;
        let known = self.variants.iter().position(|known| *known == rule.rule);
        let variant = known.unwrap_or_else(|| {
            self.variants.push(rule.rule.clone());
            self.variants.len() - 1
        }) as u32;
        let gate = gate.map_or(0, |address| self.gate(address));
        let first_cohort = self.cohorts.len() as u32;
        let (scalars, of_group, of_all) = (Vec::new(), Vec::new(), precision.clone());
        self.groups.push(Group { precision: of_all, scalars, variant, metric, tensors: of_group, first_cohort, gate });
        if tensors.is_empty() {
            // For the text alone, which is the same for every count.
            self.cohort_of(group, 0, false, Scales::default());
            let storages = forms::of_text(&rule.rule, &self.groups[index].precision);
            self.form(Forms { variant, storages });
        }
        for (i, tensor) in tensors.iter().enumerate() {
            let path = || format!("groups[{index}].tensors[{i}]");
            let storages = forms::of_tensor(path, &rule.rule, precision, tensor)?;
            let form = self.form(Forms { variant, storages });
            let scales = tensor.scales;
            if scales != Scales::default() {
                self.check_scales_of(&path(), variant, scales)?;
            }
            self.scaled |= scales != Scales::default();
            let updates = tensor.updates.unwrap_or(self.start).wrapping_sub(self.start);
            let cohort = self.cohort_of(group, updates, tensor.is_absent(), scales);
            let mut at = self.state_bytes;
            let streams = self.streams_of(form, tensor, &mut at);
            self.state_bytes = at;
            let place = self.tensors.len() as u32;
            self.groups[group as usize].tensors.push(place);
            self.tensors.push(self.row_of(place, group, tensor, (form, cohort), streams));
            self.seats.push(seat_of(tensor, 0));
        }
        Ok(())
    }

    /// The place of a flag of the engine's, counted from 1.
    fn gate(&mut self, address: u64) -> u32 {
        let known = self.gates.iter().position(|known| *known == address);
        known.unwrap_or_else(|| {
            self.gates.push(address);
            self.gates.len() - 1
        }) as u32
            + 1
    }

    /// Checks what a tensor of a rule is to scale.
    pub(super) fn check_scales_of(&self, path: &str, variant: u32, Scales { rate, decay }: Scales) -> Result<()> {
        let variant = &self.variants[variant as usize];
        for (name, scale) in [("rate_scale", rate), ("decay_scale", decay)] {
            if !(scale >= 0.0 && scale.is_finite()) {
                return Err(Error::argument(format!("{path}.{name}"), number(scale), "must be 0 or more, and finite"));
            }
        }
        if decay != 1.0 && !variant.hyperparameters().any(|name| name == WEIGHT_DECAY) {
            let rule = format!("the rule {} of its group has no weight_decay", variant.tape.name);
            return Err(Error::argument(format!("{path}.decay_scale"), number(decay), rule));
        }
        Ok(())
    }

    /// Where the streams of a tensor lie: states in the state memory from offset `at` on, which is moved behind them.
    pub(super) fn streams_of(&self, form: u32, tensor: &Tensor, at: &mut u64) -> Vec<Lies> {
        let mut allot = |bytes: u64| {
            let first = *at;
            *at += bytes.next_multiple_of(STATE_ALIGNMENT);
            first
        };
        let storages = self.forms[form as usize].storages.iter().enumerate();
        let lies = storages.map(|(place, storage)| {
            let [first, second] = storage.form.sizes(tensor.param.len);
            let first = match place {
                0 => tensor.param.address,
                1 => 0,
                _ => allot(first),
            };
            let second = match (place, tensor.master) {
                (0, Some(master)) => master.address,
                _ => allot(second),
            };
            Lies { first, second }
        });
        lies.collect()
    }

    pub(super) fn row_of(
        &self,
        place: u32,
        group: u32,
        tensor: &Tensor,
        (form, cohort): (u32, u32),
        streams: Vec<Lies>,
    ) -> TensorRow {
        TensorRow {
            place,
            streams,
            len: tensor.param.len,
            number: tensor.number.unwrap_or(place),
            cohort,
            group,
            variant: self.groups[group as usize].variant,
            form,
            master_given: tensor.master.is_some(),
            just_added: false,
        }
    }

    /// Turns the offsets into the state memory of the tensor table into addresses.
    pub fn place_state(&mut self, base: u64) {
        self.state_base = base;
        for tensor in 0..self.tensors.len() {
            self.move_streams(tensor, |offset| offset + base);
        }
    }

    /// Changes where the streams of a tensor lie in the state memory.
    pub(super) fn move_streams(&mut self, tensor: usize, to: impl Fn(u64) -> u64) {
        let row = &mut self.tensors[tensor];
        for (place, storage) in self.forms[row.form as usize].storages.iter().enumerate() {
            let lies = &mut row.streams[place];
            if place >= 2 {
                lies.first = to(lies.first);
            }
            if storage.form.has_second() && !(place == 0 && row.master_given) {
                lies.second = to(lies.second);
            }
        }
    }

    /// The place of `forms` in the list, to which it is added if it is new.
    pub(super) fn form(&mut self, forms: Forms) -> u32 {
        self.known_form(&forms).unwrap_or_else(|| {
            self.forms.push(forms);
            self.forms.len() as u32 - 1
        })
    }

    /// The place of `forms` in the list, if it is there.
    pub(super) fn known_form(&self, forms: &Forms) -> Option<u32> {
        self.forms.iter().position(|known| known == forms).map(|place| place as u32)
    }
}

/// The seat of a tensor in a place that was given to so many others before.
pub(super) fn seat_of(tensor: &Tensor, turn: u32) -> Seat {
    Seat {
        grad: tensor.grad.address,
        row: Seat::NO_ROW,
        turn,
        bytes: tensor.grad.dtype.bytes() as u8,
        standing: Standing { absent: tensor.is_absent(), ..Standing::default() },
    }
}
