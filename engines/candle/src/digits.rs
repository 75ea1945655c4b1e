//! The data: 1,797 images of handwritten digits, every fifth held out. `examples/digits/data/README.md` names source and licence.

use candle_core::{Device, Error, Result, Tensor};

const CSV: &str = include_str!("../../../examples/digits/data/digits.csv");
/// Of each five images in a row, the first is held out.
const HELD_OUT_EVERY: usize = 5;
/// The value of a full pixel in the file.
const INK: f32 = 16.0;
/// Pixels of an image.
pub const PIXELS: usize = 64;

/// Images and their labels.
#[derive(Debug)]
pub struct Set {
    /// `f32[images][PIXELS]`, from 0 (paper) to 1 (ink).
    pub images: Tensor,
    /// `u32[images]`, 0 to 9.
    pub labels: Tensor,
}

/// What is trained on, and what is held out.
#[derive(Debug)]
pub struct Digits {
    /// For training.
    pub training: Set,
    /// For validation.
    pub held_out: Set,
}

impl Digits {
    /// Parses the embedded file and puts it on `device`; an error names the line.
    pub fn load(device: &Device) -> Result<Digits> {
        let rows = CSV.lines().enumerate().map(|(line, text)| row(line, text)).collect::<Result<Vec<_>>>()?;
        let part = |held_out: bool| {
            let rows: Vec<&Vec<u8>> = rows
                .iter()
                .enumerate()
                .filter(|(line, _)| (line % HELD_OUT_EVERY == 0) == held_out)
                .map(|(_, row)| row)
                .collect();
            let images: Vec<f32> =
                rows.iter().flat_map(|row| &row[..PIXELS]).map(|&value| f32::from(value) / INK).collect();
            let labels: Vec<u32> = rows.iter().map(|row| u32::from(row[PIXELS])).collect();
            let count = rows.len();
            Ok::<_, Error>(Set {
                images: Tensor::from_vec(images, (count, PIXELS), device)?,
                labels: Tensor::from_vec(labels, count, device)?,
            })
        };
        Ok(Digits { training: part(false)?, held_out: part(true)? })
    }
}

impl Set {
    /// How many images it has.
    pub fn count(&self) -> Result<usize> {
        self.labels.dim(0)
    }

    /// The images of these places.
    pub fn pick(&self, places: &[u32]) -> Result<Set> {
        let places = Tensor::new(places, self.labels.device())?;
        Ok(Set { images: self.images.index_select(&places, 0)?, labels: self.labels.index_select(&places, 0)? })
    }
}

/// One line of the file: 64 pixels, then the digit.
fn row(line: usize, text: &str) -> Result<Vec<u8>> {
    let row = text.split(',').map(str::parse).collect::<std::result::Result<Vec<u8>, _>>();
    match row {
        Ok(row) if row.len() == PIXELS + 1 && row[PIXELS] < 10 => Ok(row),
        _ => Err(Error::msg(format!("digits.csv, line {}: is not {PIXELS} pixels and a digit", line + 1))),
    }
}
