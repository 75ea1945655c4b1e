//! The rate follows the validation loss, which never leaves the device: what the example recorded of its rates is
//! replayed through the public rule, fed with what it recorded of its losses.

use std::path::Path;

use approx::abs_diff_eq;
use instep::PlateauState;

use crate::program::{Cuda, LastLine, digits, picture, run};
use crate::recipe::{Decline, Recipe, Rule};

const STEPS_PER_EPOCH: u64 = 22;
const HELD_OUT: f64 = 360.0;

/// A line of the table that `--csv` makes.
struct Row {
    step: u64,
    loss: f32,
    lr: f32,
    /// The loss and the number of images recognised, where the step was followed by a validation.
    validation: Option<(f32, u32)>,
}

#[test]
fn the_host_form_lowers_the_rate_where_its_validation_loss_stalls() {
    let (table, last) = train(Decline::Plateau, 1320, &Form::Host, "plateau-host");
    assert_eq!(last.backend, "host");
    assert!(last.accuracy >= 0.95, "{last:?}");
    check_rates(Decline::Plateau, &table);
    check_drops(&table, 3);
    check_validations(&table, &last);
}

#[test]
fn the_cuda_form_lowers_the_rate_where_its_validation_loss_stalls() {
    let Some(device) = Cuda::of_environment() else { return };
    // Long enough for drops, short enough for an emulator.
    let (table, last) = train(Decline::Plateau, 660, &Form::Cuda(&device), "plateau-cuda");
    assert_eq!(last.backend, "cuda");
    assert!(last.accuracy >= 0.95, "{last:?}");
    check_rates(Decline::Plateau, &table);
    check_drops(&table, 2);
    check_validations(&table, &last);
    // The stand-in has the host's own expf and logf: the same losses, hence the same drops, to the last bit.
    if let Cuda::StandIn(_) = device {
        let _ = train(Decline::Plateau, 660, &Form::Host, "plateau-host-twin");
        for kind in ["csv", "svg"] {
            let files = ["plateau-cuda", "plateau-host-twin"].map(|test| picture(test).with_extension(kind));
            let texts = files.each_ref().map(|path| std::fs::read_to_string(path).expect("a file of the run"));
            assert!(texts[0] == texts[1], "{} and {} differ", files[0].display(), files[1].display());
        }
    }
}

#[test]
fn without_a_plateau_rule_the_recorded_rates_are_the_schedules_alone() {
    // The last epoch is cut short, and validated all the same.
    let (table, last) = train(Decline::Cosine, 100, &Form::Host, "cosine-rates");
    check_rates(Decline::Cosine, &table);
    check_validations(&table, &last);
}

#[test]
fn the_picture_marks_every_drop_in_both_panels() {
    let (table, _) = train(Decline::Plateau, 660, &Form::Host, "plateau-marks");
    let svg = std::fs::read_to_string(picture("plateau-marks")).expect("the picture");
    // Marks are the one thing that is drawn with this colour and two points from edge to edge.
    let marks = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#969696")).count();
    assert_eq!(marks, 2 * drops(&table).len(), "marks in {}", picture("plateau-marks").display());
}

/// Which form of the example trains.
enum Form<'a> {
    Host,
    Cuda(&'a Cuda),
}

fn train(decline: Decline, steps: u64, form: &Form<'_>, test: &str) -> (Vec<Row>, LastLine) {
    let (picture, steps) = (picture(test), steps.to_string());
    let csv = picture.with_extension("csv");
    let schedule = match decline {
        Decline::Cosine => "cosine",
        Decline::Plateau => "plateau",
    };
    let mut command = digits(&["--schedule", schedule, "--steps", &steps], &picture);
    command.arg("--csv").arg(&csv);
    let run = match form {
        Form::Host => run(command.arg("--host")),
        Form::Cuda(device) => run(device.command(&mut command)),
    };
    (table(&csv), LastLine::of(&run))
}

fn table(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (head, rows) = text.split_once('\n').expect("a head");
    assert_eq!(head, "step,loss,lr,validation_loss,correct");
    let row = |line: &str| {
        let fields = line.split(',').collect::<Vec<_>>();
        let [step, loss, lr, validation_loss, correct] = fields[..] else { panic!("{line}") };
        let f32 = |field: &str| field.parse::<f32>().unwrap_or_else(|error| panic!("{line}: {error}"));
        let validation = (!correct.is_empty()).then(|| (f32(validation_loss), correct.parse().expect("a count")));
        Row { step: step.parse().expect("a step"), loss: f32(loss), lr: f32(lr), validation }
    };
    rows.lines().map(row).collect()
}

/// Every recorded rate has the bits of what the schedule and the rule's host state machine say, which is fed with the
/// recorded validation losses.
fn check_rates(decline: Decline, table: &[Row]) {
    let recipe =
        Recipe { rule: Rule::AdamW, decline, total_steps: table.len() as u64, steps_per_epoch: STEPS_PER_EPOCH };
    let (schedule, plateau) = (recipe.schedule(), recipe.plateau());
    let mut state = plateau.map(|plateau| plateau.start());
    for (index, row) in table.iter().enumerate() {
        assert_eq!(row.step, index as u64);
        let scale = state.map_or(1.0, |PlateauState { scale, .. }| scale);
        let expected = (schedule.at(row.step).expect("a value") * scale) as f32;
        assert_eq!(row.lr.to_bits(), expected.to_bits(), "step {}: {} is not {expected}", row.step, row.lr);
        if let (Some(plateau), Some((loss, _))) = (plateau, row.validation) {
            state = state.map(|state| plateau.observe(state, f64::from(loss)));
        }
    }
}

/// The steps with another rate than the one before, after the warm-up.
fn drops(table: &[Row]) -> Vec<usize> {
    (table.len() / 10 + 1..table.len()).filter(|&step| table[step].lr != table[step - 1].lr).collect()
}

/// After the warm-up the rate is constant but for `at_least` drops, each by the factor and right after a validation.
/// Knows the recipe's numbers for itself.
fn check_drops(table: &[Row], at_least: usize) {
    let drops = drops(table);
    assert!(drops.len() >= at_least, "drops at {drops:?}");
    let (peak_lr, mut scale) = (0.05, 1.0);
    for &step in &drops {
        assert_eq!(table[step - 1].lr, (peak_lr * scale) as f32, "before step {step}");
        scale *= 0.3;
        assert_eq!(table[step].lr, (peak_lr * scale) as f32, "from step {step} on");
        assert!(table[step - 1].validation.is_some(), "no validation before step {step}");
    }
}

/// One validation after each epoch and after the last step, the last of which is what the last line tells.
fn check_validations(table: &[Row], last: &LastLine) {
    for row in table {
        let due = (row.step + 1).is_multiple_of(STEPS_PER_EPOCH) || row.step + 1 == last.steps;
        assert_eq!(row.validation.is_some(), due, "step {}", row.step);
        let losses = [Some(row.loss), row.validation.map(|(loss, _)| loss)];
        assert!(losses.iter().flatten().all(|loss| loss.is_finite() && *loss > 0.0), "step {}: {losses:?}", row.step);
    }
    let (_, correct) = table.last().and_then(|row| row.validation).expect("a last validation");
    let share = f64::from(correct) / HELD_OUT;
    assert!(abs_diff_eq!(share, last.accuracy, epsilon = 1e-4), "{correct} recognised, {last:?}");
}
