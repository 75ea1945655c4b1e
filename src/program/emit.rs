//! The CUDA text of a program's structure: one function `double program_N(const u64* c, u64 t)`, where `c` points at the
//! program's constants. The text depends on the structure alone and is the same on every run. Knows no compiler and no
//! device; the functions that it calls are those of `kernels/curves.cuh` and `kernels/evaluate.cuh`. Start at [`emit`].

use std::fmt::Write;

use super::{Clock, Count, Node, Real};

/// The text of `program_{index}`.
pub(crate) fn emit(index: usize, root: &Node) -> String {
    let mut emitter = Emitter { text: String::new(), values: 0, clocks: 0, depth: 1 };
    let value = emitter.value(root, 0);
    let body = emitter.text;
    format!("__device__ __noinline__ double program_{index}(const u64* c, u64 t0) {{\n{body}  return {value};\n}}\n")
}

struct Emitter {
    text: String,
    values: usize,
    clocks: usize,
    depth: usize,
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
            Node::Linear { from, to, len } => format!("linear({}, {}, {t}, {})", real(from), real(to), count(len)),
            Node::Cosine { from, to, len } => format!("cosine({}, {}, {t}, {})", real(from), real(to), count(len)),
            Node::Polynomial { from, to, len, power } => {
                format!("polynomial({}, {}, {t}, {}, {})", real(from), real(to), count(len), real(power))
            }
            Node::Geometric { from, to, len, ln_ratio } => {
                format!("geometric({}, {}, {t}, {}, {})", real(from), real(to), count(len), real(ln_ratio))
            }
            Node::Exponential { init, ln_hi, ln_lo } => {
                format!("exponential({}, {}, {}, {t})", real(init), real(ln_hi), real(ln_lo))
            }
            Node::Then { .. } => self.then(node, clock),
            Node::Product(a, b) => {
                let (a, b) = (self.value(a, clock), self.value(b, clock));
                let v = self.new_value();
                self.line(&format!("const double v{v} = {a} * {b};"));
                format!("v{v}")
            }
            Node::Clamp { min, max, inner } => {
                let inner = self.value(inner, clock);
                format!("clamp({inner}, {}, {})", real(min), real(max))
            }
            Node::Clocked { clock: by, inner } => {
                let to = self.new_clock();
                let expression = clock_expression(by, &t);
                self.line(&format!("const u64 t{to} = {expression};"));
                self.value(inner, to)
            }
        }
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

fn clock_expression(clock: &Clock, t: &str) -> String {
    match clock {
        Clock::Until { end } => format!("until({t}, {})", count(end)),
        Clock::Every { every } => format!("{t} / {}", count(every)),
        Clock::Passed { first, len } => format!("passed({t}, c + {}, {len})", first.0),
        Clock::Cycle { period, end } => format!("cycle({t}, {}, {})", count(period), count(end)),
    }
}
