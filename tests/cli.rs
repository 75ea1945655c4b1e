//! The command-line tool, as a user runs it: what each command prints, and how wrong input is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const COSINE: &str = r#"{"version": 1, "groups": [
    {"name": "decay", "lr": {"warmup": {"steps": 200, "cosine": {"from": 1e-3, "to": 1e-5, "over": 1800}}}, "weight_decay": 0.1},
    {"lr": 0.5}
]}"#;

const ONE_CYCLE: &str = "version = 1
[[groups]]
lr.linear = { from = 0.25, to = 0.5, over = 4 }
momentum = 0.9
";

const TORCH: &str = r#"{"library": "torch", "api": "torch.optim.lr_scheduler.StepLR",
    "params": {"step_size": 30, "gamma": 0.5},
    "optimizer": {"class": "SGD", "args": {"lr": 0.1}, "groups": [{}]}}"#;

const LAMBDA: &str = r#"{"library": "torch", "api": "LambdaLR", "params": {"lr_lambda": "LAMBDA"},
    "optimizer": {"class": "SGD", "args": {"lr": 0.1}, "groups": [{}]}}"#;

/// A folder of its own for each test, with the configurations in it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{test}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("cosine.json", COSINE), ("one-cycle.toml", ONE_CYCLE), ("torch.json", TORCH)] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Folder(folder)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_instep"));
        command.current_dir(&self.0).args(arguments).output().unwrap()
    }

    /// What a successful run prints.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// What a refused run says; its exit code is 2 and it prints nothing else.
    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn trace_prints_every_hyperparameter_of_every_group() {
    let folder = Folder::new("trace");
    let table = folder.prints(&["trace", "cosine.json", "--steps", "0,100,200..201,2000"]);
    let expected = "step,decay.lr,decay.weight_decay,groups[1].lr\n\
                    0,0.0,0.1,0.5\n100,0.0005,0.1,0.5\n200,0.001,0.1,0.5\n2000,1e-5,0.1,0.5\n";
    assert_eq!(table, expected);

    let json = folder.prints(&["trace", "one-cycle.toml", "--steps", "0..5:2", "--format", "json"]);
    let expected = serde_json::json!({
        "steps": [0, 2, 4],
        "values": {"groups[0].lr": [0.25, 0.375, 0.5], "groups[0].momentum": [0.9, 0.9, 0.9]},
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected);

    let whole = folder.prints(&["trace", "cosine.json"]);
    assert_eq!(whole.lines().count(), 1 + 101, "by default from the first step to the end");
    assert!(whole.lines().last().unwrap().starts_with("2000,1e-5,"), "{whole}");
}

#[test]
fn trace_reads_other_libraries_configurations() {
    let table = Folder::new("peers").prints(&["trace", "torch.json", "--steps", "0,29,30,60"]);
    assert_eq!(table, "step,groups[0].lr\n0,0.1\n29,0.1\n30,0.05\n60,0.025\n");
}

#[test]
fn an_optimizer_of_another_library_is_read_with_its_scheduler() {
    let folder = Folder::new("optimizer");
    let text = r#"{"library": "torch", "api": "torch.optim.AdamW", "params": {"lr": 0.1, "weight_decay": 0},
        "groups": [{}], "schedule": {"class": "StepLR", "step_size": 30, "gamma": 0.5}, "clip": CLIP}"#;
    let clip = r#"{"function": "clip_grad_norm_", "max_norm": 1}"#;
    std::fs::write(folder.0.join("adamw.json"), text.replace("CLIP", clip)).unwrap();
    let table = folder.prints(&["trace", "adamw.json", "--steps", "0,30"]);
    assert_eq!(table.lines().nth(2), Some("30,0.05,0.9,0.999,1e-8,0.0"), "{table}");
    assert!(folder.prints(&["emit", "adamw.json"]).contains("Clip::torch"));
    std::fs::write(folder.0.join("refused.json"), text.replace("CLIP", "3")).unwrap();
    let refusal = folder.refuses(&["trace", "refused.json"]);
    assert!(refusal.contains("clip is 3, but must be an object"), "{refusal}");
}

