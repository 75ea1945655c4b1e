//! One rule after another in the same update: the second sees the parameter that the first makes, and keeps streams of its own.

use super::words::is_name;
use super::{Apply, Id, Node, Op, Resolve, Show, Tape};
use crate::error::{Error, Result};

/// What comes before the second rule's own among all.
struct Before {
    hyperparameters: u32,
    streams: u32,
    memory: u32,
    scalars: u32,
}

impl Before {
    /// The same value where both rules' are in one list.
    fn leaf(&self, op: Op) -> Op {
        match op {
            Op::Stream(k) => Op::Stream(k + self.streams),
            Op::Scalar(k) => Op::Scalar(k + self.scalars),
            Op::Hyperparameter(k) => Op::Hyperparameter(k + self.hyperparameters),
            Op::Remembered(k) => Op::Remembered(k + self.memory),
            other => other,
        }
    }

    /// Appends `second` to `nodes`, with `param` in place of the parameter. Returns the new place of each.
    fn append(&self, nodes: &mut Vec<Node>, second: &[Node], param: Option<Id>) -> Vec<Id> {
        let mut places: Vec<Id> = Vec::with_capacity(second.len());
        for node in second {
            let place = match (node.op, param) {
                (Op::Param, Some(param)) => param,
                (op, _) => {
                    let op = self.leaf(op).map(|id| places[id as usize]);
                    nodes.push(Node { op, name: node.name.clone() });
                    nodes.len() as Id - 1
                }
            };
            places.push(place);
        }
        places
    }
}

impl Tape {
    /// The rule that does `second` after this one.
    pub(crate) fn then(&self, second: &Tape) -> Result<Tape> {
        if let Some(sum) = second.sums.first() {
            let rule = format!("must come first: it sums {} over elements, before anything is updated", sum.name);
            return Err(Error::argument("rule", format!("`{}` after another", second.name), rule));
        }
        let changes = second.apply.nodes[second.apply.param as usize].op != Op::Param;
        if self.show.is_some() && changes {
            let rule = format!(
                "must not come after `{}`, whose parameters for evaluation follow from those that it made itself",
                self.name
            );
            return Err(Error::argument("rule", format!("`{}` after another", second.name), rule));
        }
        let before = Before {
            hyperparameters: self.hyperparameters.len() as u32,
            streams: self.streams.len() as u32,
            memory: self.memory.len() as u32,
            scalars: self.scalars.len() as u32,
        };
        let mut both = self.clone();
        let name = format!("{}_then_{}", self.name, second.name);
        both.name = if is_name(&name) {
            name
        } else {
            format!("{}_and_more", self.name.split("_then_").next().unwrap_or_default())
        };
        both.hyperparameters.extend(second.hyperparameters.iter().cloned());
        both.streams.extend(second.streams.iter().cloned());
        both.memory.extend(second.memory.iter().cloned());
        both.scalars.extend(second.scalars.iter().cloned());

        let Resolve { nodes, scalars, next } = &mut both.resolve;
        let places = before.append(nodes, &second.resolve.nodes, None);
        scalars.extend(second.resolve.scalars.iter().map(|id| places[*id as usize]));
        next.extend(second.resolve.next.iter().map(|id| places[*id as usize]));
        let Apply { nodes, param, streams } = &mut both.apply;
        let places = before.append(nodes, &second.apply.nodes, Some(*param));
        *param = places[second.apply.param as usize];
        streams.extend(second.apply.streams.iter().map(|id| places[*id as usize]));
        if let Some(Show { nodes: second, param }) = &second.show {
            let mut nodes = Vec::new();
            let places = before.append(&mut nodes, second, None);
            both.show = Some(Show { nodes, param: places[*param as usize] });
        }
        Ok(both.ordered())
    }
}
