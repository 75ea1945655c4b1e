//! Records as a table of text.

use std::io::Write;

use csv::Writer;

use super::{TelemetryColumn, TelemetryRecord};

/// Writes records as CSV, one line each after a line of names: `t`, `skipped`, `applied`, `raised`, `overlapped`,
/// `loss_scale`, `clip_factor`, `norm`, `loss`, then `0.lr` and so on, the number of a group and the name of a hyperparameter. Numbers are the shortest that read back
/// as the same bits.
///
/// ```
/// use instep::{Device, Optimizer, Sgd, Stream, Telemetry, TelemetryCsv, Tensor};
///
/// let (mut param, grad) = (vec![1.0f32; 8], vec![0.5f32; 8]);
/// // SAFETY: both vectors outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 8) };
/// let telemetry = Telemetry::ring(256);
/// let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(0.5), &[weight]).telemetry(telemetry).build()?;
/// let mut telemetry = opt.telemetry()?;
/// let mut csv = TelemetryCsv::new(Vec::new(), telemetry.columns())?;
/// opt.step(&Stream::host())?;
/// csv.write(&telemetry.poll()?)?;
/// let text = String::from_utf8(csv.finish()?)?;
/// let mut lines = text.lines();
/// assert_eq!(lines.next(), Some("t,skipped,applied,raised,overlapped,loss_scale,clip_factor,norm,loss,0.lr,0.weight_decay,0.momentum,0.dampening"));
/// assert_eq!(lines.next(), Some("0,0,true,false,false,1.0,1.0,0.0,0.0,0.5,0.0,0.0,0.0"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TelemetryCsv<W: Write>(Writer<W>);

impl<W: Write> TelemetryCsv<W> {
    /// Begins with the line of names. `columns`: [`TelemetryReader::columns`](crate::TelemetryReader::columns).
    pub fn new(writer: W, columns: &[TelemetryColumn]) -> std::io::Result<TelemetryCsv<W>> {
        let mut csv = Writer::from_writer(writer);
        let names = ["t", "skipped", "applied", "raised", "overlapped", "loss_scale", "clip_factor", "norm", "loss"];
        let names = names.map(str::to_owned);
        let columns = columns.iter().map(|TelemetryColumn { group, name }| format!("{group}.{name}"));
        csv.write_record(names.into_iter().chain(columns))?;
        Ok(TelemetryCsv(csv))
    }

    /// Writes one line for each record. It may stay in a buffer until [`TelemetryCsv::flush`].
    pub fn write(&mut self, records: &[TelemetryRecord]) -> std::io::Result<()> {
        for record in records {
            let TelemetryRecord { t, skipped, applied, raised, overlapped, loss_scale, clip_factor, norm, loss, .. } = record;
            let head = [
                t.to_string(),
                skipped.to_string(),
                applied.to_string(),
                raised.to_string(),
                overlapped.to_string(),
                format!("{loss_scale:?}"),
                format!("{clip_factor:?}"),
                format!("{norm:?}"),
                format!("{loss:?}"),
            ];
            self.0.write_record(head.into_iter().chain(record.values.iter().map(|value| format!("{value:?}"))))?;
        }
        Ok(())
    }

    /// Passes all that was written on to the writer.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }

    /// Flushes, and gives the writer back.
    pub fn finish(self) -> std::io::Result<W> {
        self.0.into_inner().map_err(|e| e.into_error())
    }
}
