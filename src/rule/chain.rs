//! One rule after another on the CPU.

use std::sync::Arc;

use super::code::{Code, Lanes, Moment, Values};
use super::compiled::Traced;
use crate::error::{Error, Result};

/// What runs the first rule, then the second on what that left. The first's own come first in every list.
#[derive(Debug)]
struct Chain {
    first: Arc<dyn Code>,
    second: Arc<dyn Code>,
    hyperparameters: usize,
    streams: usize,
    memory: usize,
    scalars: usize,
    shows: Shows,
}

/// Which of them has the parameter for evaluation.
#[derive(Debug, Clone, Copy)]
enum Shows {
    First,
    Second,
}

impl Code for Chain {
    fn resolve(&self, moment: &Moment<'_>) -> Values {
        let (hyperparameters, others) = moment.hyperparameters.split_at(self.hyperparameters);
        let (memory, other_memory) = moment.memory.split_at(self.memory);
        let mut values = self.first.resolve(&Moment { hyperparameters, memory, ..*moment });
        let second = Moment { hyperparameters: others, memory: other_memory, sums: &[], lens: &[], ..*moment };
        let Values { scalars, memory } = self.second.resolve(&second);
        values.scalars.extend(scalars);
        values.memory.extend(memory);
        values
    }

    fn apply(&self, lanes: Lanes<'_, '_>, scalars: &[f32]) {
        let Lanes { param, grad, streams } = lanes;
        let (scalars, other_scalars) = scalars.split_at(self.scalars);
        let (streams, others) = streams.split_at_mut(self.streams);
        self.first.apply(Lanes { param: &mut *param, grad, streams }, scalars);
        self.second.apply(Lanes { param, grad, streams: others }, other_scalars);
    }

    fn measure(&self, param: &[f32], grad: &[f32], streams: &[&[f32]], scalars: &[f32], terms: &mut [[Vec<f32>; 2]]) {
        self.first.measure(param, grad, &streams[..self.streams], &scalars[..self.scalars], terms);
    }

    fn show(&self, param: &mut [f32], streams: &[&[f32]], scalars: &[f32]) {
        match self.shows {
            Shows::First => self.first.show(param, &streams[..self.streams], &scalars[..self.scalars]),
            Shows::Second => self.second.show(param, &streams[self.streams..], &scalars[self.scalars..]),
        }
    }
}

impl Traced {
    /// The rule that does `second` after this one.
    pub(crate) fn then(self, second: Traced) -> Result<Traced> {
        if second.metric.is_some() {
            let rule = "it scales a learning rate, which is the first rule's";
            return Err(Error::argument("metric", "of a rule after another", rule));
        }
        let chain = Chain {
            hyperparameters: self.tape.hyperparameters.len(),
            streams: self.tape.streams.len(),
            memory: self.tape.memory.len(),
            scalars: self.tape.scalars.len(),
            shows: if second.tape.show.is_some() { Shows::Second } else { Shows::First },
            first: self.code,
            second: second.code,
        };
        let named = [self.named, second.named].concat();
        let [first, after] = [(self.identity, &self.tape), (second.identity, &second.tape)]
            .map(|(identity, tape)| identity.unwrap_or_else(|| tape.identity()));
        // What no file names is one tape in a file, and has the name of that.
        let identity = named.iter().all(|(_, named)| named.is_some()).then(|| format!("{first}, then {after}"));
        Ok(Traced {
            name: self.name,
            tape: self.tape.then(&second.tape)?,
            identity,
            code: Arc::new(chain),
            hyperparameters: [self.hyperparameters, second.hyperparameters].concat(),
            metric: self.metric,
            named,
        })
    }
}
