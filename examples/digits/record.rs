//! The run as a table, for a spreadsheet or a script: what the picture shows, to the last bit.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Result;
use crate::training::Report;

/// Writes `report` as CSV into a new file; missing folders are made. One line per step, in which `validation_loss` and
/// `correct` stand only if a validation came right after it. Numbers have as many digits as it takes to read the same
/// f32 back.
pub fn write(path: &Path, report: &Report) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "step,loss,lr,validation_loss,correct")?;
    let mut validations = report.validations.iter().peekable();
    for (step, (loss, lr)) in report.loss.iter().zip(&report.lr).enumerate() {
        match validations.next_if(|seen| seen.steps == step + 1) {
            Some(seen) => writeln!(file, "{step},{loss},{lr},{},{}", seen.loss, seen.correct)?,
            None => writeln!(file, "{step},{loss},{lr},,")?,
        }
    }
    Ok(file.flush()?)
}
