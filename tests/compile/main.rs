//! The compile tier: every kernel of a few optimizers, for every architecture, through the real compiler; no GPU needed.
//! `INSTEP_NVRTC` is the folder of libnvrtc, `INSTEP_CUDA_TOOLS` that of `bin/nvdisasm`; `cargo xtask tools` fetches both.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Once;

use instep::{Device, Optimizer, Pack, PackBuilder, ParamForm, Schedule, Sgd};
use machine_code::nvrtc::{self, Nvrtc};
use machine_code::rules::{self, Stored};
use machine_code::units::{self, Unit};
use machine_code::{ARCHITECTURES, Compiled, forms, multiprocessor};

/// Of a kernel that works on elements; the others are launched as one block.
const MIN_RESIDENT_THREADS: u32 = 1_024;
/// Of `update` with a rule of five streams or more, which has more in flight in each thread.
const MIN_RESIDENT_THREADS_OF_FIVE_STREAMS: u32 = 768;
const ON_ELEMENTS: [&str; 4] = ["update", "update_part", "gradient_norm", "measure"];

/// Bytes of stack that ptxas may use off the main path over elements: on the newest architectures where streams do not fit
/// vectors, and on all in the kernels that do not walk over elements.
fn parked(kernel: &str, architecture: u32) -> u32 {
    if ["update", "update_part"].contains(&kernel) && architecture <= 90 { 0 } else { 32 }
}

/// The value of `variable`; without it the test is skipped and says so, or fails where the tier is required.
fn folder(variable: &str) -> Option<PathBuf> {
    let folder = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        let required = env::var("INSTEP_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|word| word.trim() == "nvrtc"),
            "{variable} is not set, but nvrtc is required"
        );
        // Once, and past the capture of the test harness: a skipped tier says so in any output.
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            let said =
                writeln!(io::stderr(), "compile tests: skipped: {variable} is not set; `cargo xtask test` sets it");
            said.expect("stderr is open");
        });
    }
    folder
}

fn nvrtc() -> Option<Nvrtc> {
    folder("INSTEP_NVRTC").map(|folder| Nvrtc::load(&folder).expect("INSTEP_NVRTC is a folder with NVRTC"))
}

/// The first bar that a kernel of `unit` does not reach.
fn shortfall(unit: &Unit, compiled: &Compiled, architecture: u32, stack: u32) -> Option<String> {
    let threads = unit.threads().expect("a unit states THREADS");
    unit.kernels().into_iter().find_map(|kernel| {
        let usage = compiled.usage(kernel).unwrap();
        let resident = multiprocessor::resident_threads(architecture, threads, usage.registers).unwrap();
        let least = match kernel == "update" && unit.most_streams() >= 5 {
            true => MIN_RESIDENT_THREADS_OF_FIVE_STREAMS,
            false => MIN_RESIDENT_THREADS,
        };
        let resides = !ON_ELEMENTS.contains(&kernel) || resident >= least;
        let holds = resides && usage.stack <= parked(kernel, architecture).max(stack);
        (!holds).then(|| format!("{kernel}, sm_{architecture}: {resident} resident threads, {usage:?}"))
    })
}

fn compiles_for_every_architecture(unit: &Unit) {
    compiles_with_stack(unit, |_| 0);
}

/// `stack`: bytes that an architecture may use, where they are more than [`parked`] says.
fn compiles_with_stack(unit: &Unit, stack: impl Fn(u32) -> u32) {
    let Some(nvrtc) = nvrtc() else { return };
    for architecture in ARCHITECTURES {
        let compiled = Compiled::of(unit, architecture, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(compiled.complaints(), [""; 0], "sm_{architecture}");
        assert_eq!(shortfall(unit, &compiled, architecture, stack(architecture)), None);
    }
}

#[test]
fn adamw_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::adamw());
}

#[test]
fn a_constant_rate_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::constant_adamw());
}

#[test]
fn tensors_that_come_and_go_cost_no_local_memory() {
    compiles_with_stack(&units::dynamic(), |architecture| if architecture <= 90 { 0 } else { 48 });
    for architecture in [80, 90] {
        let Some(outcome) = narrow(&units::dynamic(), architecture) else { return };
        assert_eq!(outcome, Ok(()));
    }
}

#[test]
fn adam_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::adam());
}

#[test]
fn the_closed_loop_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::closed_loop());
    // What block 0 does beside the update takes more there.
    let stack = |architecture| if architecture == 90 { 0 } else { 48 };
    compiles_with_stack(&units::all_of_the_loop(), stack);
}

#[test]
fn every_form_of_sgd_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::every_sgd());
}

#[test]
fn many_rules_and_operations_in_one_launch_compile_for_every_architecture() {
    compiles_with_stack(&units::everything(), |_| 16);
}

#[test]
fn rules_that_measure_and_remember_compile_for_every_architecture() {
    // What a tensor's own scalars and a sum's take more is parked on the newest architectures.
    compiles_with_stack(&units::clipped(), |architecture| if architecture <= 90 { 0 } else { 64 });
    compiles_with_stack(&units::measured(), |_| 96);
}

