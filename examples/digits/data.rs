//! The data: 1,797 images of handwritten digits, every fifth held out. `data/README.md` names source and licence.

use crate::network::PIXELS;

const CSV: &str = include_str!("data/digits.csv");
/// Of each five images in a row, the first is held out.
const HELD_OUT_EVERY: usize = 5;
/// The value of a full pixel in the file.
const INK: f32 = 16.0;

/// Images and labels: the training images first, then the held-out ones.
#[derive(Clone)]
pub struct Digits {
    /// `f32[images][PIXELS]`, from 0 (paper) to 1 (ink).
    pub images: Vec<f32>,
    /// `u32[images]`, 0 to 9.
    pub labels: Vec<u32>,
    /// How many images, from the first, are for training.
    pub training: usize,
}

impl Digits {
    /// Parses the embedded file; an error names the line.
    pub fn load() -> Result<Self, String> {
        let rows = CSV.lines().enumerate().map(|(line, text)| Ok((line, row(line, text)?)));
        let rows = rows.collect::<Result<Vec<_>, String>>()?;
        let (held_out, training): (Vec<_>, Vec<_>) = rows.iter().partition(|(line, _)| line % HELD_OUT_EVERY == 0);
        let ordered = || training.iter().chain(&held_out).map(|(_, row)| row);
        Ok(Self {
            images: ordered().flat_map(|row| &row[..PIXELS]).map(|&value| f32::from(value) / INK).collect(),
            labels: ordered().map(|row| u32::from(row[PIXELS])).collect(),
            training: training.len(),
        })
    }

    /// The pixels of one image.
    pub fn image(&self, index: usize) -> &[f32] {
        &self.images[index * PIXELS..][..PIXELS]
    }

    /// How many images are held out.
    pub fn held_out(&self) -> usize {
        self.labels.len() - self.training
    }
}

/// One line of the file: 64 pixels, then the digit.
fn row(line: usize, text: &str) -> Result<Vec<u8>, String> {
    let row = text.split(',').map(str::parse).collect::<Result<Vec<u8>, _>>();
    let row = row.map_err(|error| format!("digits.csv, line {}: {error}", line + 1))?;
    match row.len() == PIXELS + 1 && row[PIXELS] < 10 {
        true => Ok(row),
        false => Err(format!("digits.csv, line {}: not {PIXELS} pixels and a digit", line + 1)),
    }
}
