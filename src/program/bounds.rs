//! Interval arithmetic over a schedule's values: how `lower` knows that no step can yield an infinity or a NaN.

use crate::error::number;

/// The closed interval that every value of a program lies in, up to the rounding of its last digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    pub min: f64,
    pub max: f64,
}

impl Bounds {
    pub fn point(value: f64) -> Bounds {
        Bounds { min: value, max: value }
    }

    /// The interval between two values, in either order.
    pub fn between(a: f64, b: f64) -> Bounds {
        Bounds { min: a.min(b), max: a.max(b) }
    }

    pub fn union(self, other: Bounds) -> Bounds {
        Bounds { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub fn product(self, other: Bounds) -> Bounds {
        let corners = [self.min * other.min, self.min * other.max, self.max * other.min, self.max * other.max];
        corners.into_iter().map(Bounds::point).reduce(Bounds::union).expect("four corners")
    }

    pub fn clamp(self, min: f64, max: f64) -> Bounds {
        Bounds { min: self.min.clamp(min, max), max: self.max.clamp(min, max) }
    }

    pub fn holds_zero(self) -> bool {
        self.min <= 0.0 && self.max >= 0.0
    }

    /// Whether every value can be rounded to f32 without becoming infinite.
    pub fn fits_f32(self) -> bool {
        self.min >= -f64::from(f32::MAX) && self.max <= f64::from(f32::MAX)
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.min == self.max {
            true => f.write_str(&number(self.min)),
            false => write!(f, "{} to {}", number(self.min), number(self.max)),
        }
    }
}
