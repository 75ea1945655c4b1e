//! A tape from its text. Whatever the text is, reading it ends in a tape or in an [`Error`] that names the line.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use super::order::Nodes;
use super::words::{BINARY, COMPARE, OF, OVER, UNARY, meaning};
use super::write::HEAD;
use super::{Apply, Id, Kind, Measure, Op, Resolve, Show, Stated, Tape};
use crate::error::{Error, Result};
use crate::rule::hyperparameter::Range;
use crate::rule::parts::{Remembered, Start, Stream, Sum};
use crate::rule::step::Term;

impl Tape {
    /// Reads the text of a tape, as [`Tape`] prints it, and checks it as the build of an optimizer does.
    ///
    /// ```
    /// use instep::rule::Tape;
    /// let text = "tape 1
    /// rule sign_descent
    /// hyperparameter lr not_negative
    /// resolve
    ///   x0 = round lr
    ///   scalar lr x0
    /// apply
    ///   x0 = less 0.0 grad
    ///   x1:sign = select x0 1.0 -1.0
    ///   x2 = neg lr
    ///   x3 = fma x2 x1 param
    ///   store param x3
    /// ";
    /// assert_eq!(Tape::parse(text)?.to_string(), text);
    /// let wrong = Tape::parse(&text.replace("fma x2 x1", "fma x2 x0")).unwrap_err();
    /// assert!(wrong.to_string().ends_with("`x0` is a mask, but must be a number"), "{wrong}");
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Format`] with the line, or [`Error::Argument`] for a rule that has no meaning.
    pub fn parse(text: &str) -> Result<Tape> {
        let tape = Reader::read(text)?.ordered();
        tape.check()?;
        Ok(tape)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Section {
    Statements,
    Resolve,
    Measure,
    Apply,
    Show,
}

struct Reader {
    tape: Tape,
    section: Section,
    nodes: Nodes,
    values: HashMap<String, Id>,
    /// Outputs by name.
    outputs: HashMap<String, Id>,
    terms: HashMap<String, Term<Id>>,
}

type Line<T> = std::result::Result<T, String>;

impl Reader {
    fn read(text: &str) -> Result<Tape> {
        let (resolve, measure) =
            (Resolve { nodes: vec![], scalars: vec![], next: vec![] }, Measure { nodes: vec![], terms: vec![] });
        let apply = Apply { nodes: vec![], param: 0, streams: vec![] };
        let (name, hyperparameters, scalars) = (String::new(), vec![], vec![]);
        let (streams, sums, memory) = (vec![], vec![], vec![]);
        let mut reader = Reader {
            tape: Tape { name, hyperparameters, streams, sums, memory, scalars, resolve, measure, apply, show: None },
            section: Section::Statements,
            nodes: Nodes::default(),
            values: HashMap::new(),
            outputs: HashMap::new(),
            terms: HashMap::new(),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut last = 0;
        for (i, (number, line)) in lines.enumerate() {
            last = number + 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            let taken = match i {
                0 if line.trim() == HEAD => Ok(()),
                0 => Err(format!("must be `{HEAD}`, the head of every tape")),
                _ => reader.line(&words),
            };
            taken.map_err(|rule| wrong(number + 1, line.trim(), &rule))?;
        }
        let end = match reader.section {
            Section::Apply | Section::Show => reader.end_section(),
            _ => Err("it ends before `apply`".to_owned()),
        };
        end.map_err(|rule| wrong(last, "the end", &rule))?;
        Ok(reader.tape)
    }

    fn line(&mut self, words: &[&str]) -> Line<()> {
        match (self.section, words) {
            (_, ["resolve"]) => self.begin(Section::Resolve),
            (_, ["measure"]) => self.begin(Section::Measure),
            (_, ["apply"]) => self.begin(Section::Apply),
            (Section::Apply, ["show"]) => self.begin(Section::Show),
            (Section::Statements, words) => self.statement(words),
            (Section::Resolve, ["scalar", name, value]) => {
                let id = self.output(value, Kind::Rounded)?;
                self.tape.scalars.push((*name).to_owned());
                self.tape.resolve.scalars.push(id);
                Ok(())
            }
            (Section::Resolve, ["remember", name, value])
            | (Section::Apply | Section::Show, ["store", name, value]) => {
                let id = self.output(value, Kind::Number)?;
                match self.outputs.insert((*name).to_owned(), id) {
                    None => Ok(()),
                    Some(_) => Err(format!("`{name}` is written twice")),
                }
            }
            (Section::Measure, ["sum", name, "value", x]) => {
                let term = Term::Value(self.output(x, Kind::Number)?);
                self.term(name, term)
            }
            (Section::Measure, ["sum", name, "product", x, y]) => {
                let term = Term::Product(self.output(x, Kind::Number)?, self.output(y, Kind::Number)?);
                self.term(name, term)
            }
            (_, [target, "=", word, operands @ ..]) => self.operation(target, word, operands),
            _ => Err("no line of this section is like that".to_owned()),
        }
    }

    fn term(&mut self, name: &str, term: Term<Id>) -> Line<()> {
        match self.terms.insert(name.to_owned(), term) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is added to twice")),
        }
    }

    fn begin(&mut self, section: Section) -> Line<()> {
        if section <= self.section {
            return Err("the sections are resolve, measure, apply, show, each once, in this order".to_owned());
        }
        self.end_section()?;
        self.section = section;
        Ok(())
    }

    fn end_section(&mut self) -> Line<()> {
        let (nodes, mut outputs) = (std::mem::take(&mut self.nodes), std::mem::take(&mut self.outputs));
        self.values.clear();
        let tape = &mut self.tape;
        match self.section {
            Section::Statements => {}
            Section::Resolve => {
                tape.resolve.nodes = nodes.nodes;
                for remembered in &tape.memory {
                    let missing = || format!("`resolve` does not remember `{}` anew", remembered.name);
                    tape.resolve.next.push(outputs.remove(&*remembered.name).ok_or_else(missing)?);
                }
            }
            Section::Measure => {
                tape.measure.nodes = nodes.nodes;
                for sum in &tape.sums {
                    let missing = || format!("`measure` adds nothing to `{}`", sum.name);
                    tape.measure.terms.push(self.terms.remove(&*sum.name).ok_or_else(missing)?);
                }
                if let Some(name) = self.terms.keys().min() {
                    return Err(format!("there is no sum `{name}`"));
                }
            }
            Section::Apply => {
                let mut nodes = nodes;
                tape.apply.param = outputs.remove("param").ok_or("`apply` does not store `param`")?;
                for (k, stream) in (0..).zip(&tape.streams) {
                    // One that is not stored stays what it is; whether it may is checked with all else.
                    let stored = outputs.remove(&*stream.name);
                    tape.apply.streams.push(stored.unwrap_or_else(|| nodes.given(Op::Stream(k))));
                }
                tape.apply.nodes = nodes.nodes;
                if tape.measure.terms.len() != tape.sums.len() {
                    return Err("sums are stated, and there is no `measure`".to_owned());
                }
            }
            Section::Show => {
                let param = outputs.remove("param").ok_or("`show` does not store `param`")?;
                tape.show = Some(Show { nodes: nodes.nodes, param });
            }
        }
        match outputs.keys().min() {
            Some(name) => Err(format!("`{name}` is not stated, so it cannot be written")),
            None => Ok(()),
        }
    }

    fn statement(&mut self, words: &[&str]) -> Line<()> {
        match words {
            ["rule", name] if self.tape.name.is_empty() => self.tape.name = (*name).to_owned(),
            ["hyperparameter", name, range, default @ ..] if default.len() < 2 => {
                let ranges = Range::ALL.map(|range| (range.name(), range));
                let range = meaning(&ranges, range).ok_or_else(|| format!("there is no range `{range}`"))?;
                let default = default.first().map(|word| number::<f64>(word)).transpose()?;
                self.tape.hyperparameters.push(Stated { name: (*name).to_owned(), range, default });
            }
            ["stream", name, properties @ ..] => {
                let stream = stream(Stream::new((*name).to_owned()), properties)?;
                self.tape.streams.push(stream);
            }
            ["sum", name, over] => {
                let over =
                    meaning(&OVER, over).ok_or_else(|| format!("a sum is over tensor, group or all, not `{over}`"))?;
                self.tape.sums.push(Sum::new((*name).to_owned(), over));
            }
            ["remember", name, of, start] => {
                let of =
                    meaning(&OF, of).ok_or_else(|| format!("it is a cohort's, a group's or a tensor's, not `{of}`"))?;
                self.tape.memory.push(Remembered::new((*name).to_owned(), of, number(start)?));
            }
            _ => return Err("no statement is like that".to_owned()),
        }
        Ok(())
    }

    fn operation(&mut self, target: &str, word: &str, operands: &[&str]) -> Line<()> {
        let (own, name) = match target.split_once(':') {
            Some((own, name)) => (own, Some(name.to_owned())),
            None => (target, None),
        };
        let digits =
            own.strip_prefix('x').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        if !digits {
            return Err(format!("`{own}` is no name of a value: x0, x1, …"));
        }
        if self.values.contains_key(own) {
            return Err(format!("`{own}` is there already"));
        }
        let counted = |reader: &mut Reader, op: fn(Id, u64) -> Op| match operands {
            [a, n] => Ok(op(reader.operand(a)?, number(n)?)),
            _ => Err(format!("`{word}` takes a count and a number")),
        };
        let op = match word {
            "is" => counted(self, Op::CountIs)?,
            "count_less" => counted(self, Op::CountLess)?,
            _ => {
                let ids = operands.iter().map(|word| self.operand(word)).collect::<Line<Vec<Id>>>()?;
                operation(word, &ids)?
            }
        };
        if op.of_resolve() && self.section != Section::Resolve {
            return Err(format!("`{word}` is of `resolve` alone"));
        }
        for ((id, kind), word) in op.operands().into_iter().zip(op.expected()).zip(operands) {
            self.expect(word, id, kind)?;
        }
        let id = self.nodes.push(op, name);
        self.values.insert(own.to_owned(), id);
        Ok(())
    }

    /// The operand `word` of a line that gives something back.
    fn output(&mut self, word: &str, kind: Kind) -> Line<Id> {
        let id = self.operand(word)?;
        self.expect(word, id, kind)?;
        Ok(id)
    }

    fn expect(&self, word: &str, id: Id, kind: Kind) -> Line<()> {
        match self.nodes.nodes[id as usize].op.kind() {
            found if found == kind => Ok(()),
            found => Err(format!("`{word}` is a {}, but must be a {}", found.name(), kind.name())),
        }
    }

    /// A value, something given, or a number.
    fn operand(&mut self, word: &str) -> Line<Id> {
        if let Some(id) = self.values.get(word) {
            return Ok(*id);
        }
        let op = self.named(word).map_or_else(|| self.literal(word), Ok)?;
        Ok(self.nodes.given(op))
    }

    fn named(&self, word: &str) -> Option<Op> {
        let tape = &self.tape;
        let place = |found: Option<usize>, op: fn(u32) -> Op| found.map(|k| op(k as u32));
        if self.section == Section::Resolve {
            let sum = |name: &str| tape.sums.iter().position(|sum| sum.name == name);
            return match (word, word.strip_prefix("len.")) {
                ("updates", _) => Some(Op::Updates),
                (_, Some(of)) => place(sum(of), Op::Len),
                _ => place(tape.hyperparameters.iter().position(|h| h.name == word), Op::Hyperparameter)
                    .or_else(|| place(tape.memory.iter().position(|m| m.name == word), Op::Remembered))
                    .or_else(|| place(sum(word), Op::Sum)),
            };
        }
        match word {
            "param" => Some(Op::Param),
            "grad" => Some(Op::Grad),
            _ => place(tape.streams.iter().position(|stream| stream.name == word), Op::Stream)
                .or_else(|| place(tape.scalars.iter().position(|scalar| scalar == word), Op::Scalar)),
        }
    }

    fn literal(&self, word: &str) -> Line<Op> {
        let unknown = |_| format!("there is no value `{word}`");
        Ok(match self.section {
            Section::Resolve => Op::scalar(number(word).map_err(unknown)?),
            _ => Op::element(number(word).map_err(unknown)?),
        })
    }
}

fn wrong(line: usize, text: &str, rule: &str) -> Error {
    Error::Format { place: format!("line {line} of the tape"), detail: format!("`{text}`: {rule}") }
}

/// A number in the type that it has here, which a word that is not infinity must not become.
fn number<T: FromStr + Display>(word: &str) -> Line<T> {
    let fits = |value: &T| !value.to_string().ends_with("inf") || word.to_ascii_lowercase().contains("inf");
    let value = word.parse().ok().filter(fits);
    value.ok_or_else(|| format!("`{word}` is no number that fits here"))
}

fn stream(mut stream: Stream, properties: &[&str]) -> Line<Stream> {
    let mut words = properties.iter();
    while let Some(word) = words.next() {
        stream = match *word {
            "starts" => match words.next() {
                Some(&"param") => stream.starts(Start::Param),
                Some(&"first_gradient") => stream.starts(Start::FirstGradient),
                Some(value) => stream.starts(Start::Value(number(value)?)),
                None => return Err("`starts` says from what".to_owned()),
            },
            "not_negative" => stream.not_negative(),
            "denominator" => stream.denominator(),
            "exact" => stream.exact(),
            "read_only" => stream.read_only(),
            word => return Err(format!("there is no property `{word}`")),
        };
    }
    Ok(stream)
}

fn operation(word: &str, ids: &[Id]) -> Line<Op> {
    let op = match (word, ids) {
        ("next", [a]) => Op::Next(*a),
        ("to_scalar", [a]) => Op::ToScalar(*a),
        ("round", [a]) => Op::Round(*a),
        ("not", [a]) => Op::Not(*a),
        ("bias_correction", [a, b]) => Op::BiasCorrection(*a, *b),
        ("both", [a, b]) => Op::Both([*a, *b]),
        ("either", [a, b]) => Op::Either([*a, *b]),
        ("fma", [a, b, c]) => Op::Fma([*a, *b, *c]),
        ("select", [a, b, c]) => Op::Select([*a, *b, *c]),
        (_, [a]) => Op::Unary(meaning(&UNARY, word).ok_or_else(|| unknown(word, 1))?, *a),
        (_, [a, b]) => match (meaning(&BINARY, word), meaning(&COMPARE, word)) {
            (Some(op), _) => Op::Binary(op, [*a, *b]),
            (_, Some(op)) => Op::Compare(op, [*a, *b]),
            _ => return Err(unknown(word, 2)),
        },
        _ => return Err(unknown(word, ids.len())),
    };
    Ok(op)
}

fn unknown(word: &str, operands: usize) -> String {
    format!("there is no operation `{word}` of {operands} operands")
}
