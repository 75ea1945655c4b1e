//! The type that a kernel applies, from a tape: `resolve` in f64, `start`, `measure` and `apply` in f32, an operation for an
//! operation. `kernels/variant.cuh` says what is expected of it. Start at [`Compiled::cuda`].

use std::fmt::Write;

use super::words::is_name;
use super::{Binary, Compare, Id, Kind, Node, Op, Tape, Unary, used};
use crate::rule::compiled::{Compiled, ScalarPlace};
use crate::rule::parts::{Of, Over, Start};
use crate::rule::step::Term;

const INLINE: &str = "static __device__ __forceinline__";

impl Compiled {
    /// The text of `struct {name}`.
    pub fn cuda(&self, name: &str) -> String {
        let (tape, standing) = (&self.tape, &self.standing);
        let streams: Vec<&str> = ["param", "grad"].into_iter().chain(tape.streams.iter().map(|s| &*s.name)).collect();
        let bytes = |set: u32| 4 * set.count_ones();
        let mut text = format!("// {}. Streams: {}.\n", tape.name, streams.join(", "));
        let (reads, writes) = (bytes(standing.loads), bytes(standing.stores));
        text += &format!("// In f32 reads {reads} B, writes {writes} B: {} B per parameter.", self.bytes_per_param());
        if standing.measure_loads != 0 {
            text += &format!(" Measuring reads {} B more.", bytes(standing.measure_loads));
        }
        text += &format!("\nstruct {name} {{\n");
        let counts = [
            ("STREAMS", streams.len()),
            ("INPUTS", tape.hyperparameters.len() + standing.corrected.len()),
            ("SCALARS", standing.record_len),
            ("TENSOR_SCALARS", standing.tensor_len),
            ("SUMS", tape.sums.len()),
            ("MEMORY", tape.memory.len()),
        ];
        let set = |of: Of| self.remembered(of).fold(0u32, |set, place| set | 1 << place);
        let sets = [
            ("LOADS", standing.loads),
            ("STORES", standing.stores),
            ("STORES_ONCE", standing.stores_once),
            ("MEASURE_LOADS", standing.measure_loads),
            ("OF_COHORT", set(Of::Cohort)),
            ("OF_GROUP", set(Of::Group)),
            ("OF_TENSOR", set(Of::Tensor)),
            (
                "OVER_ALL",
                (0..).zip(&tape.sums).filter(|(_, sum)| sum.over == Over::All).fold(0, |set, (k, _)| set | 1 << k),
            ),
        ];
        let all: Vec<String> = counts.iter().map(|(name, n)| format!("{name} = {n}")).collect();
        text += &format!("  static constexpr u32 {};\n", all.join(", "));
        for sets in sets.chunks(4) {
            let all: Vec<String> = sets.iter().map(|(name, set)| format!("{name} = {set:#x}")).collect();
            text += &format!("  static constexpr u32 {};\n", all.join(", "));
        }
        text += &format!("  static constexpr u64 LATE = {:#x};\n\n", standing.late);
        text += &self.scalars_struct();
        text += &self.resolve_text(name);
        text += &self.start_text();
        if !tape.sums.is_empty() {
            text += &self.measure_text();
        }
        text += &self.apply_text();
        text + "};\n"
    }

    /// The scalars that elements use, and where they are found.
    fn scalars_struct(&self) -> String {
        let mut fields = Vec::new();
        for (name, place) in self.tape.scalars.iter().zip(&self.standing.places) {
            match place {
                ScalarPlace::Record(at) => fields.push((name.as_str(), format!("r.value[{at}]"))),
                ScalarPlace::Tensor(at) => fields.push((name, format!("own.value[{at}]"))),
                ScalarPlace::Unused => {}
            }
        }
        if let Some(at) = self.standing.first {
            fields.push(("first", format!("r.value[{at}]")));
        }
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        let declared = if names.is_empty() { String::new() } else { format!("\n    float {};\n  ", names.join(", ")) };
        format!(
            "  struct Scalars {{{declared}}};\n\n  {INLINE} Scalars scalars(const Record<SCALARS>& r, const Own<TENSOR_SCALARS>& own) {{\n    return {{{}}};\n  }}\n\n",
            values.join(", ")
        )
    }

