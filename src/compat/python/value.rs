//! Python's operators and functions, on numbers (folded at once, in f64) and on schedules.
//!
//! What Python would raise while it computes is a value too: it counts only where it is chosen, as in `a if c else b`.

use super::Fault;
use crate::schedule::{self, Schedule};

/// The largest exponent that is multiplied out; larger ones would lose digits.
const MAX_POW_INT: f64 = 64.0;
/// The most operations of an expression, and the most that stand in one another: what holds an operand twice doubles it.
const MAX_OPERATIONS: usize = 1_024;
const MAX_DEPTH: usize = 64;

/// A number that is known, or one that moves with the step. `whole` means an integer to Python.
#[derive(Debug, Clone)]
pub(super) struct Value {
    form: Form,
    whole: bool,
}

#[derive(Debug, Clone)]
enum Form {
    Number(f64),
    Curve(Schedule),
    /// What Python would raise, and where if that is known.
    Raised {
        rule: &'static str,
        at: Option<usize>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

/// Which of two values holds: known, or a schedule that is 0 where the second does.
pub(super) enum Truth {
    Known(bool),
    Moving(Schedule),
    Raised(Value),
}

const BY_ZERO: &str = "a division by zero stands";
const COMPLEX: &str = "a negative number to a power that is no integer is complex,";

impl Value {
    pub fn whole(value: f64) -> Value {
        Value { form: Form::Number(value), whole: true }
    }

    pub fn real(value: f64) -> Value {
        Value { form: Form::Number(value), whole: false }
    }

    fn curve(schedule: Schedule, whole: bool) -> Value {
        Value { form: Form::Curve(schedule), whole }
    }

    fn raised(rule: &'static str) -> Value {
        Value { form: Form::Raised { rule, at: None }, whole: false }
    }

    /// This value as the outcome of what stands at `place`.
    pub fn at(mut self, place: usize) -> Value {
        if let Form::Raised { at, .. } = &mut self.form {
            at.get_or_insert(place);
        }
        self
    }

    /// This value, unless it is too large to be worked with.
    pub fn bounded(self, place: usize) -> Result<Value, Fault> {
        let fits = match &self.form {
            Form::Curve(schedule) => fits(schedule, &mut { MAX_OPERATIONS }, MAX_DEPTH),
            Form::Number(_) | Form::Raised { .. } => true,
        };
        if fits {
            return Ok(self);
        }
        let rule = format!("must come to at most {MAX_OPERATIONS} operations, {MAX_DEPTH} in one another; more begins");
        Err(Fault::new(place, rule))
    }

    fn is_raised(&self) -> bool {
        matches!(self.form, Form::Raised { .. })
    }

    /// The variable of the expression, which is an integer: a number where `of` is constant.
    pub fn variable(of: &Schedule) -> Value {
        match of.0 {
            schedule::Form::Constant(schedule::Number::Literal(value)) => Value::whole(value),
            _ => Value::curve(of.clone(), true),
        }
    }

    pub fn constant(name: &str) -> Option<Value> {
        match name.replace("np.", "math.").as_str() {
            "math.pi" => Some(Value::real(std::f64::consts::PI)),
            "math.e" => Some(Value::real(std::f64::consts::E)),
            "math.tau" => Some(Value::real(std::f64::consts::TAU)),
            "True" => Some(Value::whole(1.0)),
            "False" => Some(Value::whole(0.0)),
            _ => None,
        }
    }

    pub fn into_schedule(self) -> Result<Schedule, Fault> {
        match self.form {
            Form::Number(value) => Ok(Schedule::constant(value)),
            Form::Curve(schedule) => Ok(schedule),
            Form::Raised { rule, at } => Err(Fault::new(at.unwrap_or(0), rule)),
        }
    }

    /// The number that it is where the variable is one.
    pub fn into_number(self) -> Result<f64, Fault> {
        match self.form {
            Form::Number(value) => Ok(value),
            Form::Curve(_) => Err(Fault::new(0, "must be a number at each step; what is not begins")),
            Form::Raised { rule, at } => Err(Fault::new(at.unwrap_or(0), rule)),
        }
    }

    /// A value is false where it is 0. `variable` is never negative, which lets the lowering narrow its range.
    pub fn truth(self, variable: &Schedule) -> Truth {
        match self.form {
            Form::Number(value) => Truth::Known(value != 0.0),
            Form::Curve(schedule) if schedule == *variable => Truth::Moving(Schedule::constant(0.0).less(schedule)),
            Form::Curve(schedule) => Truth::Moving(schedule),
            Form::Raised { .. } => Truth::Raised(self),
        }
    }

    pub fn operate(self, op: Operator, right: Value) -> Value {
        let whole = self.whole && right.whole && op != Operator::Div;
        let (left, right) = match (self.form, right.form) {
            (Form::Number(a), Form::Number(b)) => return fold(op, a, b, whole),
            (raised @ Form::Raised { .. }, _) | (_, raised @ Form::Raised { .. }) => {
                return Value { form: raised, whole: false };
            }
            (_, Form::Number(0.0)) if matches!(op, Operator::Div | Operator::FloorDiv | Operator::Mod) => {
                return Value::raised(BY_ZERO);
            }
            (Form::Curve(base), Form::Number(n))
                if op == Operator::Pow && n.fract() == 0.0 && n.abs() <= MAX_POW_INT =>
            {
                return Value::curve(base.pow_int(n as i32), whole && n >= 0.0);
            }
            (Form::Number(base), Form::Curve(_)) if op == Operator::Pow && base < 0.0 && !right.whole => {
                return Value::raised(COMPLEX);
            }
            (Form::Number(base), Form::Curve(exponent)) if op == Operator::Pow && base < 0.0 => {
                let sign = 1.0 - exponent.clone().modulo(2.0) * 2.0;
                return Value::curve(Schedule::constant(-base).pow(exponent) * sign, whole);
            }
            (a, b) => (plain(a), plain(b)),
        };
        let curve = match op {
            Operator::Add => left + right,
            Operator::Sub => left - right,
            Operator::Mul => left * right,
            Operator::Div => left / right,
            Operator::FloorDiv => left.floor_div(right),
            Operator::Mod => left.modulo(right),
            Operator::Pow => left.pow(right),
        };
        Value::curve(curve, whole)
    }

    pub fn compare(self, compare: Compare, right: Value, variable: &Schedule) -> Value {
        let (left, right) = match (self.form, right.form) {
            (Form::Number(a), Form::Number(b)) => {
                let holds = match compare {
                    Compare::Less => a < b,
                    Compare::LessEqual => a <= b,
                    Compare::Greater => a > b,
                    Compare::GreaterEqual => a >= b,
                    Compare::Equal => a == b,
                    Compare::NotEqual => a != b,
                };
                return Value::whole(if holds { 1.0 } else { 0.0 });
            }
            (raised @ Form::Raised { .. }, _) | (_, raised @ Form::Raised { .. }) => {
                return Value { form: raised, whole: false };
            }
            (Form::Curve(curve), Form::Number(0.0)) | (Form::Number(0.0), Form::Curve(curve))
                if curve == *variable && matches!(compare, Compare::Equal | Compare::NotEqual) =>
            {
                // The variable is never negative, and of an order the lowering knows which steps are left.
                let zero = curve.clone().less_equal(0.0);
                let other = Schedule::constant(0.0).less(curve);
                return Value::curve(if compare == Compare::Equal { zero } else { other }, true);
            }
            (a, b) => (plain(a), plain(b)),
        };
        let curve = match compare {
            Compare::Less => left.less(right),
            Compare::LessEqual => left.less_equal(right),
            Compare::Greater => right.less(left),
            Compare::GreaterEqual => right.less_equal(left),
            Compare::Equal => left.equal(right),
            Compare::NotEqual => 1.0 - left.equal(right),
        };
        Value::curve(curve, true)
    }

    /// A call of a function by its full name. Errors if there is none that takes so many arguments.
    pub fn call(name: &str, mut arguments: Vec<Value>) -> Result<Value, String> {
        let count = arguments.len();
        if (matches!(name, "min" | "max") && count >= 2) || (matches!(name, "np.minimum" | "np.maximum") && count == 2)
        {
            let largest = name.contains("max");
            return Ok(arguments.into_iter().reduce(|best, next| extreme(largest, best, next)).expect("at least two"));
        }
        if name == "np.clip" && count == 3 {
            let (high, low) = (arguments.pop().expect("three"), arguments.pop().expect("three"));
            let clipped = extreme(true, arguments.pop().expect("three"), low);
            return Ok(extreme(false, clipped, high));
        }
        if matches!(name, "math.pow" | "np.power" | "pow") && count == 2 {
            let (exponent, base) = (arguments.pop().expect("two"), arguments.pop().expect("two"));
            let power = base.operate(Operator::Pow, exponent);
            return Ok(if name == "math.pow" { Value { whole: false, ..power } } else { power });
        }
        if name == "math.log" && count == 2 {
            let base = Value::call("math.log", vec![arguments.pop().expect("two")])?;
            return Ok(Value::call("math.log", arguments)?.operate(Operator::Div, base));
        }
        // Of numbers, those of NumPy do what those of `math` do; floor and ceil give floats.
        let plain_name = match name {
            "np.abs" | "np.absolute" => "abs".to_owned(),
            "np.floor" | "np.ceil" => name.to_owned(),
            _ => name.replace("np.", "math."),
        };
        let known: Option<Function> = match plain_name.as_str() {
            "np.floor" => Some((f64::floor, Schedule::floor, Keeps::Nothing)),
            "np.ceil" => Some((f64::ceil, |x| -(-x).floor(), Keeps::Nothing)),
            "abs" => Some((f64::abs, Schedule::abs, Keeps::Type)),
            "float" => Some((|x| x, |x| x, Keeps::Nothing)),
            "int" => Some((f64::trunc, truncated, Keeps::Whole)),
            "math.fabs" => Some((f64::abs, Schedule::abs, Keeps::Nothing)),
            "math.floor" => Some((f64::floor, Schedule::floor, Keeps::Whole)),
            "math.ceil" => Some((f64::ceil, |x| -(-x).floor(), Keeps::Whole)),
            "math.sqrt" => Some((f64::sqrt, Schedule::sqrt, Keeps::Nothing)),
            "math.exp" => Some((f64::exp, Schedule::exp, Keeps::Nothing)),
            "math.log" => Some((f64::ln, Schedule::ln, Keeps::Nothing)),
            "math.log2" => Some((f64::log2, |x| x.ln() / std::f64::consts::LN_2, Keeps::Nothing)),
            "math.log10" => Some((f64::log10, |x| x.ln() / std::f64::consts::LN_10, Keeps::Nothing)),
            "math.sin" => Some((f64::sin, Schedule::sin, Keeps::Nothing)),
            "math.cos" => Some((f64::cos, Schedule::cos, Keeps::Nothing)),
            "math.tanh" => Some((f64::tanh, Schedule::tanh, Keeps::Nothing)),
            "min" | "max" | "pow" | "math.pow" | "math.power" | "math.minimum" | "math.maximum" | "math.clip" => None,
            _ => return Err(format!("{name} is not a function that has a translation,")),
        };
        let (Some((number, curve, keeps)), Some(Value { form, whole }), 1) = (known, arguments.pop(), count) else {
            return Err(format!("{name} does not take {count} arguments,"));
        };
        let whole = match keeps {
            Keeps::Type => whole,
            Keeps::Whole => true,
            Keeps::Nothing => false,
        };
        Ok(match form {
            Form::Number(x) => finite(number(x), whole),
            Form::Curve(x) => Value::curve(curve(x), whole),
            raised @ Form::Raised { .. } => Value { form: raised, whole: false },
        })
    }
}

/// A function of one argument: on a number, on a schedule, and the kind of its value.
type Function = (fn(f64) -> f64, fn(Schedule) -> Schedule, Keeps);

/// What a function of one argument makes of Python's two kinds of numbers.
enum Keeps {
    Type,
    Whole,
    Nothing,
}

impl Truth {
    /// `then` where it holds, else `otherwise`.
    pub fn choose(self, then: Value, otherwise: Value) -> Value {
        match self {
            Truth::Known(true) => then,
            Truth::Known(false) => otherwise,
            Truth::Raised(raised) => raised,
            Truth::Moving(_) if then.is_raised() => then,
            Truth::Moving(_) if otherwise.is_raised() => otherwise,
            Truth::Moving(condition) => {
                let whole = then.whole && otherwise.whole;
                Value::curve(condition.select(plain(then.form), plain(otherwise.form)), whole)
            }
        }
    }
}

/// Whether no more than `left` operations, and no more than `depth` in one another, make `schedule`. What stands for the variable is one.
fn fits(schedule: &Schedule, left: &mut usize, depth: usize) -> bool {
    if *left == 0 || depth == 0 {
        return false;
    }
    *left -= 1;
    let mut inner = |schedule: &Schedule| fits(schedule, left, depth - 1);
    match &schedule.0 {
        schedule::Form::Unary { of, .. } => inner(of),
        schedule::Form::PowInt { base, .. } => inner(base),
        schedule::Form::Binary { left, right, .. } => inner(left) && inner(right),
        schedule::Form::Select { condition, then, otherwise } => inner(condition) && inner(then) && inner(otherwise),
        _ => true,
    }
}

/// A number or a curve as a schedule; what was raised is dealt with before.
fn plain(form: Form) -> Schedule {
    match form {
        Form::Number(value) => Schedule::constant(value),
        Form::Curve(schedule) => schedule,
        Form::Raised { rule, .. } => unreachable!("{rule} is no schedule"),
    }
}

/// Towards zero, as `int` does it.
fn truncated(x: Schedule) -> Schedule {
    x.clone().less(0.0).select(-(-x.clone()).floor(), x.floor())
}

fn extreme(largest: bool, a: Value, b: Value) -> Value {
    let whole = a.whole && b.whole;
    match (a.form, b.form) {
        (Form::Number(a), Form::Number(b)) => finite(if largest { a.max(b) } else { a.min(b) }, whole),
        (raised @ Form::Raised { .. }, _) | (_, raised @ Form::Raised { .. }) => Value { form: raised, whole: false },
        (a, b) if largest => Value::curve(plain(a).max(plain(b)), whole),
        (a, b) => Value::curve(plain(a).min(plain(b)), whole),
    }
}

fn fold(op: Operator, a: f64, b: f64, whole: bool) -> Value {
    let divides = matches!(op, Operator::Div | Operator::FloorDiv | Operator::Mod);
    if (divides && b == 0.0) || (op == Operator::Pow && a == 0.0 && b < 0.0) {
        return Value::raised(BY_ZERO);
    }
    if op == Operator::Pow && a < 0.0 && b.fract() != 0.0 {
        return Value::raised(COMPLEX);
    }
    let remainder = || {
        let r = a % b;
        if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
    };
    let value = match op {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div => a / b,
        Operator::FloorDiv => ((a - remainder()) / b).round(),
        Operator::Mod => remainder(),
        Operator::Pow => a.powf(b),
    };
    finite(value, whole && !(op == Operator::Pow && b < 0.0))
}

fn finite(value: f64, whole: bool) -> Value {
    match value.is_finite() {
        true => Value { form: Form::Number(value), whole },
        false => Value::raised("a value that is not finite comes out"),
    }
}
