//! Runs cases on a device, as many in one optimizer as have the same options: a compilation takes seconds.

use std::collections::BTreeMap;

use instep::{Config, Device, Optimizer, Status, Stream, Tensor};

use super::case::{Case, Tensors};

/// Where cases run, and memory there.
pub trait Place {
    type Memory;

    fn device(&self) -> &Device;
    fn stream(&self) -> &Stream;
    /// `values` in memory that keeps its address.
    fn memory(&self, values: &[f32]) -> Self::Memory;
    fn address(&self, memory: &Self::Memory) -> u64;
    fn write(&self, memory: &mut Self::Memory, values: &[f32]);
    fn read(&self, memory: &Self::Memory) -> Vec<f32>;
    /// `len` f32 at the address of a state of a living optimizer.
    fn read_state(&self, address: u64, len: usize) -> Vec<f32>;
}

/// What a case came to.
#[derive(Default)]
pub struct Trace {
    /// The status before each step.
    pub before: Vec<Status>,
    /// The status after the last.
    pub last: Option<Status>,
    /// The place of the case's first group among the groups of the status.
    pub first_group: usize,
    /// The parameters after each step that the case records, counted from 1.
    pub params: BTreeMap<u64, Tensors>,
    /// The optimizer's state after the last step, by name and tensor.
    pub states: BTreeMap<String, BTreeMap<usize, Vec<f32>>>,
    /// Whether a run that was stopped and taken up came to the same bits.
    pub resumed: Option<bool>,
}

/// Cases that one optimizer can run: as many steps, the same options but for groups, and nothing that looks at all groups.
pub fn together(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let options = |case: &Case| {
        let mut options = case.config.clone();
        options.groups.clear();
        options
    };
    let shares = |case: &Case| {
        let Config { clip, loss_scale, metric, .. } = &case.config;
        clip.is_none() && loss_scale.is_none() && metric.is_none() && case.resumed_at().is_none()
    };
    let mut all: Vec<Vec<Case>> = Vec::new();
    for case in cases {
        let fits = |others: &&mut Vec<Case>| {
            let other = &others[0];
            shares(&case) && shares(other) && case.steps() == other.steps() && options(&case) == options(other)
        };
        match all.iter_mut().find(fits) {
            Some(others) => others.push(case),
            None => all.push(vec![case]),
        }
    }
    all
}

/// Cases that run in one optimizer, and their memory: all tensors one after the other.
struct Together<'a, P: Place> {
    place: &'a P,
    cases: &'a [Case],
    params: P::Memory,
    grads: P::Memory,
    /// Where each tensor begins, for each case.
    begins: Vec<Vec<usize>>,
}

impl<'a, P: Place> Together<'a, P> {
    fn new(place: &'a P, cases: &'a [Case], params: &[f32]) -> Self {
        let (mut begins, mut next) = (Vec::new(), 0);
        for case in cases {
            let mut of_case = Vec::new();
            for tensor in &case.gradients.init {
                of_case.push(next);
                next += tensor.len();
            }
            begins.push(of_case);
        }
        let (params, grads) = (place.memory(params), place.memory(&vec![0.0; params.len()]));
        Together { place, cases, params, grads, begins }
    }

    fn optimizer(&self) -> Optimizer {
        let (params, grads) = (self.place.address(&self.params), self.place.address(&self.grads));
        let mut config = self.cases[0].config.clone();
        config.groups = self.cases.iter().flat_map(|case| case.config.groups.iter().cloned()).collect();
        let mut tensors: Vec<Vec<Tensor>> = Vec::new();
        for (case, begins) in self.cases.iter().zip(&self.begins) {
            let tensor = |index: &usize| {
                let (at, len) = (4 * begins[*index] as u64, case.gradients.init[*index].len() as u64);
                // SAFETY: the memory outlives the optimizer, and all work on it is on one stream.
                unsafe { Tensor::f32(params + at, grads + at, len) }
            };
            tensors.extend(case.groups.iter().map(|group| group.iter().map(tensor).collect()));
        }
        let tensors: Vec<&[Tensor]> = tensors.iter().map(Vec::as_slice).collect();
        let builder = config.builder(self.place.device(), &tensors);
        builder.and_then(|builder| builder.build()).unwrap_or_else(|e| panic!("{}: {e}", self.cases[0].name))
    }

