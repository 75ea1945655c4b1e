//! That every operation works on what it expects: elements, scalars of the step, counts and masks are not mixed.

use super::check::refused;
use super::{Id, Kind, Node, Op, Tape};
use crate::error::Result;

impl Tape {
    /// Operands come before operations and are what those expect.
    pub(super) fn check_nodes(&self) -> Result<()> {
        let leaves =
            [self.hyperparameters.len(), self.memory.len(), self.sums.len(), self.streams.len(), self.scalars.len()];
        let of_resolve = |op: &Op| match *op {
            Op::Hyperparameter(k) => Some((k as usize) < leaves[0]),
            Op::Remembered(k) => Some((k as usize) < leaves[1]),
            Op::Sum(k) | Op::Len(k) => Some((k as usize) < leaves[2]),
            _ => op.of_resolve().then_some(true),
        };
        let of_elements = |op: &Op| match *op {
            Op::Stream(k) => Some((k as usize) < leaves[3]),
            Op::Scalar(k) => Some((k as usize) < leaves[4]),
            Op::Param | Op::Grad => Some(true),
            _ => None,
        };
        let resolve = Part { name: "resolve", nodes: &self.resolve.nodes };
        resolve.check(|op| of_resolve(op).unwrap_or(of_elements(op).is_none()))?;
        resolve.expect(&self.resolve.scalars, Kind::Rounded)?;
        resolve.expect(&self.resolve.next, Kind::Number)?;
        let belongs = |op: &Op| of_elements(op).unwrap_or(of_resolve(op).is_none());
        let measure = Part { name: "measure", nodes: &self.measure.nodes };
        measure.check(belongs)?;
        measure.expect(&self.measure.outputs(), Kind::Number)?;
        let apply = Part { name: "apply", nodes: &self.apply.nodes };
        apply.check(belongs)?;
        apply.expect(&self.apply.outputs(), Kind::Number)?;
        let Some(show) = &self.show else { return Ok(()) };
        let part = Part { name: "show", nodes: &show.nodes };
        part.check(belongs)?;
        part.expect(&[show.param], Kind::Number)
    }
}

/// The nodes of one part.
struct Part<'a> {
    name: &'static str,
    nodes: &'a [Node],
}

impl Part<'_> {
    /// `belongs`: whether an operation may be here.
    fn check(&self, belongs: impl Fn(&Op) -> bool) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            let place = || format!("{}[{i}]", self.name);
            if !belongs(&node.op) {
                return Err(refused(place(), format!("{:?}", node.op), format!("`{}` has no such value", self.name)));
            }
            for (operand, expected) in node.op.operands().into_iter().zip(node.op.expected()) {
                if operand as usize >= i {
                    return Err(refused(place(), format!("{:?}", node.op), "an operation works on those before it"));
                }
                let found = self.nodes[operand as usize].op.kind();
                if found != expected {
                    let value = format!("a {} as a {}", found.name(), expected.name());
                    return Err(refused(place(), value, "masks, counts, scalars and elements are not mixed"));
                }
            }
        }
        Ok(())
    }

    fn expect(&self, outputs: &[Id], expected: Kind) -> Result<()> {
        for output in outputs {
            let Some(node) = self.nodes.get(*output as usize) else {
                return Err(refused(self.name, format!("gives back value {output}"), "there is no such value"));
            };
            if node.op.kind() != expected {
                let value = format!("gives back a {} as a {}", node.op.kind().name(), expected.name());
                return Err(refused(self.name, value, "masks, counts, scalars and elements are not mixed"));
            }
        }
        Ok(())
    }
}
