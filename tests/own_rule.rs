//! The example `own_rule`, run as a user runs it: on the CPU, and on the stand-in driver, or on a real GPU with
//! `INSTEP_TEST_DEVICE=gpu`. Needs the built example: `cargo test` builds it, `cargo test --test own_rule` alone does not.

use std::io::Write;
use std::process::Command;

use instep::rule::Tape;

/// The example, which lies at `<profile>/examples`, as this test lies at `<profile>/deps`.
fn example(options: &[&str]) -> Command {
    let test = std::env::current_exe().expect("this test's path");
    let profile = test.ancestors().nth(2).expect("this test lies in a folder of a folder");
    let mut command = Command::new(profile.join("examples").join("own_rule"));
    command.args(options);
    command
}

/// What it prints.
fn run(command: &mut Command) -> String {
    let run = command.output();
    let run = run.unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo build --example own_rule` builds it"));
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn the_example_trains_skips_resumes_and_tells_of_it() {
    let text = run(&mut example(&[]));
    assert_eq!(text.matches(", skipped").count(), 1, "{text}");
    assert!(text.contains("step  40: ") && text.contains("updates=299 skipped=1 device=\"host\""), "{text}");
}

#[test]
fn on_a_gpu_it_comes_to_what_it_comes_to_on_the_cpu() {
    let mut command = example(&["--cuda"]);
    if std::env::var_os("INSTEP_TEST_DEVICE").is_none_or(|device| device != "gpu") {
        match cuda_on_cpu::folder() {
            Ok(folder) => {
                command.env("LD_LIBRARY_PATH", folder).env("INSTEP_CACHE_DIR", "0").env_remove("INSTEP_NVRTC")
            }
            Err(reason) => {
                let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|tier| tier == "standin"), "no stand-in: {reason}");
                // Not eprintln!, which the test harness would keep for itself.
                writeln!(std::io::stderr(), "skipped: own_rule on CUDA: {reason}").expect("standard error");
                return;
            }
        };
    }
    let [cuda, host] = [run(&mut command), run(&mut example(&[]))];
    let without_device = |text: &str| text.split("device=").next().unwrap_or_default().to_owned();
    assert!(!cuda.contains("device=\"host\""), "{cuda}");
    assert_eq!(without_device(&cuda), without_device(&host));
}

#[test]
fn the_rule_is_printed_as_a_tape() {
    let text = run(&mut example(&["--tape"]));
    assert_eq!(Tape::parse(&text).expect("a tape").to_string(), text);
}
