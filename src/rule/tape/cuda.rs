//! The type that a kernel applies, from a tape: `resolve` in f64, `start`, `measure` and `apply` in f32, an operation for an
//! operation. `kernels/variant.cuh` says what is expected of it. Start at [`Compiled::cuda`].

use super::expressions::Writer;
use super::{Id, Op, Show, Standing};
use crate::rule::compiled::{Compiled, ScalarPlace, WEIGHT_DECAY};
use crate::rule::parts::{Of, Over, Start};
use crate::rule::step::Term;

const INLINE: &str = "static __device__ __forceinline__";

impl Compiled {
    /// The text of `struct {name}`.
    pub fn cuda(&self, name: &str) -> String {
        let (tape, standing) = (&self.tape, &self.standing);
        let streams: Vec<&str> = ["param", "grad"].into_iter().chain(tape.streams.iter().map(|s| &*s.name)).collect();
        let bytes = |set: u32| 4 * set.count_ones();
        let mut text = format!("// {}. Streams: {}.\n", self.identity, streams.join(", "));
        let Standing { loads, measure_loads, stores, .. } = *standing;
        let measured =
            if measure_loads == 0 { String::new() } else { format!(" ({} of them to measure)", bytes(measure_loads)) };
        let (reads, writes) = (bytes(loads) + bytes(measure_loads), bytes(stores));
        let all = self.bytes_per_param();
        text += &format!("// In f32 reads {reads} B{measured}, writes {writes} B: {all} B per parameter.");
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
            ("SHOW_LOADS", standing.show_loads),
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
        let inputs = tape.hyperparameters.len() + standing.corrected.len();
        let decay = self.hyperparameters().position(|name| name == WEIGHT_DECAY).unwrap_or(inputs);
        text += &format!("  static constexpr u64 LATE = {:#x};\n", standing.late);
        text += &format!("  static constexpr u32 DECAY = {decay};\n\n");
        text += &self.scalars_struct();
        text += &self.resolve_text(name);
        text += &self.start_text();
        if !tape.sums.is_empty() {
            text += &self.measure_text();
        }
        text += &self.apply_text();
        if let Some(show) = &tape.show {
            text += &self.show_text(show);
        }
        text + "};\n"
    }

    /// The scalars that elements use, and where they are found.
    fn scalars_struct(&self) -> String {
        let (mut fields, mut own) = (Vec::new(), String::new());
        for (name, place) in self.tape.scalars.iter().zip(&self.standing.places) {
            match place {
                ScalarPlace::Record(at) => fields.push((name.as_str(), format!("r.value[{at}]"))),
                ScalarPlace::Tensor(at) => {
                    fields.push((name, "0.0f".to_owned()));
                    own += &format!("    s.{name} = own.value[{at}];\n");
                }
                ScalarPlace::Unused => {}
            }
        }
        if let Some(at) = self.standing.first {
            fields.push(("first", format!("r.value[{at}]")));
        }
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        let declared = if names.is_empty() { String::new() } else { format!("\n    float {};\n  ", names.join(", ")) };
        let own = if own.is_empty() { "{}".to_owned() } else { format!("{{\n{own}  }}") };
        format!(
            "  struct Scalars {{{declared}}};\n\n  {INLINE} Scalars scalars(const Record<SCALARS>& r) {{\n    return {{{}}};\n  }}\n\n  {INLINE} void take(Scalars& s, const Own<TENSOR_SCALARS>& own) {own}\n\n",
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

    fn show_text(&self, show: &Show) -> String {
        let mut writer = Writer::new(&self.tape, &show.nodes, &[show.param], false);
        let given = writer.elements();
        writer.named();
        let value = writer.value(show.param, true);
        writer.line(&format!("return {value};"));
        format!("\n  {INLINE} float show(const float (&x)[STREAMS], const Scalars& s) {{\n{given}{}  }}\n", writer.text)
    }

    fn apply_text(&self) -> String {
        let (tape, part) = (&self.tape, &self.tape.apply);
        let mut writer = Writer::new(tape, &part.nodes, &tape.stored(), false);
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
