//! The order that a tape's text implies. Start at [`Tape::ordered`].

use std::collections::HashMap;

use super::{Id, Node, Op, Tape, used};
use crate::rule::step::Term;

/// Nodes in the order in which they are first used: what is given, and numbers, come right before their first use.
#[derive(Default)]
pub(super) struct Nodes {
    pub nodes: Vec<Node>,
    given: HashMap<Op, Id>,
}

impl Nodes {
    pub fn push(&mut self, op: Op, name: Option<String>) -> Id {
        self.nodes.push(Node { op, name });
        self.nodes.len() as Id - 1
    }

    /// The node of what is given or of a number.
    pub fn given(&mut self, op: Op) -> Id {
        match self.given.get(&op) {
            Some(id) => *id,
            None => {
                let id = self.push(op, None);
                self.given.insert(op, id);
                id
            }
        }
    }
}

/// The same nodes in the order of [`Nodes`], those without use left out. Returns the new place of each.
fn ordered(nodes: &[Node], outputs: &[Id]) -> (Vec<Node>, Vec<Id>) {
    let used = used(nodes, outputs.iter().copied());
    let (mut new, mut places) = (Nodes::default(), vec![Id::MAX; nodes.len()]);
    let place = |new: &mut Nodes, places: &mut Vec<Id>, id: Id| {
        if places[id as usize] == Id::MAX {
            places[id as usize] = new.given(nodes[id as usize].op);
        }
        places[id as usize]
    };
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| used[*i]) {
        if node.op.operands().is_empty() {
            continue;
        }
        let op = node.op.map(|operand| place(&mut new, &mut places, operand));
        places[i] = new.push(op, node.name.clone());
    }
    for output in outputs {
        place(&mut new, &mut places, *output);
    }
    (new.nodes, places)
}

impl Op {
    /// The same operation on other operands.
    pub(super) fn map(self, mut f: impl FnMut(Id) -> Id) -> Op {
        match self {
            Op::Next(a) => Op::Next(f(a)),
            Op::CountIs(a, n) => Op::CountIs(f(a), n),
            Op::CountLess(a, n) => Op::CountLess(f(a), n),
            Op::ToScalar(a) => Op::ToScalar(f(a)),
            Op::Round(a) => Op::Round(f(a)),
            Op::Unary(op, a) => Op::Unary(op, f(a)),
            Op::Not(a) => Op::Not(f(a)),
            Op::BiasCorrection(a, b) => Op::BiasCorrection(f(a), f(b)),
            Op::Binary(op, pair) => Op::Binary(op, pair.map(f)),
            Op::Compare(op, pair) => Op::Compare(op, pair.map(f)),
            Op::Both(pair) => Op::Both(pair.map(f)),
            Op::Either(pair) => Op::Either(pair.map(f)),
            Op::Fma(three) => Op::Fma(three.map(f)),
            Op::Select(three) => Op::Select(three.map(f)),
            given => given,
        }
    }
}

impl Tape {
    /// The tape as its text has it: without what nothing follows from.
    pub(crate) fn ordered(mut self) -> Tape {
        let outputs: Vec<Id> = self.resolve.scalars.iter().chain(&self.resolve.next).copied().collect();
        let (nodes, places) = ordered(&self.resolve.nodes, &outputs);
        self.resolve.nodes = nodes;
        let outputs = self.resolve.scalars.iter_mut().chain(&mut self.resolve.next);
        outputs.for_each(|id| *id = places[*id as usize]);
        let (nodes, places) = ordered(&self.measure.nodes, &self.measure.outputs());
        self.measure.nodes = nodes;
        for term in &mut self.measure.terms {
            *term = match *term {
                Term::Value(x) => Term::Value(places[x as usize]),
                Term::Product(x, y) => Term::Product(places[x as usize], places[y as usize]),
            };
        }
        let (nodes, places) = ordered(&self.apply.nodes, &self.apply.outputs());
        self.apply.nodes = nodes;
        let outputs = std::iter::once(&mut self.apply.param).chain(&mut self.apply.streams);
        outputs.for_each(|id| *id = places[*id as usize]);
        if let Some(show) = &mut self.show {
            let (nodes, places) = ordered(&show.nodes, &[show.param]);
            (show.nodes, show.param) = (nodes, places[show.param as usize]);
        }
        self
    }
}
