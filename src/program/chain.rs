//! Questions about a program's structure: is it a sequence as a whole, does it see the progress clock, what does
//! it divide by. An edit asks them, and `lower`.

use super::{Clock, Count, Node};

/// The pieces of a schedule that is a sequence as a whole.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    pub on_progress: bool,
    /// The lengths of all pieces but the last.
    pub lengths: Vec<Count>,
    pub pieces: Vec<&'a Node>,
}

impl Node {
    /// The pieces, if the node is a sequence on the step or on the progress clock.
    pub fn chain(&self) -> Option<Chain<'_>> {
        let (on_progress, mut rest) = match self {
            Node::Clocked { clock: Clock::Progress, inner } => (true, &**inner),
            node => (false, node),
        };
        let mut chain = Chain { on_progress, lengths: Vec::new(), pieces: Vec::new() };
        while let Node::Then { boundary, first, next } = rest {
            chain.lengths.push(*boundary);
            chain.pieces.push(first);
            rest = next;
        }
        chain.pieces.push(rest);
        (!chain.lengths.is_empty()).then_some(chain)
    }

    /// The operation in force at step 0, where no piece is without length.
    pub fn start(&self) -> &Node {
        match self {
            Node::Then { first, .. } => first.start(),
            node => node,
        }
    }

    /// Whether its value depends on the progress clock.
    pub fn sees_progress(&self) -> bool {
        self.any(&|node| matches!(node, Node::Clocked { clock: Clock::Progress, .. }))
    }

    /// Whether it divides a clock by the count at `place`, which therefore must not become 0.
    pub fn divides_by(&self, place: Count) -> bool {
        self.any(&|node| match node {
            Node::Clocked { clock: Clock::Every { every: by } | Clock::Cycle { period: by, .. }, .. } => *by == place,
            _ => false,
        })
    }

    /// Whether `holds` for it or for an operation in it.
    fn any(&self, holds: &dyn Fn(&Node) -> bool) -> bool {
        if holds(self) {
            return true;
        }
        match self {
            Node::Constant(_)
            | Node::Step
            | Node::Ramp { .. }
            | Node::Exponential { .. }
            | Node::InverseSqrt { .. }
            | Node::InverseTime { .. }
            | Node::PowerLaw { .. }
            | Node::Piecewise { .. } => false,
            Node::Then { first: a, next: b, .. } | Node::Binary { left: a, right: b, .. } => {
                a.any(holds) || b.any(holds)
            }
            Node::Clamp { inner, .. }
            | Node::Clocked { inner, .. }
            | Node::Unary { of: inner, .. }
            | Node::PowInt { base: inner, .. } => inner.any(holds),
            Node::Select { condition, then, otherwise } => {
                condition.any(holds) || then.any(holds) || otherwise.any(holds)
            }
        }
    }
}
