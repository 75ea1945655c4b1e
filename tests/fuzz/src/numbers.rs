//! The numbers at which something ends: types, exactness, tables, budgets.

use serde_json::{Number, Value, json};

use crate::random::Random;

/// Whole numbers that JSON can hold: ends of types and of what is stated, each with its neighbours.
const WHOLE: [i128; 9] =
    [0, i64::MIN as i128, i64::MAX as i128, u64::MAX as i128, 1 << 53, 1 << 32, 1 << 31, 1 << 20, 1 << 24];

const REAL: [f64; 20] = [
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    f64::EPSILON,
    f32::MAX as f64,
    3.402_823_6e38,
    1e-45,
    0.999_999_999_999_999_9,
    1.000_000_000_000_000_2,
    -0.0,
    0.5,
    -0.5,
    1e300,
    1e-300,
    18_446_744_073_709_551_616.0,
    9_223_372_036_854_774_784.0,
    1e19,
    0.1,
    256.5,
];

/// How no number of JSON is written, and how some of them may be.
const WRITTEN: [&str; 10] =
    ["1e400", "-1e400", "NaN", "Infinity", "99999999999999999999999", "-0", "0x10", "1_000", "1e", ".5"];

/// A number near an end, or a small one.
pub fn edge(random: &mut Random) -> Value {
    match random.below(4) {
        0 => json!(random.below(12) as i64 - 2),
        1 => random.pick(&REAL).map_or(Value::Null, |x| json!(x)),
        _ => {
            let near = random.pick(&WHOLE).copied().unwrap_or_default() + random.below(5) as i128 - 2;
            whole(near)
        }
    }
}

/// A number near `number`, or one made of it.
pub fn near(random: &mut Random, number: &Number) -> Value {
    if let Some(x) = number.as_i128() {
        let next = match random.below(6) {
            0 => x + 1,
            1 => x - 1,
            2 => -x,
            3 => x * 2,
            4 => x / 2,
            _ => x * (1 << 40),
        };
        return whole(next);
    }
    let x = number.as_f64().unwrap_or_default();
    let next = match random.below(7) {
        0 => -x,
        1 => 1.0 - x,
        2 => x * 1e10,
        3 => x.next_up(),
        4 => x.next_down(),
        5 => x.round(),
        _ => 1.0 / x,
    };
    json!(next)
}

/// A number as text, not always one.
pub fn written(random: &mut Random) -> String {
    if random.one_in(3) {
        return random.pick(&WRITTEN).copied().unwrap_or_default().to_owned();
    }
    edge(random).to_string()
}

/// As an integer where JSON has it, else as a decimal.
fn whole(x: i128) -> Value {
    match (u64::try_from(x), i64::try_from(x)) {
        (Ok(x), _) => json!(x),
        (_, Ok(x)) => json!(x),
        _ => json!(x as f64),
    }
}