    /// Takes step `step` with its gradients, multiplied by the loss scale in force; returns the status before it.
    fn step(&mut self, opt: &mut Optimizer, step: usize) -> Status {
        let before = opt.status(self.place.stream()).unwrap();
        let mut grads: Vec<f32> = self.cases.iter().flat_map(|case| case.gradients.steps[step].concat()).collect();
        grads.iter_mut().for_each(|grad| *grad *= before.loss_scale);
        self.place.write(&mut self.grads, &grads);
        opt.step(self.place.stream()).unwrap();
        before
    }

    fn params(&self) -> Vec<f32> {
        self.place.read(&self.params)
    }

    /// The part of `params` that belongs to a case.
    fn of_case(&self, case: usize, params: &[f32]) -> Tensors {
        let lens = self.cases[case].gradients.init.iter().map(Vec::len);
        self.begins[case].iter().zip(lens).map(|(begin, len)| params[*begin..begin + len].to_vec()).collect()
    }
}

/// Runs `cases` in one optimizer.
pub fn run<P: Place>(place: &P, cases: &[Case]) -> Vec<Trace> {
    let init: Vec<f32> = cases.iter().flat_map(|case| case.gradients.init.concat()).collect();
    let mut together = Together::new(place, cases, &init);
    let mut opt = together.optimizer();
    let mut traces: Vec<Trace> = cases.iter().map(|_| Trace::default()).collect();
    let (resumed_at, mut stopped) = (cases[0].resumed_at(), None);
    for step in 0..cases[0].steps() {
        if resumed_at == Some(step as u64) {
            stopped = Some((step, opt.state(place.stream()).unwrap(), together.params()));
        }
        let before = together.step(&mut opt, step);
        traces.iter_mut().for_each(|trace| trace.before.push(before.clone()));
        let step = step as u64 + 1;
        let recording: Vec<usize> = (0..cases.len()).filter(|case| records(&cases[*case], step)).collect();
        if !recording.is_empty() {
            let params = together.params();
            for case in recording {
                traces[case].params.insert(step, together.of_case(case, &params));
            }
        }
    }
    let last = opt.status(place.stream()).unwrap();
    let resumed = stopped.map(|stopped| resume(place, cases, stopped) == bits(&together.params()));
    let (mut views, mut group) = (opt.tensors(), 0);
    for (case, trace) in cases.iter().zip(&mut traces) {
        (trace.last, trace.resumed, trace.first_group) = (Some(last.clone()), resumed, group);
        group += case.groups.len();
        for (index, view) in case.groups.iter().flatten().zip(&mut views) {
            for state in view.states {
                let values = place.read_state(state.address, view.len as usize);
                trace.states.entry(state.name.to_owned()).or_default().insert(*index, values);
            }
        }
    }
    traces
}

/// Whether the case has a record of the time after `step`, counted from 1.
fn records(case: &Case, step: u64) -> bool {
    let after = case.value["after"].as_array().expect("records");
    after.iter().any(|after| after["step"].as_u64() == Some(step))
}

/// The bits of the parameters of a run that was stopped and is taken up by new memory and a new optimizer.
fn resume<P: Place>(place: &P, cases: &[Case], (at, state, params): (usize, Vec<u8>, Vec<f32>)) -> Vec<u32> {
    let mut together = Together::new(place, cases, &params);
    let mut opt = together.optimizer();
    opt.load_state(&state, place.stream()).unwrap();
    for step in at..cases[0].steps() {
        together.step(&mut opt, step);
    }
    bits(&together.params())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
