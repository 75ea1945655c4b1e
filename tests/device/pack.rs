//! Optimizers from a pack, in a process where no NVRTC is to be found: the pack is made with the one that is there for the other tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    AdamW, Buffer, Clip, Device, Error, Lion, Optimizer, OptimizerBuilder, Pack, PackBuilder, Schedule, Sgd, Source,
    Stream, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};
use crate::while_loop::{self, WhileLoop};

/// Where the packs lie, for the process without a compiler.
const FOLDER: &str = "INSTEP_TEST_PACKS";

const STEPS: u64 = 9;

fn lr() -> Schedule {
    Schedule::linear(1e-3, 1e-1).over(3).then(Schedule::cosine(1e-1, 1e-3).over(9))
}

/// Two groups, two rules, a rate that moves, a norm, an end.
fn rich(builder: OptimizerBuilder, tensors: [&[Tensor]; 2]) -> OptimizerBuilder {
    let builder = builder.group(AdamW::new(lr()).weight_decay(0.1), tensors[0]).group(Sgd::new(lr()), tensors[1]);
    builder.clip(Clip::torch_norm(1.0)).stop_at(STEPS)
}

fn plain(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(Sgd::new(0.5), tensors)
}

/// `cubin.pack` for this device, and `ptx.pack` with PTX and machine code of another.
fn make_packs(rig: &Rig, folder: &Path) {
    let on_host = || Optimizer::builder(&Device::host());
    let (major, minor) = rig.context.compute_capability().unwrap();
    let ours = format!("sm_{major}{minor}");
    let mut pack = PackBuilder::new([ours.as_str()]).unwrap();
    pack.add(&rich(on_host(), [&[], &[]])).unwrap();
    pack.compile().unwrap().write(folder.join("cubin.pack")).unwrap();
    let mut pack = PackBuilder::new(["compute_75", "sm_120"]).unwrap();
    pack.add(&plain(on_host(), &[])).unwrap();
    pack.compile().unwrap().write(folder.join("ptx.pack")).unwrap();
}

#[test]
fn a_machine_without_a_compiler_trains_from_a_pack() {
    let Some(rig) = Rig::new() else { return };
    let folder = std::env::temp_dir().join(format!("instep-packs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    make_packs(&rig, &folder);
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "pack::without_a_compiler", "--ignored", "--nocapture"]);
    process.env("INSTEP_NVRTC", folder.join("nowhere")).env("INSTEP_CACHE_DIR", "0").env(FOLDER, &folder);
    let output =
        process.env("INSTEP_TEST_DEVICE", if rig.standin.is_some() { "standin" } else { "gpu" }).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "the process of the test above, in which no NVRTC is to be found"]
fn without_a_compiler() {
    let Some(rig) = Rig::new() else { panic!("the test above has a device") };
    let source = Source { name: "nothing.cu", text: "extern \"C\" __global__ void nothing(int) {}", headers: &[] };
    assert!(matches!(rig.device.compile(&source), Err(Error::NoNvrtc { .. })), "there is a compiler");
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let pack = |name: &str| Pack::read(folder.join(name)).unwrap();
    trains(&rig, &pack("cubin.pack"));
    runs_ptx(&rig, &pack("ptx.pack"));
    names_what_is_missing(&rig, &pack("cubin.pack"));
    // The rig has opened that of the stand-in.
    if rig.standin.is_none() && cfg!(target_os = "linux") {
        assert!(!std::fs::read_to_string("/proc/self/maps").unwrap().contains("libnvrtc"), "a compiler was loaded");
    }
}

fn pairs(rig: &Rig) -> Vec<Pair> {
    let mut random = Random(17);
    let lengths = [5, 2_050, 300].into_iter();
    lengths.map(|len| Pair::new(rig, random.units(len), random.units(len), (0, 1))).collect()
}

