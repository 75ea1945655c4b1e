//! The text of one part of a tape: its operations as lines and expressions of CUDA. Start at [`Writer`].

use std::fmt::Write;

use super::words::is_name;
use super::{Binary, Compare, Id, Kind, Node, Op, Tape, Unary, used};

/// Operations within each other that one line has at most: neither this program nor a compiler takes them without end.
const MAX_DEPTH: u32 = 32;

/// Writes the nodes of one part: one that is named or used more than once becomes a line, others stand where they are used.
pub(super) struct Writer<'a> {
    tape: &'a Tape,
    nodes: &'a [Node],
    used: Vec<bool>,
    uses: Vec<u32>,
    wide: bool,
    pub text: String,
    /// What has a name already.
    pub written: Vec<Option<String>>,
    taken: Vec<String>,
    /// Lines of their own, since too much stands in one otherwise.
    deep: Vec<bool>,
}

impl<'a> Writer<'a> {
    pub fn new(tape: &'a Tape, nodes: &'a [Node], outputs: &[Id], wide: bool) -> Writer<'a> {
        let used = used(nodes, outputs.iter().copied());
        let mut uses = vec![0; nodes.len()];
        for (node, _) in nodes.iter().zip(&used).filter(|(_, used)| **used) {
            node.op.operands().into_iter().for_each(|operand| uses[operand as usize] += 1);
        }
        outputs.iter().for_each(|output| uses[*output as usize] += 1);
        let mut taken: Vec<String> = tape.streams.iter().map(|stream| stream.name.to_string()).collect();
        if wide {
            taken = tape.hyperparameters.iter().map(|stated| stated.name.clone()).collect();
            taken.extend(tape.memory.iter().map(|remembered| remembered.name.to_string()));
            taken.extend(tape.sums.iter().flat_map(|sum| [sum.name.to_string(), format!("len_of_{}", sum.name)]));
            taken.extend(tape.hyperparameters.iter().map(|stated| format!("bias_correction_of_{}", stated.name)));
        }
        let (text, written, deep) = (String::new(), vec![None; nodes.len()], deep(nodes));
        Writer { tape, nodes, used, uses, wide, text, written, taken, deep }
    }

    pub fn uses(&self, op: Op) -> bool {
        self.nodes.iter().zip(&self.used).any(|(node, used)| *used && node.op == op)
    }

    pub fn line(&mut self, line: &str) {
        writeln!(self.text, "    {line}").expect("writing to a String does not fail");
    }

    /// Declares the elements that are given.
    pub fn elements(&self) -> String {
        let mut given = Vec::new();
        if self.uses(Op::Param) {
            given.push("p = x[0]".to_owned());
        }
        if self.uses(Op::Grad) {
            given.push("g = x[1]".to_owned());
        }
        for (k, stream) in self.tape.streams.iter().enumerate() {
            if self.uses(Op::Stream(k as u32)) {
                given.push(format!("{} = x[{}]", stream.name, k + 2));
            }
        }
        if given.is_empty() { String::new() } else { format!("    const float {};\n", given.join(", ")) }
    }

    /// Writes what has a name, in the order of the tape, so that the text reads as the rule does.
    pub fn named(&mut self) {
        for id in 0..self.nodes.len() {
            let own = self.nodes[id].name.is_some() || self.deep[id];
            if self.used[id] && own && self.written[id].is_none() {
                self.value(id as Id, true);
            }
        }
    }

    /// The text of a value; `alone`: where nothing binds tighter than it.
    pub fn value(&mut self, id: Id, alone: bool) -> String {
        let at = id as usize;
        if let Some(name) = &self.written[at] {
            return name.clone();
        }
        let Node { op, name } = self.nodes[at].clone();
        if let Some(given) = self.given(op) {
            return given;
        }
        let line = name.is_some() || self.uses[at] > 1 || self.deep[at];
        let (text, binds) = self.operation(op);
        if !line {
            return if binds || alone { text } else { format!("({text})") };
        }
        let kind = match op.kind() {
            Kind::Mask => "bool",
            Kind::Count => "u64",
            Kind::Number if self.wide => "double",
            Kind::Number | Kind::Rounded => "float",
        };
        let name = self.fresh(name.as_deref().filter(|name| is_name(name)), id);
        self.line(&format!("const {kind} {name} = {text};"));
        self.written[at] = Some(name.clone());
        name
    }

    fn given(&self, op: Op) -> Option<String> {
        let tape = self.tape;
        Some(match op {
            Op::Param => "p".to_owned(),
            Op::Grad => "g".to_owned(),
            Op::Stream(k) => tape.streams[k as usize].name.to_string(),
            Op::Scalar(k) => format!("s.{}", tape.scalars[k as usize]),
            Op::Hyperparameter(k) => tape.hyperparameters[k as usize].name.clone(),
            Op::Remembered(k) => tape.memory[k as usize].name.to_string(),
            Op::Sum(k) => tape.sums[k as usize].name.to_string(),
            Op::Len(k) => format!("len_of_{}", tape.sums[k as usize].name),
            Op::Updates => "updates".to_owned(),
            Op::Literal(bits) if self.wide => match f64::from_bits(bits) {
                value if value.is_finite() => format!("{value:?}"),
                _ => format!("bits_to_double({bits:#x}ull)"),
            },
            Op::Literal(bits) => match f32::from_bits(bits as u32) {
                value if value.is_finite() => format!("{value:?}f"),
                _ => format!("__uint_as_float({bits:#x}u)"),
            },
            _ => return None,
        })
    }

    /// The text of an operation, and whether it binds as tightly as a name.
    fn operation(&mut self, op: Op) -> (String, bool) {
        let call = |f: &str, arguments: &[String]| (format!("{f}({})", arguments.join(", ")), true);
        match op {
            Op::Next(a) => (format!("{} + 1", self.value(a, false)), false),
            Op::CountIs(a, n) => (format!("{} == {n}", self.value(a, false)), false),
            Op::CountLess(a, n) => (format!("{} < {n}", self.value(a, false)), false),
            Op::ToScalar(a) => (format!("(double){}", self.value(a, false)), true),
            Op::Round(a) => (format!("(float){}", self.value(a, false)), true),
            Op::BiasCorrection(a, b) => call("bias_correction", &[self.value(a, true), self.value(b, true)]),
            // Not `--`, which is another operator.
            Op::Unary(Unary::Neg, a) => match self.value(a, false) {
                negative if negative.starts_with('-') => (format!("-({negative})"), true),
                value => (format!("-{value}"), true),
            },
            Op::Unary(op, a) => {
                let (of_double, of_float) = match op {
                    Unary::Sqrt => ("sqrt", "__fsqrt_rn"),
                    Unary::Abs => ("fabs", "fabsf"),
                    Unary::Exp => ("exp_spec", "exp_spec"),
                    Unary::Ln | Unary::Neg => ("ln_spec", "ln_spec"),
                };
                match (self.wide, op) {
                    (true, _) => call(of_double, &[self.value(a, true)]),
                    (false, Unary::Exp | Unary::Ln) => {
                        (format!("(float){of_float}((double){})", self.value(a, false)), true)
                    }
                    (false, _) => call(of_float, &[self.value(a, true)]),
                }
            }
            Op::Binary(op, [a, b]) => self.binary(op, a, b),
            Op::Fma(all) => call(if self.wide { "fma" } else { "__fmaf_rn" }, &all.map(|id| self.value(id, true))),
            Op::Compare(op, [a, b]) => {
                let sign = match op {
                    Compare::Less => "<",
                    Compare::LessEqual => "<=",
                    Compare::Equal => "==",
                };
                (format!("{} {sign} {}", self.value(a, false), self.value(b, false)), false)
            }
            Op::Not(a) => (format!("!{}", self.value(a, false)), true),
            // Not && and ||: both sides are computed, and nothing branches.
            Op::Both([a, b]) => (format!("{} & {}", self.value(a, false), self.value(b, false)), false),
            Op::Either([a, b]) => (format!("{} | {}", self.value(a, false), self.value(b, false)), false),
            Op::Select([mask, yes, no]) => {
                let mask = self.value(mask, false);
                (format!("{mask} ? {} : {}", self.value(yes, false), self.value(no, false)), false)
            }
            _ => unreachable!("what is given has a name"),
        }
    }

    fn binary(&mut self, op: Binary, a: Id, b: Id) -> (String, bool) {
        let (sign, of_float) = match op {
            Binary::Add => ("+", "__fadd_rn"),
            Binary::Sub => ("-", "__fsub_rn"),
            Binary::Mul => ("*", "__fmul_rn"),
            Binary::Div => ("/", "__fdiv_rn"),
            Binary::Min => return (format!("smaller_or_nan({}, {})", self.value(a, true), self.value(b, true)), true),
            Binary::Max => return (format!("larger_or_nan({}, {})", self.value(a, true), self.value(b, true)), true),
            Binary::Pow if self.wide => {
                return (format!("pow_spec({}, {})", self.value(a, true), self.value(b, true)), true);
            }
            Binary::Pow => {
                let (a, b) = (self.value(a, false), self.value(b, false));
                return (format!("(float)pow_spec((double){a}, (double){b})"), true);
            }
        };
        match self.wide {
            true => (format!("{} {sign} {}", self.value(a, false), self.value(b, false)), false),
            false => (format!("{of_float}({}, {})", self.value(a, true), self.value(b, true)), true),
        }
    }

    /// A name that nothing has.
    fn fresh(&mut self, wanted: Option<&str>, id: Id) -> String {
        let wanted = wanted.map_or_else(|| format!("x{id}"), str::to_owned);
        let mut name = wanted.clone();
        let mut tries = 1;
        while self.taken.contains(&name) {
            name = if tries == 1 { format!("new_{wanted}") } else { format!("new_{wanted}_{tries}") };
            tries += 1;
        }
        self.taken.push(name.clone());
        name
    }
}

/// The operations that are lines of their own, written ahead, so that no other has more than [`MAX_DEPTH`] within it.
fn deep(nodes: &[Node]) -> Vec<bool> {
    let (mut depths, mut deep) = (vec![0; nodes.len()], vec![false; nodes.len()]);
    for (i, node) in nodes.iter().enumerate() {
        let depth = node.op.operands().into_iter().map(|operand| depths[operand as usize] + 1).max().unwrap_or(0);
        deep[i] = depth >= MAX_DEPTH;
        depths[i] = if deep[i] || node.name.is_some() { 0 } else { depth };
    }
    deep
}