    fn resolve_text(&self, name: &str) -> String {
        let (tape, standing) = (&self.tape, &self.standing);
        let outputs = tape.wanted(&standing.places);
        let mut writer = Writer::new(tape, &tape.resolve.nodes, &outputs, true);
        let mut body = String::new();
        let mut declared: Vec<String> = Vec::new();
        let mut given = |text: String, name: &str| declared.push(format!("{name} = {text}"));
        for (k, stated) in tape.hyperparameters.iter().enumerate() {
            if writer.uses(Op::Hyperparameter(k as u32)) {
                given(format!("in[{k}]"), &stated.name);
            }
        }
        for (i, k) in (tape.hyperparameters.len()..).zip(&standing.corrected) {
            let correction = format!("bias_correction_of_{}", tape.hyperparameters[*k].name);
            given(format!("in[{i}]"), &correction);
            for id in 0..tape.resolve.nodes.len() as Id {
                if tape.resolve.corrected(id) == Some(*k) {
                    writer.written[id as usize] = Some(correction.clone());
                }
            }
        }
        for (k, remembered) in tape.memory.iter().enumerate() {
            if writer.uses(Op::Remembered(k as u32)) {
                given(format!("known.memory[{k}]"), &remembered.name);
            }
        }
        for (k, sum) in tape.sums.iter().enumerate() {
            if writer.uses(Op::Sum(k as u32)) {
                given(format!("known.sum[{k}]"), &sum.name);
            }
            if writer.uses(Op::Len(k as u32)) {
                given(format!("known.len[{k}]"), &format!("len_of_{}", sum.name));
            }
        }
        if !declared.is_empty() {
            body = format!("    const double {};\n", declared.join(", "));
        }
        for (k, stated) in tape.hyperparameters.iter().enumerate() {
            let value =
                if writer.uses(Op::Hyperparameter(k as u32)) { stated.name.clone() } else { format!("in[{k}]") };
            writer.line(&format!("r.record.value[{k}] = (float){value};"));
        }
        writer.named();
        for ((place, scalar), id) in standing.places.iter().zip(&tape.scalars).zip(&tape.resolve.scalars) {
            let to = match place {
                ScalarPlace::Record(at) if *at as usize >= tape.hyperparameters.len() => format!("record.value[{at}]"),
                ScalarPlace::Tensor(at) => format!("own.value[{at}]"),
                ScalarPlace::Record(_) | ScalarPlace::Unused => continue,
            };
            let value = writer.value(*id, true);
            writer.line(&format!("r.{to} = {value};  // {scalar}"));
        }
        if let Some(at) = standing.first {
            writer.line(&format!("r.record.value[{at}] = updates == 0 ? 1.0f : 0.0f;  // first"));
        }
        for (k, id) in tape.resolve.next.iter().enumerate() {
            let value = writer.value(*id, true);
            writer.line(&format!("r.memory[{k}] = {value};"));
        }
        format!(
            "  {INLINE} void resolve(const double (&in)[INPUTS], u64 updates, const Known<{name}>& known,\n                                                     Resolved<{name}>& r) {{\n{body}{}  }}\n\n",
            writer.text
        )
    }

    fn start_text(&self) -> String {
        let line = |(k, start): (usize, Start)| {
            let from = if start == Start::Param { 0 } else { 1 };
            format!("    if (s.first != 0.0f) x[{}] = x[{from}];\n", k + 2)
        };
        let lines: String = self.started().map(line).collect();
        let body = if lines.is_empty() { "{}".to_owned() } else { format!("{{\n{lines}  }}") };
        format!("  {INLINE} void start(float (&x)[STREAMS], const Scalars& s) {body}\n\n")
    }

