//! Of what the text of a rule becomes, and of rules that sum and rules that remember.

use super::{MEASURED, Mutant, WALK, mutant};

pub const MUTANTS: &[Mutant] = &[
    // What the text of a rule becomes.
    mutant(
        "kernel: a factor changes places with what is added",
        "src/rule/tape/expressions.rs",
        ["&all.map(|id| self.value(id, true))", "&[all[0], all[2], all[1]].map(|id| self.value(id, true))"],
        WALK,
    ),
    mutant(
        "kernel: a negation is left out",
        "src/rule/tape/expressions.rs",
        ["value => (format!(\"-{value}\"), true),", "value => (value, true),"],
        WALK,
    ),
    mutant(
        "kernel: the second update is the first",
        "src/rule/tape/expressions.rs",
        ["format!(\"{} == {n}\", self", "format!(\"{} == {n} + 1\", self"],
        WALK,
    ),
    mutant(
        "kernel: a stream that starts from the parameter starts from the gradient",
        "src/rule/tape/cuda.rs",
        ["if start == Start::Param { 0 } else { 1 }", "1"],
        MEASURED,
    ),
    mutant(
        "a stream's start is not stored",
        "kernels/variant.cuh",
        ["return scalars.first != 0.0f;", "return false;"],
        MEASURED,
    ),
    mutant(
        "a NaN on the right is forgotten",
        "kernels/math.cuh",
        ["return b <= a || a != a ? a : b;", "return a <= b ? b : a;"],
        MEASURED,
    ),
    // Rules that sum and rules that remember.
    mutant(
        "a rule sees sums of the row's first place",
        "kernels/sums.cuh",
        ["sums + (u64)slot * WIDTH + k, Partial{total.sum[k],", "sums + (u64)slot * WIDTH + k, Partial{total.sum[0],"],
        MEASURED,
    ),
    mutant(
        "a sum runs over one element more",
        "kernels/measure.cuh",
        ["known.len[k] = (double)tensor.len;", "known.len[k] = (double)(tensor.len + 1);"],
        MEASURED,
    ),
    mutant(
        "what a tensor remembers is read from the half that is written",
        "kernels/measure.cuh",
        ["memory_of(memory, t - 1, tensors, place,", "memory_of(memory, t, tensors, place,"],
        MEASURED,
    ),
    mutant(
        "a pack's tensors conclude nothing",
        "kernels/measure.cuh",
        ["conclude_tensor<R>(step, t, tensor, resting, all);", "{}"],
        MEASURED,
    ),
    mutant(
        "a sum over all groups is the group's",
        "kernels/measure.cuh",
        ["over_all ? all.sum[k] : sums.sum[k]", "sums.sum[k]"],
        MEASURED,
    ),
    mutant(
        "what follows from sums is not written to the record",
        "kernels/measure.cuh",
        ["if ((R::LATE >> k & 1) != 0) store_row", "if ((R::LATE >> k & 1) == 0) store_row"],
        MEASURED,
    ),
    mutant(
        "what a group remembers is read from the half that is written",
        "kernels/variant.cuh",
        ["load_row(&step.rules->group_memory), at.t - 1,", "load_row(&step.rules->group_memory), at.t,"],
        MEASURED,
    ),
    mutant(
        "a tensor of one whole block concludes nothing",
        "kernels/update.cu",
        ["tensor.len > NORM_BLOCK) return;", "tensor.len >= NORM_BLOCK) return;"],
        MEASURED,
    ),
    mutant(
        "a sum over all is concluded for all groups but the last",
        "kernels/update.cu",
        [
            "        Group group = group_at(step, rules, i);\n",
            "        if (i + 1 == rules.group_count) break;\n        Group group = group_at(step, rules, i);\n",
        ],
        MEASURED,
    ),
    mutant(
        "a cohort remembers what it knew before",
        "kernels/evaluate.cuh",
        ["cohort_rests(step, i / WIDTH) ? 0 : 1;", "0;"],
        MEASURED,
    ),
    mutant(
        "what a cohort remembers is carried from the other half",
        "kernels/evaluate.cuh",
        ["const double* from = memory + (t & 1) * 2", "const double* from = memory + (~t & 1) * 2"],
        MEASURED,
    ),
    mutant(
        "what a skipped update did not leave is recorded",
        "kernels/telemetry.cuh",
        ["skipped ? t - 1 : t, step.cohort_capacity", "t, step.cohort_capacity"],
        &["telemetry::estimates"],
    ),
    mutant(
        "host: what a skipped update did not leave is recorded",
        "src/host/engine.rs",
        ["if skip { t.wrapping_sub(1) } else { t }", "t"],
        &["telemetry::estimates"],
    ),
    mutant(
        "host: the second rule comes first",
        "src/rule/chain.rs",
        [
            "let (streams, others) = streams.split_at_mut(self.streams);",
            "let (others, streams) = streams.split_at_mut(self.streams);",
        ],
        &["shown::parameters"],
    ),
    mutant(
        "a second rule works on the parameter as it was",
        "src/rule/tape/chain.rs",
        ["(Op::Param, Some(param)) => param,", "(Op::Param, Some(param)) if param == Id::MAX => param,"],
        &["shown::parameters"],
    ),
    mutant(
        "one vector of a rule with many streams is left out",
        "kernels/variant.cuh",
        ["walk<S, AT_ONCE, N / AT_ONCE>", "walk<S, AT_ONCE, 1>"],
        &["every_rule::every_rule_has_the_hosts_bits_in_f32"],
    ),
];