#[test]
fn every_operation_that_a_rule_may_make_compiles_for_every_architecture() {
    let Some(nvrtc) = nvrtc() else { return };
    for architecture in ARCHITECTURES {
        let compiled =
            Compiled::of(&units::every_operation(), architecture, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(compiled.complaints(), [""; 0], "sm_{architecture}");
    }
}

#[test]
fn the_stop_condition_compiles_for_every_architecture_with_no_header_and_no_library() {
    compiles_for_every_architecture(&units::condition());
}

#[test]
fn the_epoch_of_the_example_compiles_for_every_architecture_with_no_library() {
    let Some(nvrtc) = nvrtc() else { return };
    let network = ("network.h".to_owned(), "constexpr unsigned int STEPS_PER_EPOCH = 22;\n".to_owned());
    let text = include_str!("../../examples/digits/epoch.cu").to_owned();
    let unit =
        Unit { name: "the epoch of the example".to_owned(), text, headers: vec![network], bytes_per_param: Vec::new() };
    for architecture in ARCHITECTURES {
        let compiled = Compiled::of(&unit, architecture, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(compiled.complaints(), [""; 0], "sm_{architecture}");
    }
}

#[test]
fn a_pack_is_made_for_several_architectures_with_no_gpu_and_read_back() {
    if nvrtc().is_none() {
        return;
    }
    let lr = Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200);
    let mut pack = PackBuilder::new(["sm_80", "sm_90", "compute_100"]).unwrap();
    // Of one structure: the second adds nothing.
    for rate in [lr, Schedule::cosine(1e-3, 0.0).over(70).warmup(2)] {
        pack.add(&Optimizer::builder(&Device::host()).group(Sgd::new(rate), &[])).unwrap();
    }
    let pack = pack.compile().unwrap();
    let read = Pack::from_bytes(pack.as_bytes()).unwrap();
    assert_eq!((read.version(), read.compiler().0 >= 11), (env!("CARGO_PKG_VERSION"), true));
    let words: Vec<&str> = read.kernels().map(|kernel| kernel.words()).collect();
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].starts_with("sgd (param f32, grad f32); groups[0] of sgd") && words[1] == "the stop condition");
    for kernel in read.kernels() {
        let images: Vec<(String, usize)> = kernel.images().collect();
        let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sm_80", "sm_90", "compute_100"]);
        assert!(images.iter().all(|(_, bytes)| *bytes > 500), "{images:?}");
    }
    let mut unknown = PackBuilder::new(["sm_60"]).unwrap();
    unknown.add(&Optimizer::builder(&Device::host()).group(Sgd::new(0.1), &[])).unwrap();
    let refused = unknown.compile().unwrap_err().to_string();
    assert!(refused.starts_with("architecture is sm_60, but must be one that NVRTC "), "{refused}");
}