    fn measure_text(&self) -> String {
        let (tape, part) = (&self.tape, &self.tape.measure);
        let mut writer = Writer::new(tape, &part.nodes, &part.outputs(), false);
        let given = writer.elements();
        writer.named();
        for (k, term) in part.terms.iter().enumerate() {
            let line = match *term {
                Term::Value(x) => format!("sum[{k}] = sum[{k}] + (double){};", writer.value(x, false)),
                Term::Product(x, y) => {
                    let (x, y) = (writer.value(x, false), writer.value(y, false));
                    format!("sum[{k}] = fma((double){x}, (double){y}, sum[{k}]);")
                }
            };
            writer.line(&line);
        }
        format!(
            "  template <u32 N>\n  {INLINE} void measure(const float (&x)[STREAMS], const Scalars& s, double (&sum)[N]) {{\n{given}{}  }}\n\n",
            writer.text
        )
    }

    fn apply_text(&self) -> String {
        let (tape, part) = (&self.tape, &self.tape.apply);
        let mut writer = Writer::new(tape, &part.nodes, &part.outputs(), false);
        let given = writer.elements();
        writer.named();
        let streams = part.streams.iter().zip(&tape.streams).enumerate();
        let changed = streams.filter(|(_, (_, stream))| !stream.read_only).map(|(k, (id, _))| (k + 2, *id));
        let values: Vec<_> =
            std::iter::once((0, part.param)).chain(changed).map(|(k, id)| (k, writer.value(id, true))).collect();
        for (k, value) in values {
            writer.line(&format!("x[{k}] = {value};"));
        }
        format!("  {INLINE} void apply(float (&x)[STREAMS], const Scalars& s) {{\n{given}{}  }}\n", writer.text)
    }
}

/// Writes the nodes of one part: one that is named or used more than once becomes a line, others stand where they are used.
struct Writer<'a> {
    tape: &'a Tape,
    nodes: &'a [Node],
    used: Vec<bool>,
    uses: Vec<u32>,
    wide: bool,
    text: String,
    /// What has a name already.
    written: Vec<Option<String>>,
    taken: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(tape: &'a Tape, nodes: &'a [Node], outputs: &[Id], wide: bool) -> Writer<'a> {
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
        Writer { tape, nodes, used, uses, wide, text: String::new(), written: vec![None; nodes.len()], taken }
    }

    fn uses(&self, op: Op) -> bool {
        self.nodes.iter().zip(&self.used).any(|(node, used)| *used && node.op == op)
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "    {line}").expect("writing to a String does not fail");
    }

    /// Declares the elements that are given.
    fn elements(&self) -> String {
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
    fn named(&mut self) {
        for id in 0..self.nodes.len() {
            if self.used[id] && self.nodes[id].name.is_some() && self.written[id].is_none() {
                self.value(id as Id, true);
            }
        }
    }

    /// The text of a value; `alone`: where nothing binds tighter than it.
    fn value(&mut self, id: Id, alone: bool) -> String {
        let at = id as usize;
        if let Some(name) = &self.written[at] {
            return name.clone();
        }
        let Node { op, name } = self.nodes[at].clone();
        if let Some(given) = self.given(op) {
            return given;
        }
        let line = name.is_some() || self.uses[at] > 1;
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
            Op::Unary(Unary::Neg, a) => (format!("-{}", self.value(a, false)), true),
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
        // The type chooses those of math.cuh: schedules have others of the same names, which forget a NaN on the right.
        let of = if self.wide { "double" } else { "float" };
        let (sign, of_float) = match op {
            Binary::Add => ("+", "__fadd_rn"),
            Binary::Sub => ("-", "__fsub_rn"),
            Binary::Mul => ("*", "__fmul_rn"),
            Binary::Div => ("/", "__fdiv_rn"),
            Binary::Min => return (format!("smaller<{of}>({}, {})", self.value(a, true), self.value(b, true)), true),
            Binary::Max => return (format!("larger<{of}>({}, {})", self.value(a, true), self.value(b, true)), true),
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