#[test]
fn what_a_metric_would_change_is_not_left_out_without_a_word() {
    let folder = Folder::new("metric");
    let text = r#"{"version": 1, "groups": [{"lr": 0.5, "metric": {"plateau": {"factor": 0.5}}}]}"#;
    std::fs::write(folder.0.join("plateau.json"), text).unwrap();
    let output = folder.run(&["trace", "plateau.json", "--steps", "0"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "step,groups[0].lr\n0,0.5\n");
    let note =
        "instep: plateau.json: note: groups[0].lr is scaled by observed metrics (plateau); shown without that scale\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), note);
}

#[test]
fn a_scheduler_with_one_state_for_all_groups_is_one_rule_for_all() {
    let folder = Folder::new("shared");
    let text = |groups: &str| {
        format!(
            r#"{{"library": "torch", "api": "ReduceLROnPlateau", "params": {{"eps": 0}},
            "optimizer": {{"class": "SGD", "args": {{"lr": 0.1}}, "groups": {groups}}}}}"#
        )
    };
    std::fs::write(folder.0.join("plateau.json"), text(r#"[{}, {"lr": 0.2}]"#)).unwrap();
    let output = folder.run(&["trace", "plateau.json", "--steps", "0"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "step,groups[0].lr,groups[1].lr\n0,0.1,0.2\n");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("groups[0].lr is scaled") && notes.contains("groups[1].lr is scaled"), "{notes}");
}

#[test]
fn plot_draws_several_schedules_over_each_other() {
    let folder = Folder::new("plot");
    let files = ["plot", "cosine.json", "torch.json", "one-cycle.toml"];
    let chart = folder.prints(&files);
    for expected in ["learning rate\n", "step", "* decay\n", "o cosine groups[1].lr\n", "+ torch\n", "x one-cycle\n"] {
        assert!(chart.contains(expected), "no {expected:?} in\n{chart}");
    }
    assert!(chart.lines().next_back().unwrap().contains("one-cycle"), "{chart}");

    folder.prints(&[&files[..], &["--out", "lr.svg"]].concat());
    let svg = std::fs::read_to_string(folder.0.join("lr.svg")).unwrap();
    for expected in ["<svg", "learning rate", "step", "decay", "torch", "one-cycle"] {
        assert!(svg.contains(expected), "no {expected:?} in the SVG");
    }

    folder.prints(&[&files[..], &["--out", "lr.png"]].concat());
    let mut png = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(folder.0.join("lr.png")).unwrap()))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; png.output_buffer_size().unwrap()];
    png.next_frame(&mut pixels).unwrap();
    // The label of the value axis lies at the left edge, where nothing but text is drawn.
    let (width, height) = (960, 480);
    let dark = (0..height).flat_map(|y| (0..40).map(move |x| 3 * (y * width + x)));
    let dark = dark.filter(|at| pixels[*at] < 100).count();
    assert!(dark > 100, "{dark} dark pixels: the text is missing");

    let momentum = folder.prints(&["plot", "one-cycle.toml", "--of", "momentum", "--until", "50"]);
    assert!(momentum.starts_with("momentum\n") && momentum.contains(" 50\n"), "{momentum}");
}

