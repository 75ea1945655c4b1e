//! The examples `cudarc`, `engine`, `ggml` and `rate_buffer`, run as a user runs them: on the stand-in driver, or on a real GPU with
//! `INSTEP_TEST_DEVICE=gpu`. Needs the built examples: `cargo test` builds them, `cargo test --test engines` alone does not.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// An example, which lies at `<profile>/examples`, as this test lies at `<profile>/deps`. `None`, after a line that says why, where there
/// is nothing to run it on.
fn example(name: &str) -> Option<Command> {
    let test = std::env::current_exe().expect("this test's path");
    let profile = test.ancestors().nth(2).expect("this test lies in a folder of a folder");
    let mut command = Command::new(profile.join("examples").join(name));
    if std::env::var_os("INSTEP_TEST_DEVICE").is_some_and(|device| device == "gpu") {
        return Some(command);
    }
    match cuda_on_cpu::folder() {
        Ok(folder) => {
            command.env("LD_LIBRARY_PATH", folder).env("INSTEP_CACHE_DIR", "0").env_remove("INSTEP_NVRTC");
            command.env("CUDA_ON_CPU_REPORT", "1");
            Some(command)
        }
        Err(reason) => {
            let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|tier| tier == "standin"), "no stand-in: {reason}");
            // Not eprintln!, which the test harness would keep for itself.
            writeln!(std::io::stderr(), "skipped: the example {name}: {reason}").expect("standard error");
            None
        }
    }
}

/// What it prints.
fn run(command: &mut Command) -> String {
    let run = command.output();
    let run = run.unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo build --examples` builds it"));
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn a_captured_training_on_cudarc_learns() {
    let Some(mut example) = example("cudarc") else { return };
    let text = run(&mut example);
    let line = text.strip_prefix("cudarc: loss ").expect("one line");
    let (before, rest) = line.split_once(" -> ").expect("two losses");
    let (after, rest) = rest.split_once(" after ").expect("a count of updates");
    let [before, after] = [before, after].map(|loss| loss.parse::<f32>().expect("a loss"));
    assert!(before > 0.1 && after < 0.01, "{text}");
    assert!(rest.starts_with("400 updates, ") && rest.ends_with("next lr 0\n"), "{text}");
}

#[test]
fn seven_floats_move_under_a_captured_step_in_the_way_of_ggml() {
    let Some(mut example) = example("ggml") else { return };
    let text = run(&mut example);
    let line = text.strip_prefix("ggml: loss ").expect("one line");
    let (losses, floats) = line.split_once(", the last seven floats [").expect("losses and floats");
    let (before, after) = losses.split_once(" -> ").expect("two losses");
    let [before, after] = [before, after].map(|loss| loss.parse::<f32>().expect("a loss"));
    assert!(before > 0.4 && after < 1e-3, "{text}");
    let floats: Vec<f32> =
        floats.trim_end().trim_end_matches(']').split(", ").map(|x| x.parse().expect("a float")).collect();
    // Update 499, the 500th: the last one of a cosine over 450 steps that ends at 0.
    let lr = instep::recipes::warmup_cosine(0.02, 0.0, 50, 500).at(499).expect("a rate") as f32;
    let corrections = [0.9f64, 0.999].map(|beta| (1.0 / (1.0 - beta.powi(500))) as f32);
    assert_eq!(floats, [lr, 0.9, 0.999, 1e-8, 0.01, corrections[0], corrections[1]], "{text}");
}

#[test]
fn rates_in_buffers_drop_with_every_superbatch_in_the_way_of_bullet() {
    let Some(mut example) = example("rate_buffer") else { return };
    let text = run(&mut example);
    for superbatch in 1..=10 {
        let lr = 0.01 * 0.5f64.powi(superbatch - 1);
        let line = format!("superbatch {superbatch}: rate {}, kept {}\n", lr as f32, (1.0 - lr * 0.01) as f32);
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
    let off = text.lines().last().and_then(|line| line.strip_prefix("rate_buffer: off by ")).expect("a last line");
    let off: f32 = off.trim_end_matches(" at most").parse().expect("a number");
    assert!(off < 0.05, "{text}");
}

/// A field of the last line of `engine`.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let value = line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}= in {line:?}"))
}

#[test]
fn an_engine_goes_on_in_another_process_and_in_one_launch_to_the_same_bits() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine");
    std::fs::create_dir_all(&folder).expect("a folder for the state");
    let lines = ["first", "second", ""].map(|mode| {
        let mut command = example("engine")?;
        if !mode.is_empty() {
            command.arg(mode).arg(&folder);
        }
        Some(run(&mut command))
    });
    let [Some(first), Some(second), Some(whole)] = lines else { return };
    assert_eq!(first, whole, "a launch for each call, and one for all");
    for name in ["updates", "skipped", "stop", "scale", "lost", "loss", "weights"] {
        assert_eq!(field(&first, name), field(&second, name), "{name}: {first}{second}");
    }
    let counts = ["updates", "stop", "records", "lost"].map(|name| field(&first, name));
    assert_eq!(counts, ["120", "true", "120", "0"], "{first}");
    assert_eq!(field(&second, "records"), "60", "{second}");
    assert!(field(&first, "loss").parse::<f32>().expect("a loss") < 0.2, "{first}");
}
