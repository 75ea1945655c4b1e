//! Runs cases on a device, as many in one optimizer as have the same options: a compilation takes seconds.

use std::collections::BTreeMap;

use instep::{Config, Device, Form, Optimizer, Status, Stream, Tensor, TensorView};

use super::case::{Case, Tensors};
use super::storage::{Beside, buffer, decode, encode, joined, remainders, size};

/// Where cases run, and memory there.
pub trait Place {
    type Memory;

    fn device(&self) -> &Device;
    fn stream(&self) -> &Stream;
    /// `bytes`, a multiple of 4, in memory that keeps its address.
    fn memory(&self, bytes: &[u8]) -> Self::Memory;
    fn address(&self, memory: &Self::Memory) -> u64;
    /// Overwrites what lies at the address of such memory, or of what a living optimizer keeps.
    fn write(&self, address: u64, bytes: &[u8]);
    /// `len` bytes at such an address.
    fn read(&self, address: u64, len: usize) -> Vec<u8>;
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
    /// The place of its first tensor among all tensors of the status.
    pub first_tensor: usize,
    /// The parameters after each step that the case records, counted from 1: with what lies beside them.
    pub params: BTreeMap<u64, Tensors>,
    /// The same as they are stored.
    pub stored: BTreeMap<u64, Tensors>,
    /// Of those that are shown for evaluation, where the case lists such.
    pub shown: BTreeMap<u64, Tensors>,
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
        let alone = case.value["scope"] == "global" || case.resumed_at().is_some();
        clip.is_none() && loss_scale.is_none() && metric.is_none() && !alone
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
    masters: P::Memory,
    grads: P::Memory,
    /// Where each tensor begins, for each case.
    begins: Vec<Vec<Begin>>,
}

/// Where a tensor begins, in bytes.
#[derive(Clone, Copy, Default)]
struct Begin {
    param: usize,
    master: usize,
    grad: usize,
}

/// Parameters and masters, as bytes.
type Values = [Vec<u8>; 2];

impl<'a, P: Place> Together<'a, P> {
    fn new(place: &'a P, cases: &'a [Case], [params, masters]: &Values) -> Self {
        let (mut begins, mut next) = (Vec::new(), Begin::default());
        for case in cases {
            let mut of_case = Vec::new();
            for tensor in &case.gradients.init {
                of_case.push(next);
                next.param += size(case.storage.param, tensor.len());
                next.master += size(None, tensor.len());
                next.grad += size(case.storage.grad, tensor.len());
            }
            begins.push(of_case);
        }
        let grads = place.memory(&vec![0; next.grad]);
        Together { place, cases, params: place.memory(params), masters: place.memory(masters), grads, begins }
    }

    fn optimizer(&self) -> Optimizer {
        let [params, masters, grads] = [&self.params, &self.masters, &self.grads].map(|at| self.place.address(at));
        let mut config = self.cases[0].config.clone();
        config.groups = self.cases.iter().flat_map(|case| case.config.groups.iter().cloned()).collect();
        let mut tensors: Vec<Vec<Tensor>> = Vec::new();
        for (case, begins) in self.cases.iter().zip(&self.begins) {
            let tensor = |index: &usize| {
                let (begin, len) = (begins[*index], case.gradients.init[*index].len() as u64);
                let param = buffer(case.storage.param, params + begin.param as u64, len);
                let grad = buffer(case.storage.grad, grads + begin.grad as u64, len);
                // SAFETY: the memory outlives the optimizer, and all work on it is on one stream.
                let tensor = unsafe { Tensor::new(param, grad) };
                if case.storage.beside == Beside::Master {
                    // SAFETY: as above.
                    return unsafe { tensor.master(masters + begin.master as u64) };
                }
                tensor
            };
            tensors.extend(case.groups.iter().map(|group| group.iter().map(tensor).collect()));
        }
        let tensors: Vec<&[Tensor]> = tensors.iter().map(Vec::as_slice).collect();
        let builder = config.builder(self.place.device(), &tensors);
        let opt = builder.and_then(|builder| builder.build()).unwrap_or_else(|e| panic!("{}: {e}", self.cases[0].name));
        for (case, index, view) in self.views(&opt) {
            let at = view.beside_param.filter(|_| self.cases[case].storage.beside == Beside::Remainder);
            if let Some(at) = at {
                self.place.write(at, &remainders(&self.cases[case].gradients.init[index]));
            }
        }
        opt
    }