#[test]
fn emit_prints_the_cuda_text_of_the_rule() {
    let folder = Folder::new("emit");
    assert!(folder.prints(&["emit", "cosine.json"]).contains("Adam<Decay::decoupled"), "AdamW by default");
    assert!(folder.prints(&["emit", "one-cycle.toml"]).contains("Sgd<Momentum::heavy"), "a momentum means SGD");
    assert!(folder.prints(&["emit", "cosine.json", "--rule", "adam"]).contains("Adam<Decay::coupled"));
    let refusal = folder.refuses(&["emit", "one-cycle.toml", "--rule", "adamw"]);
    let expected = "instep: one-cycle.toml: groups[0].momentum is set, but is not a hyperparameter of adamw; there are lr, \
                    weight_decay, beta1, beta2, eps\n";
    assert_eq!(refusal, expected);

    let text = "version = 1\nclip.torch_norm = 1\n[[groups]]\nlr = 1\n[[groups]]\nrule = { sgd = { maximize = true } }\nlr = 1\n";
    std::fs::write(folder.0.join("rules.toml"), text).unwrap();
    let text = folder.prints(&["emit", "rules.toml", "--rule", "adam"]);
    let expected = ["Adam<Decay::none", "Sgd<Momentum::none, Decay::none, Direction::maximize>", "Clip::torch"];
    assert!(expected.iter().all(|expected| text.contains(expected)), "{text}");
}

#[test]
fn emit_prints_the_schedules_as_a_header() {
    let folder = Folder::new("header");
    let text = folder.prints(&["emit", "--header", "cosine.json"]);
    let expected = [
        "// groups[0].lr: linear warm-up from 0 over 200 steps, then half a cosine from 0.001 to 1e-5 over 1800 steps",
        "INSTEP_TABLE u64 decay_lr_constants[] = {",
        "    0x0000000000000708ull,  // over: 1800",
        "INSTEP_FUNCTION double decay_lr(u64 t0, const u64* c) {",
        "INSTEP_FUNCTION double decay_weight_decay(u64, const u64* c) {",
        "INSTEP_FUNCTION double group1_lr(u64, const u64* c) {",
    ];
    for line in expected {
        assert!(text.lines().any(|ours| ours == line), "no {line:?} in\n{text}");
    }
}

#[test]
fn compile_refuses_what_it_cannot_make_before_it_looks_for_a_compiler() {
    let folder = Folder::new("compile");
    std::fs::write(folder.0.join("list.json"), "[1, 2]").unwrap();
    std::fs::write(folder.0.join("broken.pack"), "instepk\nand not the rest").unwrap();
    let architecture = "--arch: architecture is \"sm_1\", but must be a compute capability of two or three digits";
    let cases: [(&[&str], &str); 12] = [
        (&["cosine.json", "--arch", "sm_90,sm_1"], architecture),
        (
            &["cosine.json", "--arch", "sm_90", "-o", "nowhere/a.pack"],
            "nowhere/a.pack: must be a file in a folder that is there",
        ),
        (&["cosine.json", "--arch", "sm_90", "-o", "."], ".: must be a file in a folder that is there"),
        (&["list.json", "--arch", "sm_90"], "list.json: "),
        (&["absent.json", "--arch", "sm_90"], "absent.json: No such file"),
        (&["cosine.json", "--arch", "sm_90", "--tensors", "bf16/f64"], "\"f64\" must be f32, bf16 or f16"),
        (&["cosine.json", "--arch", "sm_90", "--tensors", "f32:many"], "which must be a count of elements"),
        (
            &["cosine.json", "--arch", "sm_90", "--tensors", "f32;f32;f32"],
            "cosine.json: tensors is said of 3 groups, but must be said once for all groups, or once for each of the 2",
        ),
        (
            &["cosine.json", "--arch", "sm_90", "--follow", "2"],
            "cosine.json: follow is 2, but must be the place of one of the 2 groups",
        ),
        (&["cosine.json"], "--arch"),
        (&["--list", "broken.pack"], "broken.pack: it is cut off"),
        (&["--list", "cosine.json"], "cosine.json: it is no pack of kernels"),
    ];
    for (arguments, expected) in cases {
        let refusal = folder.refuses(&[&["compile"], arguments].concat());
        assert!(refusal.contains(expected), "{arguments:?}: {refusal}\nexpected {expected}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_instep"));
    command.current_dir(&folder.0).args(["compile", "cosine.json", "--arch", "sm_90"]);
    let output = command.env("INSTEP_NVRTC", folder.0.join("nowhere")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("no NVRTC") && text.contains("INSTEP_NVRTC"), "{text}");
    assert!(!folder.0.join("kernels.pack").exists());
}