/// Single steps, a graph, and a loop that the stop condition ends give the host's bits.
fn trains(rig: &Rig, pack: &Pack) {
    let mut pairs = pairs(rig);
    let tensors: Vec<Tensor> = pairs.iter().map(Pair::device_tensor).collect();
    rig.finish();
    let before = rig.standin.map(|standin| standin.call_log());
    let builder = Optimizer::builder(&rig.device).kernels(pack);
    let mut opt = rich(builder, [&tensors[..2], &tensors[2..]]).build().unwrap();
    opt.step(&rig.stream).unwrap();
    if let (Some(standin), Some(before)) = (rig.standin, before) {
        let made = |call: &str| standin.calls(call) - before.get(call).copied().unwrap_or(0);
        assert_eq!(made("cuModuleLoadData"), 1, "a build from a pack loads one module");
    }
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for _ in 0..3 {
        graph.launch().unwrap();
    }
    let mut done = 4;
    match while_loop::unavailable() {
        None => {
            let condition = opt.stop_condition().unwrap();
            rig.finish();
            let body = |handle| {
                opt.step(&rig.stream)?;
                // SAFETY: captured into the graph of the handle; the condition outlives the graph.
                Ok(unsafe { condition.set(handle, &rig.stream) }?)
            };
            let whole = WhileLoop::capture(&rig.engine, |_| Ok(()), body).unwrap();
            whole.launch().unwrap();
            rig.finish();
            done = STEPS;
        }
        Some(why) => {
            assert!(rig.standin.is_none(), "the stand-in has them: {why}");
            println!("without the stop condition: {why}");
        }
    }

    let tensors: Vec<Tensor> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let builder = Optimizer::builder(&Device::host()).kernels(pack);
    let mut host = rich(builder, [&tensors[..2], &tensors[2..]]).build().unwrap();
    for _ in 0..done {
        host.step(&Stream::host()).unwrap();
    }
    rig.finish();
    for (i, pair) in pairs.iter().enumerate() {
        assert_same_bits(&pair.param.read(rig), &pair.host_param, &format!("tensor {i}"));
    }
    assert_eq!(opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap());
}

/// Machine code of another architecture is passed over for PTX of an earlier one.
fn runs_ptx(rig: &Rig, pack: &Pack) {
    let pair = Pair::new(rig, vec![1.0; 70], vec![0.25; 70], (0, 0));
    let mut opt = plain(Optimizer::builder(&rig.device).kernels(pack), &[pair.device_tensor()]).build().unwrap();
    opt.step(&rig.stream).unwrap();
    assert_same_bits(&pair.param.read(rig), &[0.875; 70], "one step of SGD");
}

fn names_what_is_missing(rig: &Rig, pack: &Pack) {
    let pair = Pair::new(rig, vec![1.0; 70], vec![0.25; 70], (0, 0));
    let missing = |builder: OptimizerBuilder| match builder.kernels(pack).build() {
        Err(Error::NoKernel { wanted, compute_capability, detail }) => {
            let (major, minor) = rig.context.compute_capability().unwrap();
            assert_eq!(compute_capability, (major as u32, minor as u32));
            assert!(detail.contains("\n  adamw (param f32") && detail.contains("\n  the stop condition"), "{detail}");
            wanted
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("built from what the pack does not have"),
    };
    let builder = || Optimizer::builder(&rig.device);
    let lion = missing(builder().group(Lion::new(1e-3), &[pair.device_tensor()]));
    assert_eq!(lion, "lion (param f32, grad f32, exp_avg f32)");
    let (param, grad) = (rig.array(&[1.0; 64], 0), rig.array(&[1.0; 64], 0));
    // SAFETY: both arrays outlive the optimizer that is not built.
    let half = unsafe { Tensor::new(Buffer::bf16(param.address(), 128), Buffer::f32(grad.address(), 64)) };
    let refused = builder().kernels(pack).group(Sgd::new(0.5), &[half]).build();
    assert!(matches!(refused, Err(Error::Argument { .. })), "the rules about tensors come first: {refused:?}");
    // SAFETY: as above.
    let half = unsafe { Tensor::new(Buffer::bf16(param.address(), 64), Buffer::f32(grad.address(), 64)) };
    assert_eq!(missing(builder().group(Sgd::new(0.5), &[half])), "sgd (param bf16 with an f32 master, grad f32)");
}
