//! What is said of an engine gives the kernels that the engine's own tensors give.

use super::super::OptimizerBuilder;
use super::{EngineFacts, PackBuilder, TensorKind};
use crate::backend::Device;
use crate::config::Config;
use crate::gradient::{Clip, NonFinite};
use crate::plan::{Buffer, Dtype, Tensor};

fn config() -> Config {
    let text = "version = 1\nprecision.states = \"8bit\"\n[[groups]]\nrule = \"adamw\"\nlr = 0.5\n[[groups]]\nrule = \"sgd\"\nlr = 1\n";
    Config::from_toml(text).unwrap()
}

/// Tensors of these types and lengths, one behind the other.
fn tensors(kinds: &[(Dtype, Dtype, u64)], begin: u64) -> Vec<Tensor> {
    let mut end = begin;
    let mut place = |dtype: Dtype, len: u64| {
        let address = end.next_multiple_of(256);
        end = address + len * dtype.bytes();
        Buffer { address, len, dtype }
    };
    kinds.iter().map(|(param, grad, len)| Tensor::unnamed(place(*param, *len), place(*grad, *len))).collect()
}

fn text(builder: OptimizerBuilder) -> String {
    builder.emit().unwrap()
}

fn of_tensors(groups: [&[(Dtype, Dtype, u64)]; 2]) -> String {
    let groups = [tensors(groups[0], 1 << 20), tensors(groups[1], 1 << 40)];
    text(config().builder(&Device::host(), &[&groups[0], &groups[1]]).unwrap())
}

fn of_facts(facts: &EngineFacts) -> String {
    text(facts.builder(&config()).unwrap())
}

const BF16: TensorKind = TensorKind::new(Dtype::Bf16, Dtype::F32);
const F32: TensorKind = TensorKind::new(Dtype::F32, Dtype::F32);

#[test]
fn kernels_are_those_of_tensors_of_such_kinds_in_any_order_and_number() {
    let weights = [(Dtype::Bf16, Dtype::F32, 9_000), (Dtype::Bf16, Dtype::F32, 70)];
    let norms = [(Dtype::F32, Dtype::F32, 70), (Dtype::F32, Dtype::F32, 5_000), (Dtype::F32, Dtype::F32, 71)];
    let facts = of_facts(&EngineFacts::new().tensors([F32, BF16]));
    let all = [&weights[..], &norms[..]].concat();
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    for groups in [[&all[..], &reversed[..]], [&reversed[..], &all[..]]] {
        assert_eq!(of_tensors(groups), facts);
    }
    assert_eq!(of_facts(&EngineFacts::new().tensors([BF16, F32])), facts);
}

#[test]
fn a_length_says_on_which_side_of_the_least_for_codes_a_tensor_is() {
    let [large, small] = [5_000, 70].map(|len| (Dtype::F32, Dtype::F32, len));
    let said = |len| of_facts(&EngineFacts::new().tensors([F32.elements(len)]).tensors([F32]));
    assert_eq!(said(4_096), of_tensors([&[large], &[large]]));
    assert_eq!(said(4_095), of_tensors([&[small], &[large]]));
    assert_ne!(said(4_096), said(4_095));
    assert_eq!(of_facts(&EngineFacts::new()), of_tensors([&[small, large], &[large]]), "both, if nothing is said");
}

#[test]
fn each_fact_makes_other_kernels_with_other_words() {
    let kernels = |(clip, policy): (Option<f64>, NonFinite), facts: &EngineFacts| {
        let mut config = config();
        (config.non_finite, config.clip) = (Some(policy), clip.map(Clip::torch_norm));
        let mut pack = PackBuilder::new(["sm_90"]).unwrap();
        pack.add_config(&config, facts).unwrap();
        let (words, unit) = &pack.units[0];
        (words.clone(), unit.generated().to_owned())
    };
    let facts = EngineFacts::new;
    let (plain, clipped, skipping) =
        ((None, NonFinite::Propagate), (Some(1.0), NonFinite::Propagate), (Some(1.0), NonFinite::Skip));
    let cases = [
        (plain, facts(), facts().tensors([BF16])),
        (plain, facts(), facts().inv_scale()),
        (clipped, facts(), facts().norm_square()),
        (skipping, facts().norm_square(), facts().norm_square().found_inf()),
        (plain, facts(), facts().follow(1)),
        (plain, facts(), facts().scales()),
    ];
    for (case, (options, without, with)) in cases.iter().enumerate() {
        let (without, with) = (kernels(*options, without), kernels(*options, with));
        assert!(without.1 != with.1, "case {case}: {}", with.0);
        assert_ne!(without.0, with.0, "case {case}");
    }
}
