//! The rules of torch and their kin: what each keeps from step to step, and that compiled and interpreted they are the same bits.

use instep::rule::{Rule, Tape};
use instep::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Asgd, Caution, Momentum, NAdam, Nesterov, Parity, RAdam, RmsProp, Rprop,
    Schedule, Sgd,
};

use super::interpreted::assert_same;

fn warm() -> Schedule {
    Schedule::linear(0.01, 0.1).over(2)
}

#[track_caller]
fn same(rule: &impl Rule, given: &[(&str, f64)]) {
    let given: Vec<(&str, Schedule)> = given.iter().map(|(name, value)| (*name, (*value).into())).collect();
    let all: Vec<_> = std::iter::once(("lr", warm())).chain(given).collect();
    assert_same(&format!("{rule:?}"), rule, &all);
}

#[test]
fn what_is_added_to_adam_is_the_same_bits_interpreted() {
    let decay = [("weight_decay", 0.1)];
    for parity in [Parity::Stated, Parity::TorchForLoop, Parity::TorchFused] {
        let rule = || AdamW::new(warm()).weight_decay(0.1).parity(parity);
        same(&rule().amsgrad(true), &decay);
        same(&rule().caution(Caution::Mean).clip_update(0.5), &decay);
        same(&rule().caution(Caution::Count).bias_correction(false), &decay);
        same(&Adam::new(warm()).weight_decay(0.1).amsgrad(true).clip_update(0.5).maximize().parity(parity), &decay);
    }
    for nesterov in [Nesterov::Together, Nesterov::Apart] {
        same(&AdamW::new(warm()).weight_decay(0.1).nesterov(nesterov).caution(Caution::Mean), &decay);
    }
}

#[test]
fn what_is_added_to_sgd_is_the_same_bits_interpreted() {
    let given = [("weight_decay", 0.1), ("momentum", 0.9)];
    for parity in [Parity::Stated, Parity::TorchForLoop] {
        for form in [Momentum::Heavy, Momentum::Nesterov] {
            let rule = Sgd::new(warm()).weight_decay(0.1).momentum(form, 0.9).decoupled_weight_decay(true);
            same(&rule.clone().caution(Caution::Mean).parity(parity), &given);
            same(&rule.parity(parity), &given);
        }
    }
}

#[test]
fn torchs_other_rules_are_the_same_bits_interpreted() {
    let decay = [("weight_decay", 0.1)];
    for decoupled in [false, true] {
        same(&NAdam::new(warm()).weight_decay(0.1).decoupled_weight_decay(decoupled), &decay);
        same(&RAdam::new(warm()).weight_decay(0.1).decoupled_weight_decay(decoupled), &decay);
    }
    same(&RAdam::new(warm()).beta2(0.5).maximize(), &[("beta2", 0.5)]);
    same(&Adamax::new(warm()).weight_decay(0.1), &decay);
    same(&Adadelta::new(warm()).weight_decay(0.1), &decay);
    let given = [("weight_decay", 0.1), ("lr_decay", 0.1), ("initial_accumulator_value", 0.1)];
    same(&Adagrad::new(warm()).weight_decay(0.1).lr_decay(0.1).initial_accumulator_value(0.1), &given);
    same(&Asgd::new(warm()).weight_decay(0.1).t0(1.0), &[("weight_decay", 0.1), ("t0", 1.0)]);
    same(&Rprop::new(warm()), &[]);
}

#[test]
fn every_form_of_rmsprop_is_the_same_bits_interpreted() {
    let given = [("weight_decay", 0.1), ("momentum", 0.9)];
    for form in 0..8 {
        let [centered, root, inside] = [1, 2, 4].map(|bit| form & bit != 0);
        let rule = RmsProp::new(warm()).weight_decay(0.1).centered(centered).eps_in_root(root).start_at_one(root);
        same(&rule, &given[..1]);
        let rule = rule.momentum(0.9).lr_in_momentum(inside).decoupled_weight_decay(inside);
        same(&rule, &given);
        same(&rule.caution(Caution::Mean), &given);
    }
}

#[test]
fn what_has_no_meaning_together_is_refused() {
    let refused = |built: instep::Result<Tape>, expected: &str| {
        let error = built.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    };
    let fused = AdamW::new(0.1).parity(Parity::TorchFused);
    refused(
        Tape::of(&fused.nesterov(Nesterov::Together)),
        "nesterov is \"together\", but must not be set with parity \"torch_fused\"",
    );
    let apart = AdamW::new(0.1).nesterov(Nesterov::Apart);
    refused(Tape::of(&apart.bias_correction(false)), "bias_correction is false");
    refused(
        Tape::of(&Sgd::new(0.1).caution(Caution::Mean)),
        "caution is \"mean\", but must not be set without momentum",
    );
    let fused = Sgd::new(0.1).parity(Parity::TorchFused);
    refused(
        Tape::of(&fused.decoupled_weight_decay(true)),
        "decoupled_weight_decay is true, but must not be set with parity \"torch_fused\"",
    );
    refused(Tape::of(&RmsProp::new(0.1).caution(Caution::Mean)), "caution is set");
    refused(Tape::of(&RmsProp::new(0.1).lr_in_momentum(true)), "lr_in_momentum is set");
}