#[test]
fn compile_writes_a_pack_that_list_shows() {
    let Some(nvrtc) = std::env::var_os("INSTEP_NVRTC").filter(|folder| !folder.is_empty()) else {
        return eprintln!("skipped: INSTEP_NVRTC is not set; `cargo xtask test` sets it");
    };
    let folder = Folder::new("pack");
    let eight_bit = r#"{"version": 1, "precision": {"states": "8bit"}, "groups": [{"rule": "adamw", "lr": 0.5}]}"#;
    std::fs::write(folder.0.join("eight.json"), eight_bit).unwrap();
    let made = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_instep"));
        let output = command.current_dir(&folder.0).args(arguments).env("INSTEP_NVRTC", &nvrtc).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = made(&[
        "compile",
        "one-cycle.toml",
        "eight.json",
        "--arch",
        "sm_90,compute_100",
        "-o",
        "two.pack",
        "--tensors",
        "bf16/f32",
        "--hands-in",
        "found_inf",
    ]);
    assert_eq!(text, made(&["compile", "--list", "two.pack"]));
    let expected = [
        "sgd (param bf16 with an f32 master, grad f32, momentum_buffer f32); groups[0] of sgd",
        "adamw (param bf16 with an f32 master, grad f32, exp_avg 8-bit, exp_avg_sq 8-bit); adamw (param bf16 with an f32 master, grad f32, exp_avg f32",
        "the stop condition\n  sm_90 (",
    ];
    assert!(expected.iter().all(|expected| text.contains(expected)), "{text}");
}

#[test]
fn explain_says_what_happens_between_which_steps() {
    let text = Folder::new("explain").prints(&["explain", "cosine.json"]);
    let expected = "decay.lr
  steps 0 to 199: linear warm-up from 0 (0 to 0.000995)
  steps 200 to 1999: half a cosine from 0.001 to 1e-5 (0.001 to 1.000075e-5)
  from step 2000 on: 1e-5
decay.weight_decay
  from step 0 on: constant 0.1
groups[1].lr
  from step 0 on: constant 0.5
";
    assert_eq!(text, expected);
}

