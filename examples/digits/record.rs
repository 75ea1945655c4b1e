//! The run as a table, for a spreadsheet or a script: what the picture shows, to the last bit.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Result;
use crate::optimizer::Estimate;
use crate::training::Report;

/// Writes `report` as CSV into a new file; missing folders are made. One line per step, in which `validation_loss` and
/// `correct` stand only if a validation came right after it; a column `estimate`, what the step left, only if the rule has
/// one. Numbers have as many digits as it takes to read the same
/// f32 back.
pub fn write(path: &Path, report: &Report, estimates: &[Estimate]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let column = if estimates.is_empty() { "" } else { ",estimate" };
    writeln!(file, "step,loss,lr,validation_loss,correct{column}")?;
    let mut estimates = estimates.iter().peekable();
    let mut validations = report.validations.iter().peekable();
    for (step, (loss, lr)) in report.loss.iter().zip(&report.lr).enumerate() {
        match validations.next_if(|seen| seen.steps == step + 1) {
            Some(seen) => write!(file, "{step},{loss},{lr},{},{}", seen.loss, seen.correct)?,
            None => write!(file, "{step},{loss},{lr},,")?,
        }
        match estimates.next_if(|estimate| estimate.step == step) {
            Some(estimate) => writeln!(file, ",{}", estimate.left)?,
            None if column.is_empty() => writeln!(file)?,
            None => writeln!(file, ",")?,
        }
    }
    Ok(file.flush()?)
}
