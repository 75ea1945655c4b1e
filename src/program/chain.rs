//! Questions about a program's structure: is it a sequence as a whole, and does it see the progress clock. An edit asks them,
//! and `lower`.

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
        match self {
            Node::Clocked { clock: Clock::Progress, .. } => true,
            Node::Constant(_)
            | Node::Step
            | Node::Ramp { .. }
            | Node::Exponential { .. }
            | Node::InverseSqrt { .. }
            | Node::InverseTime { .. }
            | Node::PowerLaw { .. }
            | Node::Piecewise { .. } => false,
            Node::Then { first: a, next: b, .. } | Node::Binary { left: a, right: b, .. } => {
                a.sees_progress() || b.sees_progress()
            }
            Node::Clamp { inner, .. }
            | Node::Clocked { inner, .. }
            | Node::Unary { of: inner, .. }
            | Node::PowInt { base: inner, .. } => inner.sees_progress(),
            Node::Select { condition, then, otherwise } => {
                condition.sees_progress() || then.sees_progress() || otherwise.sees_progress()
            }
        }
    }
}