#[test]
fn doctor_names_what_is_missing_and_its_exit_code_agrees() {
    let folder = Folder::new("doctor");
    let mut command = Command::new(env!("CARGO_BIN_EXE_instep"));
    command.arg("doctor").env("INSTEP_NVRTC", folder.0.join("nowhere")).env("INSTEP_CACHE_DIR", folder.0.join("cache"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("driver and GPU: "), "{text}");
    let nvrtc = text.lines().find(|line| line.contains("NVRTC: ")).unwrap();
    assert!(nvrtc.starts_with("missing") && nvrtc.contains("INSTEP_NVRTC"), "{nvrtc}");
    let cache = text.lines().find(|line| line.contains("cache: ")).unwrap();
    assert!(cache.starts_with("found") && cache.ends_with(", 0 kernels, 0 KiB"), "{cache}");
}

#[test]
fn wrong_input_is_refused_with_the_place_and_the_rule() {
    let folder = Folder::new("refusals");
    let write = |name: &str, text: &str| std::fs::write(folder.0.join(name), text).unwrap();
    write("version.json", r#"{"version": 7, "groups": []}"#);
    write("field.json", r#"{"version": 1, "groups": [{"lr": 1, "wd": 2}]}"#);
    write("value.toml", "version = 1\n[[groups]]\nlr.linear = { from = 0, to = 1, over = -3 }\n");
    write("negative.json", r#"{"version": 1, "groups": [{"lr": -1}]}"#);
    write("crash.json", &TORCH.replace("30", "0"));
    write("note.json", &TORCH.replace("\"params\"", "\"parameters\""));
    let growth = r#"{"library": "torch", "api": "ExponentialLR", "params": {"gamma": 1.05},
        "optimizer": {"class": "SGD", "args": {"lr": 0.1}, "groups": [{}]}}"#;
    write("growth.json", growth);
    write("auto.json", r#"{"zero_optimization": {}, "optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}"#);
    write("epochs.json", r#"{"learning_rate": 1e-3, "num_train_epochs": 3, "lr_scheduler_type": "cosine"}"#);
    write("lr.yaml", "lr: 1");
    write("beta.json", r#"{"version": 1, "groups": [{"lr": 1, "beta1": 1.5}]}"#);
    write("rising.toml", "version = 1\n[[groups]]\nlr.multi_step = { init = 1, factor = 0.1, milestones = [9, 3] }\n");
    write("lambda.json", &LAMBDA.replace("LAMBDA", "0.5 - epoch / 10"));
    let cases: [(&[&str], &str); 24] = [
        (&["trace", "absent.json"], "absent.json: No such file"),
        (&["trace", "lr.yaml"], "lr.yaml: the file is one of the fields `lr`, but is like no file that is known"),
        (&["trace", "version.json"], "version.json: version is 7, but this build reads version 1"),
        (&["plot", "field.json"], "field.json: groups[0].wd is set, but is not a hyperparameter of any update rule"),
        (&["explain", "value.toml"], "value.toml: groups[0].lr.linear.over is -3, but must be a count of steps"),
        (&["emit", "negative.json"], "negative.json: groups[0].lr is -1, but must not be negative at any step"),
        (&["trace", "negative.json"], "negative.json: groups[0].lr is -1, but must not be negative at any step"),
        (&["explain", "negative.json"], "negative.json: groups[0].lr is -1, but must not be negative at any step"),
        (&["plot", "negative.json"], "negative.json: groups[0].lr is -1, but must not be negative at any step"),
        (&["trace", "beta.json"], "beta.json: groups[0].beta1 is 1.5, but must lie in [0, 1) at every step"),
        (&["explain", "beta.json"], "beta.json: groups[0].beta1 is 1.5, but must lie in [0, 1) at every step"),
        (&["trace", "lambda.json"], "but must not be negative at any step"),
        (&["explain", "field.json"], "field.json: groups[0].wd is set, but is not a hyperparameter of any update rule"),
        (&["trace", "rising.toml"], "groups[0].lr.multi_step.milestones[1] is 3, but must exceed the one before, 9"),
        (&["trace", "crash.json"], "crash.json: params.step_size is 0"),
        (&["trace", "note.json"], "but is not a field; there are api, every"),
        (&["trace", "growth.json"], "say where the run ends, after which the last value holds: --total-steps"),
        (
            &["trace", "auto.json"],
            "auto.json: optimizer.params.lr is auto, but is for whoever starts the run to fill in: give it as --set lr=…",
        ),
        (
            &["trace", "auto.json", "--set", "optimizer.params.lrr=1e-3"],
            "--set optimizer.params.lrr is 0.001, but is no name of an \"auto\"",
        ),
        (&["trace", "epochs.json"], "--steps-per-epoch is missing, but must be given"),
        (&["trace", "cosine.json", "--steps", "9..3"], "the range \"9..3\" is empty"),
        (&["plot", "cosine.json", "--of", "warmth"], "--of is warmth, but must be a hyperparameter"),
        (&["plot", "cosine.json", "--out", "lr.pdf"], "lr.pdf: the name must end in .svg or .png"),
        (&["paint"], "unrecognized subcommand 'paint'"),
    ];
    for (arguments, expected) in cases {
        let refusal = folder.refuses(arguments);
        assert!(refusal.contains(expected), "{arguments:?}: {refusal}\nexpected {expected}");
    }
}

#[test]
fn help_names_every_command() {
    let text = Folder::new("help").prints(&["--help"]);
    for command in ["trace", "plot", "emit", "explain", "compile", "doctor"] {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
    }
}
