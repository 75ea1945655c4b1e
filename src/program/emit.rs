//! The CUDA text of a program's structure: one function
//! `double program_N(const u64* c, u64 t, u64 progress, u64 updates)`, where `c` points at the program's constants. The text
//! depends on the structure alone and is the same on every run. Knows no compiler and no device; the functions that it calls
//! are those of `kernels/curves.cuh` and `kernels/program.cuh`. Start at [`emit`]; [`plain`] is a function for others' kernels.

use std::fmt::Write;

use super::{Clock, Count, Curve, Node, Real};
use crate::schedule::{Between, Binary, Unary};

/// The text of `program_{index}`, which returns what `result` makes of the value of `root`.
pub(crate) fn emit(index: usize, root: &Node, result: impl FnOnce(String) -> String) -> String {
    let mut emitter = Emitter::default();
    let value = emitter.value(root, 0);
    function(index, &emitter.text, &result(value))
}

/// A function with these lines and this value.
pub(crate) fn function(index: usize, lines: &str, value: &str) -> String {
    let arguments = "const u64* c, u64 t0, u64 progress, u64 updates";
    format!("__device__ __noinline__ double program_{index}({arguments}) {{\n{lines}  return {value};\n}}\n")
}

/// The value of `root` as a function of its own, with the clocks that it runs on and its constants as arguments.
#[cfg(feature = "serde")]
pub(crate) fn plain(name: &str, root: &Node) -> String {
    let mut emitter = Emitter::default();
    let value = emitter.value(root, 0);
    let text = emitter.text;
    let progress = if emitter.progress { "u64 progress, " } else { "" };
    // Compilers warn of a name that is not used.
    let named = |used: bool, name: &str| if used { format!(" {name}") } else { String::new() };
    let t = named([&text, &value].iter().any(|text| text.contains("t0")), "t0");
    let c = named([&text, &value].iter().any(|text| text.contains("c, ") || text.contains("c + ")), "c");
    format!("INSTEP_FUNCTION double {name}(u64{t}, {progress}const u64*{c}) {{\n{text}  return {value};\n}}\n")
}

struct Emitter {
    text: String,
    values: usize,
    clocks: usize,
    depth: usize,
    /// The progress clock is read.
    progress: bool,
}

impl Default for Emitter {
    fn default() -> Emitter {
        Emitter { text: String::new(), values: 0, clocks: 0, depth: 1, progress: false }
    }
}

fn real(at: &Real) -> String {
    format!("real(c, {})", at.0)
}

fn count(at: &Count) -> String {
    format!("count(c, {})", at.0)
}

impl Emitter {
    fn line(&mut self, line: &str) {
        let indent = "  ".repeat(self.depth);
        writeln!(self.text, "{indent}{line}").expect("writing to a String does not fail");
    }

    fn new_value(&mut self) -> usize {
        self.values += 1;
        self.values - 1
    }

    fn new_clock(&mut self) -> usize {
        self.clocks += 1;
        self.clocks
    }

    /// Emits what `node` needs before it can be named, and returns an expression for its value on clock `t{clock}`.
    fn value(&mut self, node: &Node, clock: usize) -> String {
        let t = format!("t{clock}");
        match node {
            Node::Constant(value) => real(value),
            Node::Step => format!("(double){t}"),
            Node::Ramp { curve, from, to, len } => {
                let (function, parameters) = ramp(*curve);
                let parameters: String = parameters.iter().map(|at| format!(", {}", real(at))).collect();
                format!("{function}({}, {}, {t}, {}{parameters})", real(from), real(to), count(len))
            }
            Node::Exponential { init, ln_hi, ln_lo } => {
                format!("exponential({}, {}, {}, {t})", real(init), real(ln_hi), real(ln_lo))
            }
            Node::InverseSqrt { init, timescale } => format!("inverse_sqrt({}, {}, {t})", real(init), real(timescale)),
            Node::InverseTime { init, rate } => format!("inverse_time({}, {}, {t})", real(init), real(rate)),
            Node::PowerLaw { factor, exponent, shift } => {
                format!("power_law({}, {}, {}, {t})", real(factor), real(exponent), real(shift))
            }
            Node::Piecewise { between, steps, values, len } => {
                let function = match between {
                    Between::Constant => "piecewise_constant",
                    Between::Linear => "piecewise_linear",
                    Between::Cosine => "piecewise_cosine",
                };
                format!("{function}({t}, c + {}, c + {}, {len})", steps.0, values.0)
            }
            Node::Then { .. } => self.then(node, clock),
            Node::Clamp { min, max, inner } => {
                let inner = self.value(inner, clock);
                format!("clamp({inner}, {}, {})", real(min), real(max))
            }
            Node::Unary { op, of } => {
                let of = self.value(of, clock);
                self.named(&unary(*op, &of))
            }
            Node::PowInt { base, exponent } => {
                let base = self.value(base, clock);
                self.named(&format!("pow_int({base}, {exponent})"))
            }
            Node::Binary { op, left, right } => {
                let (left, right) = (self.value(left, clock), self.value(right, clock));
                self.named(&binary(*op, &left, &right))
            }
            Node::Select { condition, then, otherwise } => {
                let condition = self.value(condition, clock);
                let v = self.new_value();
                self.line(&format!("double v{v};"));
                self.line(&format!("if ({condition} != 0.0) {{"));
                self.branch(then, clock, v);
                self.line("} else {");
                self.branch(otherwise, clock, v);
                self.line("}");
                format!("v{v}")
            }
            Node::Clocked { clock: by, inner } => {
                let to = self.new_clock();
                self.progress |= matches!(by, Clock::Progress);
                let expression = clock_expression(by, &t);
                self.line(&format!("const u64 t{to} = {expression};"));
                self.value(inner, to)
            }
        }
    }