    /// Each tensor with the places of its case and of itself there.
    fn views<'o>(&self, opt: &'o Optimizer) -> impl Iterator<Item = (usize, usize, TensorView<'o>)> {
        let of_case = |(i, case): (usize, &'a Case)| case.groups.iter().flatten().map(move |index| (i, *index));
        let places = self.cases.iter().enumerate().flat_map(of_case);
        places.zip(opt.tensors()).map(|((case, index), view)| (case, index, view))
    }

    /// Takes step `step` with its gradients, multiplied by the loss scale in force; returns the status before it.
    fn step(&mut self, opt: &mut Optimizer, step: usize) -> Status {
        let before = opt.status(self.place.stream()).unwrap();
        let mut bytes = Vec::new();
        for case in self.cases {
            for grad in &case.gradients.steps[step] {
                let scaled: Vec<f32> = grad.iter().map(|grad| grad * before.loss_scale).collect();
                bytes.extend(encode(case.storage.grad, &scaled));
            }
        }
        self.place.write(self.place.address(&self.grads), &bytes);
        opt.step(self.place.stream()).unwrap();
        before
    }

    /// The parameters for evaluation after `step`, counted from 1, of the cases that list such, and back: not a bit may change by that.
    fn note_shown(&self, opt: &mut Optimizer, step: u64, traces: &mut [Trace]) {
        let lists = |case: &Case| after(case, step).is_some_and(|record| !record["params_eval"].is_null());
        if !self.cases.iter().any(lists) {
            return;
        }
        let before = self.values();
        opt.eval(self.place.stream()).unwrap();
        for (case, index, view) in self.views(opt).filter(|(case, ..)| lists(&self.cases[*case])) {
            let tensors = self.cases[case].gradients.init.len();
            let shown = traces[case].shown.entry(step).or_insert_with(|| vec![Vec::new(); tensors]);
            let [_, stored] = self.tensor(case, &view);
            shown[index] = stored;
        }
        opt.train(self.place.stream()).unwrap();
        assert_eq!(before, self.values(), "the parameters for training are others than before");
    }

    fn values(&self) -> Values {
        let lens =
            self.cases.iter().flat_map(|case| case.gradients.init.iter().map(|tensor| (case.storage, tensor.len())));
        let params = lens.clone().map(|(storage, len)| size(storage.param, len)).sum();
        let masters = lens.map(|(_, len)| size(None, len)).sum();
        let read = |memory: &P::Memory, len| self.place.read(self.place.address(memory), len);
        [read(&self.params, params), read(&self.masters, masters)]
    }

    /// A tensor with what lies beside it, and as it is stored.
    fn tensor(&self, case: usize, view: &TensorView<'_>) -> [Vec<f32>; 2] {
        let (storage, len) = (self.cases[case].storage, view.len as usize);
        let width = if storage.param.is_some() { 2 } else { 4 };
        let stored = decode(storage.param, &self.place.read(view.param, width * len));
        let precise = match (view.param_form, view.beside_param) {
            (Form::Master(_), Some(at)) => decode(None, &self.place.read(at, 4 * len)),
            (Form::Remainder, Some(at)) => joined(&stored, &self.place.read(at, 2 * len)),
            _ => stored.clone(),
        };
        [precise, stored]
    }
}

/// Runs `cases` in one optimizer.
pub fn run<P: Place>(place: &P, cases: &[Case]) -> Vec<Trace> {
    let init = || cases.iter().flat_map(|case| case.gradients.init.iter().map(|tensor| (case.storage, tensor)));
    let params = init().flat_map(|(storage, tensor)| storage.start(tensor)).collect();
    let masters = init().flat_map(|(_, tensor)| encode(None, tensor)).collect();
    let mut together = Together::new(place, cases, &[params, masters]);
    let mut opt = together.optimizer();
    let mut traces: Vec<Trace> = cases.iter().map(|_| Trace::default()).collect();
    let (resumed_at, mut stopped) = (cases[0].resumed_at(), None);
    for step in 0..cases[0].steps() {
        if resumed_at == Some(step as u64) {
            stopped = Some((step, opt.state(place.stream()).unwrap(), together.values()));
        }
        let before = together.step(&mut opt, step);
        traces.iter_mut().for_each(|trace| trace.before.push(before.clone()));
        let step = step as u64 + 1;
        for (case, index, view) in together.views(&opt).filter(|(case, ..)| after(&cases[*case], step).is_some()) {
            let trace = &mut traces[case];
            for (all, tensor) in [&mut trace.params, &mut trace.stored].into_iter().zip(together.tensor(case, &view)) {
                let tensors = all.entry(step).or_insert_with(|| vec![Vec::new(); cases[case].gradients.init.len()]);
                tensors[index] = tensor;
            }
        }
        together.note_shown(&mut opt, step, &mut traces);
    }
    let last = opt.status(place.stream()).unwrap();
    let resumed = stopped.map(|stopped| resume(place, cases, stopped) == together.values());
    let (mut group, mut tensor) = (0, 0);
    for (case, trace) in cases.iter().zip(&mut traces) {
        (trace.last, trace.resumed) = (Some(last.clone()), resumed);
        (trace.first_group, trace.first_tensor) = (group, tensor);
        group += case.groups.len();
        tensor += case.groups.iter().map(Vec::len).sum::<usize>();
    }
    for (case, index, view) in together.views(&opt) {
        for state in view.states {
            let (half, width) = match state.form {
                Form::F32 => (None, 4),
                Form::Half(half, _) => (Some(half), 2),
                form => panic!("{}: {} is {form}", cases[case].name, state.name),
            };
            let values = decode(half, &place.read(state.address, width * view.len as usize));
            traces[case].states.entry(state.name.to_owned()).or_default().insert(index, values);
        }
    }
    traces
}

/// The case's record of the time after `step`, counted from 1.
fn after(case: &Case, step: u64) -> Option<&serde_json::Value> {
    let after = case.value["after"].as_array().expect("records");
    after.iter().find(|after| after["step"].as_u64() == Some(step))
}

/// The parameters of a run that was stopped and is taken up by new memory and a new optimizer.
fn resume<P: Place>(place: &P, cases: &[Case], (at, state, values): (usize, Vec<u8>, Values)) -> Values {
    let mut together = Together::new(place, cases, &values);
    let mut opt = together.optimizer();
    opt.load_state(&state, place.stream()).unwrap();
    for step in at..cases[0].steps() {
        together.step(&mut opt, step);
    }
    together.values()
}
