//! Programs that fail, planted in the place of the bundle's: the script itself is the one that goes to a GPU.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::machine::{Machine, program};
use crate::{asked_for, rows};

/// Prints what the test harness prints, of tests that do what their names say.
const DEVICE: &str = r#"#!/bin/bash
case " $* " in
*" --ignored "*) exit ;;
*" --list "*) printf '%s: test\n' a::passes a::skips b::fails_among_others c::breaks d::comes_last && exit ;;
esac
names=()
for word in "$@"; do [[ $word == *::* ]] && names+=("$word"); done
for name in "${names[@]}"; do
    printf 'test %s ... ' "$name"
    case $name in
    *skips) printf 'skipped: for a reason\nok\n' ;;
    *fails_among_others)
        ((${#names[@]} == 1)) && echo ok && continue
        printf "\nthread 'it' panicked at it.rs:1:2:\nleft is not right\nFAILED\n"
        ;;
    *breaks) BREAK ;;
    *) echo ok ;;
    esac
done
"#;

/// A bundle whose test `c::breaks` runs `how` in the middle; its other programs do nothing.
fn bundle(machine: &Machine, how: &str) -> PathBuf {
    let folder = machine.results().with_file_name("bundle");
    fs::create_dir_all(folder.join("bin")).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("xtask/bundle");
    for name in ["run.sh", "quick.sh", "results.py"] {
        fs::copy(sources.join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("revision"), "planted\n").unwrap();
    fs::write(folder.join("peers.py"), "print('{\"row\": \"a peer\", \"size\": \"1\"}')\n").unwrap();
    program(&folder.join("bin/device"), &DEVICE.replace("BREAK", how));
    program(&folder.join("bin/digits"), "#!/bin/sh\necho digits: accuracy=0.98 backend=cuda picture=none\n");
    program(&folder.join("bin/step"), "#!/bin/sh\necho '| a row |'\n");
    folder
}

fn result<'a>(results: &'a Value, name: &str) -> (&'a str, &'a str) {
    let mut named = rows(results, "tests").iter().filter(|row| row["row"] == name);
    let row = named.next().unwrap_or_else(|| panic!("{name} has no row: {results:#}"));
    assert!(named.next().is_none(), "{name} has two rows");
    (row["result"].as_str().unwrap(), row["note"].as_str().unwrap())
}

#[test]
fn a_test_that_crashes_is_repeated_alone_and_so_is_all_that_it_kept_from_running() {
    let Some(machine) = asked_for().then(|| Machine::bare("crash")).flatten() else { return };
    let run = machine.command(&bundle(&machine, "kill -SEGV $$"), &["quick"], "").output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let (results, markdown) = machine.read();
    assert_eq!(result(&results, "a::passes"), ("ok", ""));
    assert_eq!(result(&results, "a::skips"), ("skipped", "skipped: for a reason"));
    let (passed, note) = result(&results, "b::fails_among_others");
    assert_eq!(passed, "ok", "alone it passes");
    assert_eq!(note, "among the others: thread 'it' panicked at it.rs:1:2: left is not right");
    let (failed, note) = result(&results, "c::breaks");
    assert_eq!(failed, "failed");
    assert!(note.contains("the process ended in it"), "{note}");
    assert_eq!(result(&results, "d::comes_last"), ("ok", ""));
    assert_eq!(result(&results, "digits, plateau").0, "ok");
    // All is done long before the time is over.
    let slow = "golden::every_golden_schedule_is_applied_as_the_host_says_at_every_step";
    assert_eq!(result(&results, slow), ("ok", ""));
    assert_eq!(rows(&results, "peers").len(), 1, "{markdown}");
}

#[test]
fn a_test_that_hangs_is_stopped_and_the_others_run_alone_as_far_as_the_time_goes() {
    let Some(machine) = asked_for().then(|| Machine::bare("hang")).flatten() else { return };
    let run = machine.command(&bundle(&machine, "sleep 50"), &["quick"], "quick=40 test=1").output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let (results, _) = machine.read();
    assert_eq!(result(&results, "a::passes"), ("ok", ""));
    assert_eq!(result(&results, "c::breaks"), ("timed out", "among the others"));
    assert_eq!(result(&results, "d::comes_last"), ("ok", ""));
    let slow = "golden::every_golden_schedule_is_applied_as_the_host_says_at_every_step";
    assert_eq!(result(&results, slow).0, "not run");
}

#[test]
fn in_a_longer_visit_every_test_has_a_process_of_its_own() {
    let Some(machine) = asked_for().then(|| Machine::bare("longer")).flatten() else { return };
    let run = machine.command(&bundle(&machine, "exit 3"), &["tests"], "").output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let (results, _) = machine.read();
    assert_eq!(result(&results, "b::fails_among_others"), ("ok", ""));
    assert_eq!(result(&results, "c::breaks").0, "failed");
    assert_eq!(result(&results, "d::comes_last"), ("ok", ""));
}
