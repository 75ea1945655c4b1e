//! Which steps to show: `0,10,100..200,0..2000:50`.

use std::str::FromStr;

/// The most steps that one call shows: more is a slip of the finger.
const LIMIT: u64 = 10_000_000;

/// Steps in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(pub Vec<u64>);

impl Selection {
    /// 101 steps, both ends among them; fewer where there are no more.
    pub fn up_to(last: u64) -> Selection {
        let mut steps: Vec<u64> = (0..=100).map(|i| (u128::from(last) * i / 100) as u64).collect();
        steps.dedup();
        Selection(steps)
    }
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (range, stride) = match part.split_once(':') {
                Some((range, stride)) => (range, count(stride, part)?),
                None => (part, 1),
            };
            if stride == 0 {
                return Err(format!("the stride of {part:?} is 0, but must be at least 1"));
            }
            let (from, to) = match range.split_once("..") {
                Some((from, to)) => (count(from, part)?, count(to, part)?),
                None if stride == 1 && !part.contains(':') => {
                    steps.push(count(range, part)?);
                    continue;
                }
                None => return Err(format!("{part:?} has a stride, but is no range such as 0..2000:50")),
            };
            if from >= to {
                return Err(format!("the range {part:?} is empty: its end is not above its start"));
            }
            if (to - from).div_ceil(stride).saturating_add(steps.len() as u64) > LIMIT {
                return Err(format!("{part:?} makes more than {LIMIT} steps; give it a stride, such as {range}:1000"));
            }
            steps.extend((from..to).step_by(usize::try_from(stride).unwrap_or(usize::MAX)));
        }
        Ok(Selection(steps))
    }
}

fn count(text: &str, part: &str) -> Result<u64, String> {
    let digits = text.trim().replace('_', "");
    digits.parse().map_err(|_| format!("{text:?} in {part:?} is not a step, a whole number from 0 to 2^64 - 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_ranges_come_in_the_order_in_which_they_are_given() {
        let selection: Selection = "7, 0..3, 10..20:4, 1_000".parse().unwrap();
        assert_eq!(selection.0, [7, 0, 1, 2, 10, 14, 18, 1_000]);
        let last: Selection = format!("{}", u64::MAX).parse().unwrap();
        assert_eq!(last.0, [u64::MAX]);
    }

    #[test]
    fn what_is_no_selection_is_refused_with_the_part_that_is_wrong() {
        let cases = [
            ("", "\"\" in \"\" is not a step"),
            ("1,x..2", "\"x\" in \"x..2\""),
            ("5..5", "empty"),
            ("0..9:0", "stride"),
            ("4:2", "no range"),
            ("0..18446744073709551615", "give it a stride"),
            ("7,0..18446744073709551615", "give it a stride"),
        ];
        for (text, expected) in cases {
            let refusal = text.parse::<Selection>().unwrap_err();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }

    #[test]
    fn the_default_has_both_ends_and_no_step_twice() {
        assert_eq!(Selection::up_to(3).0, [0, 1, 2, 3]);
        let long = Selection::up_to(u64::MAX).0;
        assert_eq!((long.len(), long[0], long[100]), (101, 0, u64::MAX));
    }
}
