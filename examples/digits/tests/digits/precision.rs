//! `--precision`: parameters, gradients and states in less than f32, on the host and in the CUDA form.

use std::thread;

use crate::program::{Cuda, LastLine, Recorded, record};

/// The words of the option, and what the example then says of its tensors: nothing for f32. The last is for comparison.
const FORMS: [(&str, &str); 6] = [
    ("f32", ""),
    (
        "master",
        "digits: parameters bf16 with an f32 master, gradients bf16, exp_avg f32, exp_avg_sq f32: 28 bytes each",
    ),
    (
        "remainder",
        "digits: parameters bf16 with a 16-bit remainder, gradients bf16, exp_avg f32, exp_avg_sq f32: 26 bytes each",
    ),
    (
        "stochastic",
        "digits: parameters bf16, rounded stochastically, gradients bf16, exp_avg bf16, rounded stochastically, \
         exp_avg_sq bf16, rounded stochastically: 14 bytes each",
    ),
    (
        "8bit",
        "digits: parameters bf16 with an f32 master, gradients bf16, exp_avg 8-bit, exp_avg_sq 8-bit: 16.0625 bytes each",
    ),
    ("nearest", "digits: parameters bf16, gradients bf16, exp_avg bf16, exp_avg_sq bf16: 14 bytes each"),
];
/// Half a point: one image of the 360, not two.
const HALF_A_POINT: f64 = 0.005;

/// A run: what it printed before the last line, the last line, and the table of its losses and rates.
struct Trained {
    told: String,
    last: LastLine,
    table: String,
}

/// Trains on the host where there is no device.
fn trained(device: Option<&Cuda>, precision: &str, options: &[&str]) -> Trained {
    let Recorded { last, table, text } = record(device, ["--precision", precision], options);
    let told = text.trim_end().rsplit_once('\n').map_or("", |(told, _)| told).to_owned();
    Trained { told, last, table }
}

impl Trained {
    /// The columns `loss` and, where there is one, `validation_loss` of each step.
    fn losses(&self) -> Vec<(f32, Option<f32>)> {
        let row = |row: &str| {
            let fields = row.split(',').collect::<Vec<_>>();
            (fields[1].parse().expect("a loss"), fields[3].parse().ok())
        };
        self.table.lines().skip(1).map(row).collect()
    }

    /// The accuracy and the validation loss in the end.
    fn end(&self) -> (f64, f32) {
        let loss = self.losses().last().and_then(|(_, validation)| *validation);
        (self.last.accuracy, loss.expect("a last validation"))
    }
}

/// Every form of one seed: the same first parameters, batches and rates.
fn check_accuracies(device: Option<&Cuda>, seed: &str) {
    let end = |precision| trained(device, precision, &["--seed", seed]).end();
    let (accuracy, loss) = end("f32");
    assert!(accuracy >= 0.95, "seed {seed}, f32: {accuracy}");
    for (precision, _) in &FORMS[1..] {
        let found = end(precision);
        let what = format!("seed {seed}, {precision}: {found:?}, f32: {:?}", (accuracy, loss));
        println!("{what}");
        if *precision == "nearest" {
            // What the others avoid can be seen at all.
            assert!(found.1 > 1.2 * loss, "{what}");
        } else {
            assert!((found.0 - accuracy).abs() < HALF_A_POINT, "{what}");
            assert!((found.1 - loss).abs() < 0.1 * loss, "{what}");
        }
    }
}

#[test]
fn every_precision_is_within_half_a_point_of_f32() {
    thread::scope(|scope| {
        for seed in ["0", "1", "2"] {
            scope.spawn(move || check_accuracies(None, seed));
        }
    });
    // An emulator is too slow for all of them.
    if let Some(device @ Cuda::Gpu) = Cuda::of_environment() {
        check_accuracies(Some(&device), "0");
    }
}

#[test]
fn the_precision_is_what_the_optimizer_stores_and_changes_every_loss() {
    // Two epochs, the second cut short.
    let runs = FORMS.map(|(precision, told)| {
        let run = trained(None, precision, &["--steps", "30"]);
        assert_eq!(run.told, told, "{precision}");
        run
    });
    let [f32, halves @ ..] = runs.each_ref().map(Trained::losses);
    for (index, half) in halves.iter().enumerate() {
        let precision = FORMS[index + 1].0;
        // From the first one on: the network computes from rounded parameters.
        let same = f32.iter().zip(half).filter(|(f32, half)| f32.0 == half.0).count();
        assert_eq!(same, 0, "losses of {precision} that are those of f32");
        assert_eq!(half[0].0, halves[0][0].0, "{precision}: all begin from the same parameters, rounded to nearest");
        // But for ties, a remainder is a master.
        let others = if precision == "remainder" { &[] } else { &halves[..index] };
        assert!(!others.contains(half), "{precision} has the losses of another");
    }
}

#[test]
fn the_cuda_form_has_the_bits_of_the_host_form_in_every_precision() {
    let Some(device @ Cuda::StandIn(_)) = Cuda::of_environment() else { return };
    let check = |precision: &str, options: &[&str]| {
        let [cuda, host] = [Some(&device), None].map(|device| trained(device, precision, options));
        assert_eq!(cuda.told, host.told, "{precision}");
        assert!(cuda.table == host.table, "{precision}, {options:?}: the tables of losses differ");
        assert_eq!(cuda.last.accuracy, host.last.accuracy, "{precision}, {options:?}");
    };
    for (precision, _) in &FORMS[1..] {
        // Two epochs and a part of one, in one launch.
        check(precision, &["--steps", "50", "--seed", "3"]);
    }
    // Rounded by what lies on the device, whatever launches it.
    check("stochastic", &["--steps", "50", "--schedule", "plateau", "--launch", "step"]);
}
