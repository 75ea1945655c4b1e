//! Of the kernels that are the same for all rules.

use super::{CLOSED, LARGE, Mutant, NORM, SCENARIO, WALK, mutant};

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
        "kernels/elements.cuh",
        ["(const Vector<Bits>*)((const Bits*)address + at)", "(const Vector<Bits>*)((const Bits*)address + (u32)at)"],
        LARGE,
    ),
    mutant(
        "a vector is stored to a place in 32 bits",
        "kernels/elements.cuh",
        ["(Vector<Bits>*)((Bits*)address + at);", "(Vector<Bits>*)((Bits*)address + (u32)at);"],
        LARGE,
    ),
    mutant(
        "a single element is loaded from a place in 32 bits",
        "kernels/elements.cuh",
        ["load_element((const Bits*)address + at + e)", "load_element((const Bits*)address + (u32)at + e)"],
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
        ["whole = whole & S::", "whole = whole | S::"],
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
        ["compute<S>(functor, VECTOR, raw[n + k], x[k]);", "compute<S>(functor, VECTOR, raw[0], x[k]);"],
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
        "kernels/sums.cuh",
        [
            "  for (; apart > 0; apart /= 2) {\n",
            "  for (u32 step = 1, end = 2 * apart; step < end; step *= 2) {\n    apart = step;\n",
        ],
        NORM,
    ),
    mutant(
        "an adder begins one place late",
        "kernels/sums.cuh",
        [
            "for (u32 i = threadIdx.x; i < node.count; i += ADDERS)",
            "for (u32 i = (threadIdx.x + 1) % ADDERS; i < node.count; i += ADDERS)",
        ],
        NORM,
    ),
    mutant(
        "no fence between a block's sums and its ticket",
        "kernels/sums.cuh",
        ["    __threadfence();  // this block's sums come before its ticket\n", ""],
        NORM,
    ),
    mutant(
        "no fence between the last ticket and the sums",
        "kernels/sums.cuh",
        ["    __threadfence();  // all sums of the node come after its last ticket\n", ""],
        NORM,
    ),
    mutant(
        "no barrier before the ticket of a node",
        "kernels/sums.cuh",
        ["  __syncthreads();  // thread 0 takes the ticket for all sums of this block\n", ""],
        NORM,
    ),
    mutant(
        "a node's ticket is left at its arrivals",
        "kernels/sums.cuh",
        ["take_ticket(arrived, arrivals - 1)", "take_ticket(arrived, arrivals)"],
        WALK,
    ),
    mutant("the 1-norm adds signed gradients", "kernels/norm.cuh", ["return sum + fabs(x);", "return sum + x;"], NORM),
    mutant(
        "the maximum forgets a NaN",
        "kernels/sums.cuh",
        ["return b <= a ? a : (a == a ? b : a);", "return b <= a ? a : b;"],
        CLOSED,
    ),
    mutant("a level forgets what is not finite", "kernels/sums.cuh", ["      mine.found |= sum.found;\n", ""], WALK),
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
    // The clock, the halves, the commit.
    mutant(
        "the half in use is written",
        "kernels/update.cu",
        ["evaluate<THREADS, Of::next>(step, scratch, t + 1,", "evaluate<THREADS, Of::next>(step, scratch, t,"],
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
        ["const u64 updates = t + base + 1;", "const u64 updates = t + 1;"],
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
];
