//! Numbers and names as people write them, for messages.

use std::fmt::{Display, LowerExp};

/// A number as people write it: the fewest digits that read back, plain from 1e-4 up to 1e16, and as `1.5e-5` elsewhere. Those of an f32
/// are an f32's.
pub(crate) fn number<T: Copy + Display + LowerExp + Into<f64>>(value: T) -> String {
    let size: f64 = value.into().abs();
    match size == 0.0 || !size.is_finite() || (1e-4..1e16).contains(&size) {
        true => format!("{value}"),
        false => format!("{value:e}"),
    }
}

/// A name in quotes. What is in it stays as it is, but for control characters, which would break the line.
pub(crate) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for c in name.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_people_write_it() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (3e-4, "0.0003"),
            (1e-4, "0.0001"),
            (9.9e-5, "9.9e-5"),
            (1e-5, "1e-5"),
            (-2.5e-8, "-2.5e-8"),
            (65_536.0, "65536"),
            (1e15, "1000000000000000"),
            (1e16, "1e16"),
            (1e39, "1e39"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(number(0.1f32), "0.1");
        assert_eq!(number(1e-45f32), "1e-45");
    }

    #[test]
    fn every_number_reads_back() {
        let mut bits = 1u64;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(number(value).parse::<f64>().map(f64::to_bits), Ok(bits));
            }
        }
    }

    #[test]
    fn a_name_is_quoted_as_it_is() {
        assert_eq!(quoted("wäre \"w\\1\""), "\"wäre \"w\\1\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\\nlines\"");
    }
}