    /// Gives an expression a name, so that no expression grows with the depth of the tree.
    fn named(&mut self, expression: &str) -> String {
        let v = self.new_value();
        self.line(&format!("const double v{v} = {expression};"));
        format!("v{v}")
    }

    fn branch(&mut self, node: &Node, clock: usize, v: usize) {
        self.depth += 1;
        let value = self.value(node, clock);
        self.line(&format!("v{v} = {value};"));
        self.depth -= 1;
    }

    /// A chain of pieces as one flat block that is left at the piece in force, however long the chain.
    fn then(&mut self, node: &Node, clock: usize) -> String {
        let (v, t) = (self.new_value(), self.new_clock());
        self.line(&format!("double v{v};"));
        self.line("do {");
        self.depth += 1;
        self.line(&format!("u64 t{t} = t{clock};"));
        let mut rest = node;
        while let Node::Then { boundary, first, next } = rest {
            self.line(&format!("if (t{t} < {}) {{", count(boundary)));
            self.depth += 1;
            let value = self.value(first, t);
            self.line(&format!("v{v} = {value};"));
            self.line("break;");
            self.depth -= 1;
            self.line("}");
            self.line(&format!("t{t} -= {};", count(boundary)));
            rest = next;
        }
        let value = self.value(rest, t);
        self.line(&format!("v{v} = {value};"));
        self.depth -= 1;
        self.line("} while (false);");
        format!("v{v}")
    }
}

/// The function of `kernels/curves.cuh` and the parameters that it takes after the length.
fn ramp(curve: Curve) -> (&'static str, Vec<Real>) {
    match curve {
        Curve::Linear => ("linear", vec![]),
        Curve::Cosine => ("cosine", vec![]),
        Curve::CosinePower { exponent, k } => ("cosine_power", vec![exponent, k]),
        Curve::Polynomial { power } => ("polynomial", vec![power]),
        Curve::PolynomialK { power, k } => ("polynomial_k", vec![power, k]),
        Curve::PowerRise { power } => ("power_rise", vec![power]),
        Curve::Geometric { ln_ratio } => ("geometric", vec![ln_ratio]),
        Curve::Tanh { start, end } => ("tanh_ramp", vec![start, end]),
        Curve::Rex { d } => ("rex", vec![d]),
        Curve::HalfLife => ("half_life", vec![]),
        Curve::LogRise => ("log_rise", vec![]),
    }
}

fn clock_expression(clock: &Clock, t: &str) -> String {
    match clock {
        Clock::Until { end } => format!("until({t}, {})", count(end)),
        Clock::After { start } => format!("after({t}, {})", count(start)),
        Clock::Every { every } => format!("{t} / {}", count(every)),
        Clock::Passed { first, len } => format!("passed({t}, c + {}, {len})", first.0),
        Clock::Cycle { period, last } => format!("cycle({t}, {}, {})", count(period), count(last)),
        Clock::Progress => "progress".to_owned(),
    }
}

fn unary(op: Unary, x: &str) -> String {
    let function = match op {
        Unary::Neg => "-",
        Unary::Abs => "fabs",
        Unary::Floor => "floor",
        Unary::Sqrt => "sqrt",
        Unary::Exp => "exp_spec",
        Unary::Ln => "ln_spec",
        Unary::Sin => "sin_spec",
        Unary::Cos => "cos_spec",
        Unary::Tanh => "tanh_spec",
    };
    format!("{function}({x})")
}

fn binary(op: Binary, a: &str, b: &str) -> String {
    match op {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::FloorDiv => format!("floor_div({a}, {b})"),
        Binary::Mod => format!("floor_mod({a}, {b})"),
        Binary::Pow => format!("pow_spec({a}, {b})"),
        Binary::Min => format!("smaller({a}, {b})"),
        Binary::Max => format!("larger({a}, {b})"),
        Binary::Less => format!("{a} < {b} ? 1.0 : 0.0"),
        Binary::LessEqual => format!("{a} <= {b} ? 1.0 : 0.0"),
        Binary::Equal => format!("{a} == {b} ? 1.0 : 0.0"),
    }
}
