//! What is changed: a piece of text that stands in its file once, and what it becomes. No line numbers, so a mutant follows
//! the code; one whose text is gone is an error that names it.

/// One changed line.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is wrong with it, in a few words; also how it is called on the command line.
    pub name: &'static str,
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// Device tests that run first, by parts of their names. All others follow if it survives these.
    pub tests: &'static [&'static str],
}

const fn mutant(
    name: &'static str,
    file: &'static str,
    [from, to]: [&'static str; 2],
    tests: &'static [&'static str],
) -> Mutant {
    Mutant { name, file, from, to, tests }
}

const WALK: &[&str] = &["walk::skips", "walk::every"];
const NORM: &[&str] = &["norm_levels::every"];
const LARGE: &[&str] = &["large::"];
const SCENARIO: &[&str] = &["the_scenario_without_a_fault"];
const CLOSED: &[&str] = &["closed_loop::"];

pub const MUTANTS: &[Mutant] = &[
    // Where elements lie.
    mutant(
        "a tile's place in 32 bits",
        "kernels/walk.cuh",
        ["((u64)place * WARPS + warp) * SPAN", "(place * WARPS + warp) * SPAN"],
        LARGE,
    ),
    mutant(
        "a vector is loaded from a place in 32 bits",
        "kernels/streams.cuh",
        [
            "(const Vector<Element>*)((const Element*)address + at)",
            "(const Vector<Element>*)((const Element*)address + (u32)at)",
        ],
        LARGE,
    ),
    mutant(
        "a vector is stored to a place in 32 bits",
        "kernels/streams.cuh",
        ["(Vector<Element>*)((Element*)address + at), v", "(Vector<Element>*)((Element*)address + (u32)at), v"],
        LARGE,
    ),
    mutant(
        "a single element is loaded from a place in 32 bits",
        "kernels/streams.cuh",
        ["load_element((const Element*)address + at + e)", "load_element((const Element*)address + (u32)at + e)"],
        LARGE,
    ),
    mutant(
        "a span that ends past its tensor is whole",
        "kernels/walk.cuh",
        ["bool whole = at + len <= tensor.len;", "bool whole = at + len <= tensor.len + 1;"],
        WALK,
    ),
    mutant(
        "addresses that fit no vectors are whole",
        "kernels/walk.cuh",
        ["whole = whole & fits_vectors", "whole = whole | fits_vectors"],
        WALK,
    ),
    mutant(
        "the last part of a vector is left out",
        "kernels/walk.cuh",
        ["left < VECTOR ? (u32)left : VECTOR;", "left < VECTOR ? 0 : VECTOR;"],
        WALK,
    ),
    mutant(
        "every other eight tensors of a pack are left out",
        "kernels/walk.cuh",
        ["i < end; i += WARPS)", "i < end; i += 2 * WARPS)"],
        &["walk::no_bit"],
    ),
    mutant(
        "a warp goes on into the spans of others",
        "kernels/walk.cuh",
        ["const u64 stop = pack || tensor.len < at + SPAN ? tensor.len : at + SPAN;", "const u64 stop = tensor.len;"],
        WALK,
    ),
    mutant(
        "the first vector is changed in place of each",
        "kernels/walk.cuh",
        ["apply<S>(functor, x[n], e);", "apply<S>(functor, x[0], e);"],
        WALK,
    ),
    // The norm.
    mutant(
        "sums of other blocks are loaded through L1",
        "kernels/memory.cuh",
        ["  return load_past_l1(p);", "  return *p;"],
        NORM,
    ),
    mutant(
        "a span's sum is the next one's",
        "kernels/walk.cuh",
        ["functor.after_span(at - 1);", "functor.after_span(at);"],
        NORM,
    ),
    mutant(
        "lanes are added in the reverse order",
        "kernels/norm.cuh",
        [
            "  for (; apart > 0; apart /= 2) {\n",
            "  for (u32 step = 1, end = 2 * apart; step < end; step *= 2) {\n    apart = step;\n",
        ],
        NORM,
    ),
    mutant(
        "an adder begins one place late",
        "kernels/norm.cuh",
        [
            "for (u32 i = threadIdx.x; i < node.count; i += ADDERS)",
            "for (u32 i = (threadIdx.x + 1) % ADDERS; i < node.count; i += ADDERS)",
        ],
        NORM,
    ),
    mutant(
        "no fence between a block's sums and its ticket",
        "kernels/norm.cuh",
        ["    __threadfence();  // this block's sums come before its ticket\n", ""],
        NORM,
    ),
    mutant(
        "no fence between the last ticket and the sums",
        "kernels/norm.cuh",
        ["    __threadfence();  // all sums of the node come after its last ticket\n", ""],
        NORM,
    ),
    mutant(
        "no barrier before the ticket of a node",
        "kernels/norm.cuh",
        ["  __syncthreads();  // thread 0 takes the ticket for all sums of this block\n", ""],
        NORM,
    ),
    mutant(
        "a node's ticket is left at its arrivals",
        "kernels/norm.cuh",
        ["+ node, arrivals - 1) ==", "+ node, arrivals) =="],
        WALK,
    ),
    mutant("the 1-norm adds signed gradients", "kernels/norm.cuh", ["return sum + fabs(x);", "return sum + x;"], NORM),
    mutant(
        "the maximum forgets a NaN",
        "kernels/norm.cuh",
        ["return b <= a ? a : (a == a ? b : a);", "return b <= a ? a : b;"],
        CLOSED,
    ),
    mutant("a level forgets what is not finite", "kernels/norm.cuh", ["    mine.found |= sum.found;\n", ""], WALK),
    // What is decided about gradients.
    mutant(
        "clipping leaves out its epsilon",
        "kernels/gradients.cuh",
        ["settings.max_norm / (v.norm + 1e-6)", "settings.max_norm / v.norm"],
        NORM,
    ),
    mutant(
        "clipping by value makes a NaN the limit",
        "kernels/gradients.cuh",
        ["if (g > s.limit) g = s.limit;", "if (!(g <= s.limit)) g = s.limit;"],
        &["walk::skips"],
    ),
    mutant(
        "an update takes one call more",
        "kernels/gradients.cuh",
        ["calls(step, f) < f.settings.accumulate;", "calls(step, f) <= f.settings.accumulate;"],
        &["walk::skips"],
    ),
    mutant(
        "the mean is over the calls that were asked for",
        "kernels/gradients.cuh",
        ["1.0 / (double)calls : 1.0;", "1.0 / (double)settings.accumulate : 1.0;"],
        SCENARIO,
    ),
    mutant(
        "gradients are not zeroed after an update",
        "kernels/variant.cuh",
        ["(O::ZERO ? GRAD : 0);", "0;"],
        &["walk::skips"],
    ),
    // Rules.
    mutant(
        "the second moment multiplies in another order",
        "kernels/adam.cuh",
        ["__fmul_rn(s.one_minus_beta2, __fmul_rn(g, g))", "__fmul_rn(__fmul_rn(s.one_minus_beta2, g), g)"],
        WALK,
    ),
    mutant(
        "the second update of a momentum buffer is its first",
        "kernels/sgd.cuh",
        ["r.value[5] = updates == 0 ?", "r.value[5] = updates == 1 ?"],
        WALK,
    ),
    // The clock, the halves, the commit.
    mutant(
        "the half in use is written",
        "kernels/update.cu",
        ["evaluate<THREADS>(step, scratch, t + 1,", "evaluate<THREADS>(step, scratch, t,"],
        WALK,
    ),
    mutant(
        "no barrier before the ticket of an update",
        "kernels/update.cu",
        [
            "  __syncthreads();  // thread 0 speaks for the whole block: all its threads have read t and this step's records\n",
            "",
        ],
        WALK,
    ),
    mutant("the ticket is left as it is", "kernels/commit.cuh", ["  add_relaxed(ticket, 0 - arrived);\n", ""], WALK),
    mutant(
        "the first ticket commits",
        "kernels/commit.cuh",
        ["if (arrivals % blocks != 0) return false;", "if (arrivals % blocks != 1) return false;"],
        WALK,
    ),
    mutant(
        "what block 0 found comes after its ticket",
        "kernels/update.cu",
        [
            "    if (Features::STOPS && blockIdx.x == 0) __threadfence();  // what this block found of the end comes before its ticket\n",
            "",
        ],
        SCENARIO,
    ),
    mutant(
        "the end before and the end after change places",
        "kernels/commit.cuh",
        [
            "is_end(load_relaxed(&control->end[t & 1]), load_relaxed(&control->end[~t & 1]))",
            "is_end(load_relaxed(&control->end[~t & 1]), load_relaxed(&control->end[t & 1]))",
        ],
        &["ends::"],
    ),
    mutant(
        "a skipped update advances the clock",
        "kernels/commit.cuh",
        ["  if (skipped) {\n    if (raised)", "  if (false) {\n    if (raised)"],
        WALK,
    ),
    mutant(
        "the loss scale grows one update late",
        "kernels/commit.cuh",
        ["tracker >= settings.growth_interval", "tracker > settings.growth_interval"],
        CLOSED,
    ),
    mutant(
        "a cohort's past updates are forgotten",
        "kernels/evaluate.cuh",
        ["const u64 updates = t + scalar.base + 1;", "const u64 updates = t + 1;"],
        SCENARIO,
    ),
    mutant(
        "no barrier between values and records",
        "kernels/evaluate.cuh",
        [
            "  __syncthreads();  // cohorts read the values of all warps, and the metrics' scales that other threads carried\n",
            "",
        ],
        WALK,
    ),
    mutant(
        "a piece is not cut by those before it",
        "kernels/edit.cuh",
        ["      remaining -= length;\n", ""],
        &["edits::"],
    ),
    mutant(
        "a warm-up ends training",
        "kernels/end.cuh",
        ["(!(before & End::below) && (after & End::below))", "(after & End::below)"],
        &["ends::"],
    ),
    mutant(
        "a record has the number of the call before",
        "kernels/telemetry.cuh",
        ["(call + 1) << 32", "call << 32"],
        &["telemetry::"],
    ),
    mutant(
        "the step observes one update early",
        "kernels/metric.cuh",
        [
            "if (t % load_row(&step.settings->observe_every) != 0) return;",
            "if ((t + 1) % load_row(&step.settings->observe_every) != 0) return;",
        ],
        &["metrics::"],
    ),
    // The CPU backend.
    mutant(
        "host: neighbours share an adder",
        "src/host/gradients.rs",
        [
            "adders[i % ADDERS] = add_sums(norm, adders[i % ADDERS], place.sum);",
            "adders[i / 2 % ADDERS] = add_sums(norm, adders[i / 2 % ADDERS], place.sum);",
        ],
        NORM,
    ),
    mutant(
        "host: the maximum forgets a NaN",
        "src/host/gradients.rs",
        ["Norm::Max if b <= a || a.is_nan() => a,", "Norm::Max if b <= a => a,"],
        CLOSED,
    ),
    mutant(
        "host: clipping by value makes a NaN the limit",
        "src/host/rules.rs",
        ["if *g > limit {", "if !(*g <= limit) {"],
        &["walk::skips"],
    ),
    mutant(
        "host: Nesterov rounds twice",
        "src/host/rules.rs",
        ["factor.mul_add(*buf, g)", "(factor * *buf + g)"],
        WALK,
    ),
    mutant(
        "host: a piece lacks its last element",
        "src/host/memory.rs",
        ["row.len.min(piece.begin + PIECE) as usize", "row.len.min(piece.begin + PIECE - 1) as usize"],
        SCENARIO,
    ),
    mutant(
        "host: a skipped update leaves gradients",
        "src/host/engine.rs",
        ["        if plan.gradients.zero {", "        if plan.gradients.zero && !skip {"],
        &["walk::skips"],
    ),
    mutant(
        "host: a piece is not cut by those before it",
        "src/host/edit.rs",
        ["                    remaining -= constants[place];\n", ""],
        &["edits::"],
    ),
    mutant(
        "host: a warm-up ends training",
        "src/host/metrics.rs",
        ["(before & BELOW == 0 && after & BELOW != 0)", "(after & BELOW != 0)"],
        &["ends::"],
    ),
];
