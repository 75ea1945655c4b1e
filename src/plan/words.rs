//! What kernels are compiled for, in words. Start at [`Plan::kernel_words`].

use super::{Forms, Plan};
use crate::gradient::Factor;

impl Plan {
    /// All that the generated text depends on, for people: each rule with how tensors of it are stored, what schedules there are
    /// (their numbers are free), what is done with gradients, and what else was asked for.
    pub fn kernel_words(&self) -> String {
        let mut parts: Vec<String> = self.forms.iter().map(|forms| self.form_words(forms)).collect();
        for (group, stated) in self.stated.iter().enumerate() {
            let scheduled = stated.schedules.iter().zip(self.variants_of(group)).filter(|(stated, _)| !stated.plain);
            let words = scheduled.map(|(stated, name)| format!("{name} {}", stated.words.line()));
            let words: Vec<String> = words.collect();
            if !words.is_empty() {
                parts.push(format!("groups[{group}] of {} with {}", stated.rule, words.join(", ")));
            }
        }
        let factor = match self.gradients.factor {
            Factor::None => None,
            Factor::Stored => Some("a factor of gradients that the norm gives"),
            Factor::Computed => Some("a factor of gradients without a norm launch"),
        };
        let options = self.gradients.options(&self.settings).into_iter();
        parts.extend(options.map(|(name, words)| format!("{name} {words}")).chain(factor.map(str::to_owned)));
        let facts = [
            (self.features.observes, "observe_every"),
            (self.features.stops, "stop_below or stop_on_plateau"),
            (self.features.telemetry, "telemetry"),
            (self.reserve.is_some(), "dynamic"),
            (self.parts.is_some(), "in_parts"),
            (!self.gates.is_empty(), "groups that follow flags"),
            (self.scaled, "tensors that scale rates"),
        ];
        parts.extend(facts.iter().filter(|(there, _)| *there).map(|(_, words)| (*words).to_owned()));
        parts.join("; ")
    }

    /// The names of a group's hyperparameters.
    fn variants_of(&self, group: usize) -> impl Iterator<Item = &str> {
        self.variants[self.groups[group].variant as usize].hyperparameters()
    }

    fn form_words(&self, forms: &Forms) -> String {
        let rule = &self.variants[forms.variant as usize];
        if !self.outputs.is_empty() {
            let written: Vec<&str> = rule.tape.memory.iter().map(|value| &*value.name).collect();
            return format!("{} that write {}", rule.tape.name, written.join(", "));
        }
        let streams = rule.streams().iter().map(|stream| &*stream.name);
        let names = ["param", "grad"].into_iter().chain(streams).chain(["put aside"]);
        let stored = names.zip(&forms.storages).map(|(name, storage)| format!("{name} {}", storage.form));
        format!("{} ({})", rule.tape.name, stored.collect::<Vec<_>>().join(", "))
    }
}
