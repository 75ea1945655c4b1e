//! Loops within loops of one graph, with the kernels of the example `digits` for the inner condition. On a GPU they need a
//! driver since CUDA 12.3.

use cudarc::driver::{CudaFunction, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{AdamW, Device, Optimizer, Schedule, Sgd, Source, StopCondition, Stream, Tensor};

use crate::rig::{Pair, Rig};
use crate::values::assert_same_bits;
use crate::while_loop::{self, WhileLoop};

const STEPS_PER_EPOCH: u64 = 5;

/// A model that is updated every step, and another that is updated once after each epoch.
struct Bench {
    begin_epoch: CudaFunction,
    continue_epoch: CudaFunction,
    condition: StopCondition,
    steps: Optimizer,
    epochs: Optimizer,
    pairs: [Pair; 2],
    rig: Rig,
}

fn build_steps(device: &Device, tensor: Tensor, total_steps: u64) -> Optimizer {
    let rule = AdamW::new(Schedule::cosine(1e-1, 1e-3).over(12));
    Optimizer::builder(device).group(rule, &[tensor]).stop_at(total_steps).build().unwrap()
}

fn build_epochs(device: &Device, tensor: Tensor) -> Optimizer {
    let rule = Sgd::new(Schedule::linear(1.0, 0.25).over(3));
    Optimizer::builder(device).group(rule, &[tensor]).build().unwrap()
}

impl Bench {
    /// None without conditional nodes, after saying so.
    fn new(total_steps: u64) -> Option<Bench> {
        let rig = Rig::new()?;
        if let Some(why) = while_loop::unavailable() {
            assert!(rig.standin.is_none(), "the stand-in has them: {why}");
            println!("skipped: {why}");
            return None;
        }
        let pairs = [0.5, -0.25].map(|grad| Pair::new(&rig, vec![1.0; 300], vec![grad; 300], (0, 1)));
        let steps = build_steps(&rig.device, pairs[0].device_tensor(), total_steps);
        let epochs = build_epochs(&rig.device, pairs[1].device_tensor());
        let header = format!("constexpr unsigned int STEPS_PER_EPOCH = {STEPS_PER_EPOCH};\n");
        let text = include_str!("../../examples/digits/epoch.cu");
        let source = Source { name: "epoch.cu", text, headers: &[("network.h", &header)] };
        let image = rig.device.compile(&source).unwrap();
        let module = rig.context.load_module(Ptx::from_binary(image.to_vec())).unwrap();
        let [begin_epoch, continue_epoch] = ["begin_epoch", "continue_epoch"].map(|name| {
            let function = module.load_function(name).unwrap();
            // The driver loads lazily, and may not do so inside a capture.
            function.num_regs().unwrap();
            function
        });
        let condition = steps.stop_condition().unwrap();
        rig.finish();
        Some(Bench { begin_epoch, continue_epoch, condition, steps, epochs, pairs, rig })
    }

    fn capture(&mut self) -> Result<WhileLoop, Box<dyn std::error::Error>> {
        let Bench { begin_epoch, continue_epoch, condition, steps, epochs, rig, .. } = self;
        let one_thread = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
        let set = |handle| {
            // SAFETY: captured into the graph of the handle; the condition outlives the graph.
            Ok(unsafe { condition.set(handle, &rig.stream) }?)
        };
        WhileLoop::build(&rig.engine, |whole| {
            let training = whole.handle()?;
            whole.work(|| set(training))?;
            whole.repeat(training, |rounds| {
                let epoch = rounds.handle()?;
                rounds.work(|| {
                    let mut arguments = rig.engine.launch_builder(begin_epoch);
                    arguments.arg(&epoch);
                    // SAFETY: the kernel takes a handle, of the graph that this is captured into.
                    unsafe { arguments.launch(one_thread) }?;
                    Ok(())
                })?;
                rounds.repeat(epoch, |round| {
                    round.work(|| {
                        steps.step(&rig.stream)?;
                        let view = steps.device_view();
                        let mut arguments = rig.engine.launch_builder(continue_epoch);
                        arguments.arg(&view.t).arg(&view.stop).arg(&epoch);
                        // SAFETY: as above, and two addresses of the optimizer, which outlives the graph.
                        unsafe { arguments.launch(one_thread) }?;
                        Ok(())
                    })
                })?;
                rounds.work(|| {
                    epochs.step(&rig.stream)?;
                    set(training)
                })
            })
        })
    }

    /// Parameters and clocks are those of as many steps and epochs on the host.
    fn check(&mut self, total_steps: u64, (steps, epochs): (u64, u64), what: &str) {
        let Bench { steps: device_steps, epochs: device_epochs, pairs, rig, .. } = self;
        rig.finish();
        let tensors = pairs.each_mut().map(Pair::host_tensor);
        let mut host_steps = build_steps(&Device::host(), tensors[0].clone(), total_steps);
        let mut host_epochs = build_epochs(&Device::host(), tensors[1].clone());
        for _ in 0..steps {
            host_steps.step(&Stream::host()).unwrap();
        }
        for _ in 0..epochs {
            host_epochs.step(&Stream::host()).unwrap();
        }
        for (opt, host) in [(device_steps, host_steps), (device_epochs, host_epochs)] {
            assert_eq!(opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap(), "{what}");
        }
        for pair in pairs {
            assert_same_bits(&pair.param.read(rig), &pair.host_param, what);
        }
    }
}

#[test]
fn one_graph_launch_runs_all_epochs_and_the_last_may_be_cut_short() {
    for (total_steps, epochs) in [(1, 1), (5, 1), (12, 3), (15, 3)] {
        let Some(mut bench) = Bench::new(total_steps) else { return };
        let whole = bench.capture().unwrap();
        whole.launch().unwrap();
        bench.check(total_steps, (total_steps, epochs), &format!("{total_steps} steps"));
    }
}

#[test]
fn a_launch_after_the_end_runs_no_step_and_no_epoch() {
    let Some(mut bench) = Bench::new(7) else { return };
    let whole = bench.capture().unwrap();
    for _ in 0..3 {
        whole.launch().unwrap();
    }
    bench.check(7, (7, 2), "launched three times");
}

#[test]
fn loops_that_the_driver_refuses_leave_stream_and_optimizer_as_they_were() {
    let Some(mut bench) = Bench::new(12) else { return };
    let Some(standin) = bench.rig.standin else { return println!("skipped: failures are injected on the stand-in") };
    // The loop around and the one inside, the captures before, in and after them, the instantiation.
    let calls = [("cuGraphConditionalHandleCreate", 2), ("cuGraphAddNode_v2", 2), ("cuStreamBeginCaptureToGraph", 4)];
    for (call, times) in calls.into_iter().chain([("cuGraphInstantiateWithFlags", 1)]) {
        for after in 0..times {
            standin.inject(call, 801, after).unwrap();
            let refused = bench.capture().err().unwrap_or_else(|| panic!("{call} was refused after {after} calls"));
            let text = refused.to_string();
            assert!(text.contains("801") || text.contains("NOT_SUPPORTED"), "{call}, {after}: {text}");
        }
    }
    bench.steps.step(&bench.rig.stream).unwrap();
    bench.epochs.step(&bench.rig.stream).unwrap();
    let whole = bench.capture().unwrap();
    whole.launch().unwrap();
    // The epoch that had begun by a single step ends where all do.
    bench.check(12, (12, 4), "a step of each, then the rest in one launch");
}
