//! Lion, a rule that the crate does not have: a captured step, replayed a thousand times with skipped updates among them,
//! stopped in the middle and resumed on either side.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Clip, Device, NonFinite, Optimizer, OptimizerBuilder, Schedule, Stream, Tensor};

use super::lion::Lion;
use super::{Add, both};
use crate::bits::host_values;
use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

const LENGTHS: [usize; 5] = [1, 5, 64, 257, 2_049];
const REPLAYS: u64 = 1_000;

fn lr() -> Schedule {
    Schedule::linear(0.0, 0.02).over(100).then(Schedule::cosine(0.02, 0.001).over(800))
}

fn beta1() -> Schedule {
    Schedule::linear(0.8, 0.95).over(300)
}

/// Both forms of the rule, with the same schedules.
fn forms() -> [(&'static str, Add); 2] {
    let rule = Lion { lr: lr(), weight_decay: 0.1.into(), beta1: beta1(), beta2: 0.99.into() };
    both(rule, &[("lr", lr()), ("weight_decay", 0.1.into()), ("beta1", beta1())])
}

fn build(device: &Device, add: &Add, tensors: &[Tensor]) -> Optimizer {
    let builder: OptimizerBuilder = Optimizer::builder(device).clip(Clip::torch_norm(10.0)).non_finite(NonFinite::Skip);
    add(builder, tensors).build().unwrap()
}

/// The rule on both sides, on the device as a captured step.
struct Run<'r> {
    rig: &'r Rig,
    pairs: Vec<Pair>,
    device: Optimizer,
    graph: CudaGraph,
    host: Optimizer,
}

impl<'r> Run<'r> {
    fn new(rig: &'r Rig, add: &Add, params: impl IntoIterator<Item = Vec<f32>>) -> Run<'r> {
        let pair =
            |(i, param): (usize, Vec<f32>)| Pair::new(rig, param.clone(), vec![0.0; param.len()], (i % 4, i / 2));
        let mut pairs: Vec<Pair> = params.into_iter().enumerate().map(pair).collect();
        let mut device = build(&rig.device, add, &pairs.iter().map(Pair::device_tensor).collect::<Vec<_>>());
        let host = build(&Device::host(), add, &pairs.iter_mut().map(Pair::host_tensor).collect::<Vec<_>>());
        rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        device.step(&rig.stream).unwrap();
        let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
        Run { rig, pairs, device, graph, host }
    }

    /// Every seventh gradient is bad in one element, the very first too.
    fn replay(&mut self, call: u64) {
        let mut random = Random(call);
        for (i, pair) in self.pairs.iter_mut().enumerate() {
            let mut grad = random.units(pair.param.len);
            if call.is_multiple_of(7) && i == (call / 7) as usize % LENGTHS.len() {
                *grad.last_mut().unwrap() = if call.is_multiple_of(2) { f32::NAN } else { f32::INFINITY };
            }
            pair.set_grad(self.rig, &grad);
        }
        self.graph.launch().unwrap();
        self.host.step(&Stream::host()).unwrap();
    }

    /// Parameters and streams are equal on both sides; they come back.
    fn compared(&self, what: &str) -> (Vec<Vec<f32>>, Vec<u8>) {
        self.rig.finish();
        for (i, (device, host)) in self.device.tensors().zip(self.host.tensors()).enumerate() {
            let [ours, theirs] = [
                self.rig.read(device.states[0].address, LENGTHS[i]),
                host_values(host.states[0].address, LENGTHS[i]).to_vec(),
            ];
            assert_same_bits(&ours, &theirs, &format!("{what}, exp_avg {i}"));
            assert_same_bits(&self.pairs[i].param.read(self.rig), &self.pairs[i].host_param, &format!("{what}, {i}"));
        }
        let states = [self.device.state(&self.rig.stream).unwrap(), self.host.state(&Stream::host()).unwrap()];
        assert!(states[0] == states[1], "{what}: both sides write one block");
        let [state, _] = states;
        (self.pairs.iter().map(|pair| pair.host_param.to_vec()).collect(), state)
    }
}

#[test]
fn a_rule_of_ones_own_gives_the_hosts_bits_over_1000_replays_with_skips_and_a_resume() {
    let Some(rig) = Rig::new() else { return };
    let mut random = Random(3);
    let params: Vec<Vec<f32>> = LENGTHS.iter().map(|len| random.units(*len)).collect();
    let mut ends = Vec::new();
    let forms = forms();
    for (form, add) in &forms {
        let mut run = Run::new(&rig, add, params.clone());
        let mut middle = None;
        for call in 0..REPLAYS {
            if call == REPLAYS / 2 {
                middle = Some(run.compared(&format!("{form}, in the middle")));
            }
            run.replay(call);
        }
        let end = run.compared(&format!("{form}, at the end"));
        let status = run.device.status(&rig.stream).unwrap();
        assert_eq!((status.t, status.skipped), (857, 143));
        assert!(status.clip_factor < 1.0, "{status:?}");

        // The block of one form is one of the other, on both sides: the device's, loaded on the host too, and back.
        let (params, state) = middle.unwrap();
        for (other, add) in &forms {
            let mut resumed = Run::new(&rig, add, params.clone());
            resumed.device.load_state(&state, &rig.stream).unwrap();
            resumed.host.load_state(&state, &Stream::host()).unwrap();
            (REPLAYS / 2..REPLAYS).for_each(|call| resumed.replay(call));
            let what = format!("{form}, resumed {other}");
            assert!(resumed.compared(&what) == end, "{what}");
        }
        ends.push(end);
    }
    assert!(ends[0] == ends[1], "compiled and read from a text");
}
