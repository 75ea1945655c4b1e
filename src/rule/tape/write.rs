//! The text of a tape. A line is a statement, an operation or an output; what is given is called by its name, what an operation
//! yields `x0`, `x1`, …, and a number stands where it is used, in the shortest form that reads back to the same bits.

use std::fmt;

use super::words::{BINARY, COMPARE, OF, OVER, UNARY, word_of};
use super::{Id, Node, Op, Tape};
use crate::rule::parts::{Start, Stream};
use crate::rule::step::Term;

/// The first line.
pub(super) const HEAD: &str = "tape 1";

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\nrule {}", self.name)?;
        for stated in &self.hyperparameters {
            write!(f, "hyperparameter {} {}", stated.name, stated.range.name())?;
            stated.default.map_or(Ok(()), |default| write!(f, " {default:?}"))?;
            writeln!(f)?;
        }
        for stream in &self.streams {
            writeln!(f, "stream {}{}", stream.name, properties(stream))?;
        }
        for sum in &self.sums {
            writeln!(f, "sum {} {}", sum.name, word_of(&OVER, &sum.over))?;
        }
        for remembered in &self.memory {
            writeln!(f, "remember {} {} {:?}", remembered.name, word_of(&OF, &remembered.of), remembered.start)?;
        }
        writeln!(f, "resolve")?;
        let resolve = Part::new(self, &self.resolve.nodes, true);
        resolve.operations(f)?;
        for (name, id) in self.scalars.iter().zip(&self.resolve.scalars) {
            writeln!(f, "  scalar {name} {}", resolve.value(*id))?;
        }
        for (remembered, id) in self.memory.iter().zip(&self.resolve.next) {
            writeln!(f, "  remember {} {}", remembered.name, resolve.value(*id))?;
        }
        if !self.sums.is_empty() {
            writeln!(f, "measure")?;
            let measure = Part::new(self, &self.measure.nodes, false);
            measure.operations(f)?;
            for (sum, term) in self.sums.iter().zip(&self.measure.terms) {
                match term {
                    Term::Value(x) => writeln!(f, "  sum {} value {}", sum.name, measure.value(*x))?,
                    Term::Product(x, y) => {
                        writeln!(f, "  sum {} product {} {}", sum.name, measure.value(*x), measure.value(*y))?;
                    }
                }
            }
        }
        writeln!(f, "apply")?;
        let apply = Part::new(self, &self.apply.nodes, false);
        apply.operations(f)?;
        writeln!(f, "  store param {}", apply.value(self.apply.param))?;
        let changed = self.streams.iter().zip(&self.apply.streams).filter(|(stream, _)| !stream.read_only);
        for (stream, id) in changed {
            writeln!(f, "  store {} {}", stream.name, apply.value(*id))?;
        }
        let Some(show) = &self.show else { return Ok(()) };
        writeln!(f, "show")?;
        let part = Part::new(self, &show.nodes, false);
        part.operations(f)?;
        writeln!(f, "  store param {}", part.value(show.param))
    }
}

/// The words after a stream's name.
fn properties(stream: &Stream) -> String {
    let mut words = String::new();
    match stream.start {
        Start::Zero => {}
        Start::Value(value) => words.push_str(&format!(" starts {value:?}")),
        Start::Param => words.push_str(" starts param"),
        Start::FirstGradient => words.push_str(" starts first_gradient"),
    }
    let flags = [
        (stream.not_negative && !stream.denominator, " not_negative"),
        (stream.denominator, " denominator"),
        (stream.exact, " exact"),
        (stream.read_only, " read_only"),
    ];
    flags.into_iter().filter(|(set, _)| *set).for_each(|(_, word)| words.push_str(word));
    words
}

/// The nodes of one part, each with what the text calls it.
struct Part<'a> {
    tape: &'a Tape,
    nodes: &'a [Node],
    wide: bool,
    names: Vec<String>,
}

impl<'a> Part<'a> {
    fn new(tape: &'a Tape, nodes: &'a [Node], wide: bool) -> Part<'a> {
        let mut part = Part { tape, nodes, wide, names: Vec::with_capacity(nodes.len()) };
        let mut operations = 0;
        for node in nodes {
            let given = part.given(node.op);
            part.names.push(given.unwrap_or_else(|| {
                operations += 1;
                format!("x{}", operations - 1)
            }));
        }
        part
    }

    /// What is called by its name or is a number.
    fn given(&self, op: Op) -> Option<String> {
        let tape = self.tape;
        Some(match op {
            Op::Param => "param".to_owned(),
            Op::Grad => "grad".to_owned(),
            Op::Stream(k) => tape.streams[k as usize].name.to_string(),
            Op::Scalar(k) => tape.scalars[k as usize].clone(),
            Op::Hyperparameter(k) => tape.hyperparameters[k as usize].name.clone(),
            Op::Remembered(k) => tape.memory[k as usize].name.to_string(),
            Op::Sum(k) => tape.sums[k as usize].name.to_string(),
            Op::Len(k) => format!("len.{}", tape.sums[k as usize].name),
            Op::Updates => "updates".to_owned(),
            Op::Literal(bits) if self.wide => format!("{:?}", f64::from_bits(bits)),
            Op::Literal(bits) => format!("{:?}", f32::from_bits(bits as u32)),
            _ => return None,
        })
    }

    fn value(&self, id: Id) -> &str {
        &self.names[id as usize]
    }

    fn operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, own) in self.nodes.iter().zip(&self.names) {
            if self.given(node.op).is_some() {
                continue;
            }
            let (word, number) = match node.op {
                Op::Next(_) => ("next", None),
                Op::CountIs(_, n) => ("is", Some(n)),
                Op::CountLess(_, n) => ("count_less", Some(n)),
                Op::ToScalar(_) => ("to_scalar", None),
                Op::BiasCorrection(..) => ("bias_correction", None),
                Op::Round(_) => ("round", None),
                Op::Unary(op, _) => (word_of(&UNARY, &op), None),
                Op::Binary(op, _) => (word_of(&BINARY, &op), None),
                Op::Compare(op, _) => (word_of(&COMPARE, &op), None),
                Op::Fma(_) => ("fma", None),
                Op::Not(_) => ("not", None),
                Op::Both(_) => ("both", None),
                Op::Either(_) => ("either", None),
                Op::Select(_) => ("select", None),
                _ => continue,
            };
            write!(f, "  {own}")?;
            node.name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))?;
            write!(f, " = {word}")?;
            for operand in node.op.operands() {
                write!(f, " {}", self.value(operand))?;
            }
            number.map_or(Ok(()), |n| write!(f, " {n}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