#[cfg(feature = "serde")]
#[test]
fn the_header_of_schedules_compiles_for_every_architecture() {
    let Some(nvrtc) = nvrtc() else { return };
    let lr = Schedule::cosine_power(3e-4, 3e-5, 2.0, 1.5).over(1_800).warmup(200);
    let header = instep::Config::new([instep::GroupConfig::new(lr)]).header().unwrap();
    let text = "#define INSTEP_TABLE static __device__ const\n#include \"schedules.h\"\nextern \"C\" __global__ void rate(double* out, \
                unsigned long long t) { *out = instep::group0_lr(t, instep::group0_lr_constants); }\n";
    let unit = Unit {
        name: "a header of schedules".to_owned(),
        text: text.to_owned(),
        headers: vec![("schedules.h".to_owned(), header)],
        bytes_per_param: Vec::new(),
    };
    for architecture in ARCHITECTURES {
        let compiled = Compiled::of(&unit, architecture, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(compiled.complaints(), [""; 0], "sm_{architecture}");
    }
}

#[test]
fn a_warning_is_noticed() {
    let Some(nvrtc) = nvrtc() else { return };
    let unused = units::adamw().patch("extern \"C\" __global__ void __launch_bounds__(THREADS) prime", {
        "extern \"C\" __global__ void idle() { int unused; }\n\
         extern \"C\" __global__ void __launch_bounds__(THREADS) prime"
    });
    let compiled = Compiled::of(&unused, 90, &nvrtc).unwrap();
    assert!(compiled.complaints()[0].contains("never referenced"), "{}", compiled.log);
}

#[test]
fn the_options_are_those_of_the_crate() {
    let (_, after) = include_str!("../../src/device/compile.rs").split_once("const OPTIONS: &[&str] =").unwrap();
    let (_, list) = after.split_once("&[").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let theirs: Vec<&str> =
        list.split(',').map(|option| option.trim().trim_matches('"')).filter(|o| !o.is_empty()).collect();
    assert_eq!(theirs, nvrtc::OPTIONS);
}

/// What keeps the main path of a one-rule `unit` from being global accesses of the widths that its streams are stored in alone, all
/// loads before all stores. None without the tools.
fn narrow(unit: &Unit, architecture: u32) -> Option<Result<(), String>> {
    let (nvrtc, programs) = (nvrtc()?, folder("INSTEP_CUDA_TOOLS")?);
    let compiled = Compiled::of(unit, architecture, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
    let expected = unit.main_accesses();
    match compiled.main_paths("update", &expected, &programs).unwrap().is_empty() {
        false => Some(Ok(())),
        true => Some(Err(format!("sm_{architecture}: no path of {expected:?}"))),
    }
}

#[test]
fn elements_move_by_wide_global_accesses_alone() {
    for unit in [units::adamw(), units::adam(), units::sgd(), units::momentum()] {
        // With one scalar more, four registers of Adam wait in local memory there.
        let parks = |architecture: &u32| unit.name == "Adam" && *architecture > 90;
        for architecture in ARCHITECTURES.into_iter().filter(|architecture| !parks(architecture)) {
            let Some(outcome) = narrow(&unit, architecture) else { return };
            assert_eq!(outcome, Ok(()), "{}", unit.name);
        }
    }
}

#[test]
fn other_precisions_than_f32_compile_for_every_architecture() {
    compiles_with_stack(
        &forms::all_bf16(ParamForm::Stochastic),
        |architecture| if architecture == 90 { 0 } else { 64 },
    );
    // Tails and misaligned blocks of codes are computed twice: what that takes waits in local memory.
    for unit in [forms::eight_bit(), units::every_form()] {
        compiles_with_stack(&unit, |_| 128);
    }
}

#[test]
fn elements_of_sixteen_bits_move_by_accesses_of_their_widths_alone_without_local_memory() {
    let Some(nvrtc) = nvrtc() else { return };
    for unit in forms::sixteen_bits().into_iter().chain([forms::f16()]) {
        let compiled = Compiled::of(&unit, 90, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(shortfall(&unit, &compiled, 90, 0), None, "{}", unit.name);
        let Some(outcome) = narrow(&unit, 90) else { return };
        assert_eq!(outcome, Ok(()), "{}", unit.name);
    }
}

/// Those with most streams, scalars and branches. `cargo xtask rules` has a table of all.
#[test]
fn the_heaviest_rules_take_no_local_memory() {
    let Some(nvrtc) = nvrtc() else { return };
    for (name, stored) in HEAVIEST {
        let unit = rules::unit_of(name, stored);
        let compiled = Compiled::of(&unit, rules::ARCHITECTURE, &nvrtc).unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(shortfall(&unit, &compiled, rules::ARCHITECTURE, 0), None, "{}", unit.name);
        // A parameter of sixteen bits beside five other streams is stored in two accesses.
        if stored == Stored::Master && unit.most_streams() >= 6 {
            continue;
        }
        let Some(outcome) = narrow(&unit, rules::ARCHITECTURE) else { return };
        assert_eq!(outcome, Ok(()), "{}", unit.name);
    }
}

const HEAVIEST: [(&str, Stored); 10] = [
    ("Adan", Stored::F32),
    ("Adan", Stored::Master),
    ("AdEMAMix", Stored::F32),
    ("AdEMAMix", Stored::Master),
    ("AdaBelief, AMSGrad", Stored::F32),
    ("RMSprop, centred, momentum", Stored::Master),
    ("Rprop", Stored::Master),
    ("Yogi", Stored::F32),
    ("AdamW, then Lookahead and EMA", Stored::F32),
    ("Lion, then clamp", Stored::Master),
];

/// The bars must be able to fail: each of these is a change that someone could make.
#[test]
fn a_narrow_access_a_spill_and_too_many_registers_are_noticed() {
    let Some(nvrtc) = nvrtc() else { return };
    let shortfall_of = |unit: Unit| shortfall(&unit, &Compiled::of(&unit, 90, &nvrtc).unwrap(), 90, 0);

    let bound = "BLOCKS_PER_MULTIPROCESSOR = 4";
    let spilling = shortfall_of(units::adamw().patch(bound, "BLOCKS_PER_MULTIPROCESSOR = 8")).unwrap();
    assert!(spilling.contains("stack") && !spilling.contains("stack: 0"), "{spilling}");
    let greedy = units::adamw().patch(bound, "BLOCKS_PER_MULTIPROCESSOR = 1").patch("VECTORS = 2", "VECTORS = 8");
    assert!(shortfall_of(greedy).unwrap().contains("update"));

    let whole = "  if constexpr (WHOLE) {\n    store_element(whole, v);";
    let first = "    store_element((Bits*)address + at, (Bits)v.bits(0));";
    let outcome = narrow(&units::adamw().patch(whole, &format!("{whole}\n{first}")), 90);
    assert!(outcome.is_none_or(|found| found.unwrap_err().contains("no path")));
}
