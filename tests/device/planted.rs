//! The faults that `faults` plants: what is wrong, the text of the kernels that is replaced, and what by. Each text must
//! occur once in all kernels.

pub type Fault = (&'static str, &'static str, &'static str);

/// Of the protocol of a step: clocks, halves, tickets, the commit.
pub const PROTOCOL: &[Fault] = &[
    ("no barrier before the ticket", "__syncthreads();  // thread 0 speaks", "// thread 0 speaks"),
    (
        "a block does not know the last ticket",
        "if (threadIdx.x == 0) scratch.begin(step.control, call, tiles);\n    update_or_skip",
        "update_or_skip",
    ),
    (
        "t advances before the last ticket",
        "if (arrivals % blocks != 0) return false;",
        "if (arrivals != 1) return false;",
    ),
    ("the ticket is left non-zero", "add_relaxed(ticket, 0 - arrived);", ""),
    (
        "a block arrives with another call",
        "arrives_last(step.ticket, scratch.call,",
        "arrives_last(step.ticket, blockIdx.x,",
    ),
    ("calls are not counted", "store_relaxed(&control->calls, f.control.calls + 1);", ""),
    ("a norm is of another call", "store_row(&control->norm_call, (u32)facts.control.calls);", ""),
    (
        "t is frozen when the launch is captured",
        "t = load_relaxed(&step.control->t), call",
        "t = step.cohort_capacity & 0, call",
    ),
    ("the wrong half is read", "scalars_of<R>(s, now, of)), gradient", "scalars_of<R>(s, now + 1, of)), gradient"),
    (
        "the half in use is written",
        "evaluate<THREADS, Of::next>(step, scratch, t + 1,",
        "evaluate<THREADS, Of::next>(step, scratch, t,",
    ),
    (
        "the next half is that of the step after",
        "evaluate<THREADS, Of::next>(step, scratch, t + 1,",
        "evaluate<THREADS, Of::next>(step, scratch, t + 2,",
    ),
    (
        "a skipped update is applied",
        "if (!skips<Gradients>(step, facts)) {\n    update_tile",
        "if (true) {\n    update_tile",
    ),
    ("a skipped update advances t", "  if (skipped) {\n    if (raised)", "  if (false) {\n    if (raised)"),
    (
        "a call that only accumulates updates",
        "if (accumulates<Gradients>(step, facts)) return;\n  if (!skips",
        "if (!skips",
    ),
    ("the commit goes by nothing", "        scratch.facts = all_facts(step);\n", ""),
    (
        "the commit of block 0 goes by nothing",
        "  if (threadIdx.x == THREADS - WARP) scratch.facts = all_facts(step);",
        "",
    ),
    (
        "facts and tables are staged without a barrier",
        "__syncthreads();  // all threads read what each staged\n  const Facts&",
        "const Facts&",
    ),
    ("the progress clock stands still", "f.control.progress + f.control.increment", "f.control.progress"),
    (
        "the next step sees the progress of this one",
        "facts.control.progress + facts.control.increment)",
        "facts.control.progress)",
    ),
    ("what block 0 found comes after its ticket", "if (Features::STOPS && blockIdx.x == 0) __threadfence();", ""),
    ("the end is looked for before the last ticket", "if (Features::STOPS) __threadfence();", ""),
    ("no barrier before the end is judged", "__syncthreads();  // one warp reads", "// one warp reads"),
    ("the end is that of the update that was made", "control->end[~t & 1]", "control->end[t & 1]"),
    ("a warm-up ends training", "!(before & End::below) && (after", "(after"),
    ("no barrier before the step observes", "__syncthreads();  // windows were", "// windows were"),
    ("the step observes one update late", "observe_every) != 0) return", "observe_every) != 1) return"),
    (
        "the step observes into the half in use",
        "observe_in_step<THREADS>(step, t + 1)",
        "observe_in_step<THREADS>(step, t)",
    ),
    (
        "metrics are carried to the half in use",
        "carry_metrics<THREADS>(step, scratch, t);",
        "carry_metrics<THREADS>(step, scratch, t + 1);",
    ),
    ("a record has the number of another call", "(call + 1) << 32", "(call + 2) << 32"),
    (
        "a record has the rates of the next update",
        "record_at<const float>(step, t, 0)",
        "record_at<const float>(step, t + 1, 0)",
    ),
    ("a skipped update is recorded as applied", "return (skips<O>(step, f) ? 0 : 1) |", "return 1 |"),
    ("the mean is over the calls that were asked for", "1.0 / (double)calls", "1.0 / (double)settings.accumulate"),
];

/// Of what evaluates a step, and of edits.
pub const EVALUATION: &[Fault] = &[
    (
        "no barrier between values and records",
        "__syncthreads();  // cohorts read the values",
        "// cohorts read the values",
    ),
    (
        "staged bytes are cut short",
        "i < step.staged_bytes / sizeof(Piece)",
        "i + 1 < step.staged_bytes / sizeof(Piece)",
    ),
    ("a scalar has the constants of the first", "constants + scalar.constants, t", "constants, t"),
    ("a lane evaluates the first of its bundle", "place = bundle.first + lane", "place = bundle.first"),
    ("a value is not kept for edits", "store_row(kept + place, value);", ""),
    ("a bias correction ignores the cohort's past", "t + base + 1;", "t + 1;"),
    ("a bias correction is one update late", "t + base + 1;", "t + base;"),
    ("a bias correction ignores the logarithm of beta", "-expm1_spec((double)n * ln_beta)", "-expm1_spec(-(double)n)"),
    ("a rule ignores the cohort's past", "at.t + at.base,", "at.t,"),
    (
        "a rate has the scale of another rule",
        "(t & 1) * step.metric_capacity + at.row.metric - 1);\n      at.lr_scale",
        "(t & 1) * step.metric_capacity);\n      at.lr_scale",
    ),
    (
        "an edit evaluates the other half",
        "evaluate_anew(edit.step, scratch, t)",
        "evaluate_anew(edit.step, scratch, t + 1)",
    ),
    ("an edit evaluates nothing", "if (edit.flags & Edit::evaluate_anew) {", "if (false) {"),
    (
        "tables are staged without a barrier for an edit",
        "__syncthreads();  // all threads read what each staged\n  evaluate",
        "evaluate",
    ),
    ("an edit leaves the increment", "if (edit.flags & Edit::take_increment) store", "if (false) store"),
    ("an edit leaves the calls of an update", "if (edit.flags & Edit::take_accumulate) store", "if (false) store"),
    ("now is the step after", "write.bits == 0 ? t :", "write.bits == 0 ? t + 1 :"),
    ("now forgets the pieces before", "      remaining -= length;", ""),
    (
        "a length is not cut",
        "const u64 length = until(load_row(place), remaining);",
        "const u64 length = load_row(place);",
    ),
    (
        "the value reached is that of the last step",
        "step.values + (t & 1) * step.scalar_capacity + write.bits",
        "step.values + (~t & 1) * step.scalar_capacity + write.bits",
    ),
    ("no barrier before lengths are cut", "__syncthreads();  // thread 0 cuts", "// thread 0 cuts"),
    (
        "no barrier before the evaluation of an edit",
        "__syncthreads();  // all threads evaluate",
        "// all threads evaluate",
    ),
];

/// Of the walk: who takes what, and the ends of tensors.
pub const WALK: &[Fault] = &[
    ("a block takes the tile of its neighbour", "step.tiles + (blockIdx.x - 1)", "step.tiles + blockIdx.x / 2"),
    ("a tile is forgotten", "0 : load_row(&step.counts->tiles);", "0 : load_row(&step.counts->tiles) - 1;"),
    ("a tile too many is taken", "0 : load_row(&step.counts->tiles);", "0 : load_row(&step.counts->tiles) + 1;"),
    ("blocks beyond the count do not leave", "(blockIdx.x > tiles) |", "false |"),
    ("the last block leaves", "(blockIdx.x > tiles) |", "(blockIdx.x >= tiles) |"),
    ("a tile's cohort is ignored", "scalars_of<R>(s, now, of)), gradient", "scalars_of<R>(s, now, 0)), gradient"),
    (
        "a tile's variant is ignored",
        "const Tile tile = load_row(step.tiles + (blockIdx.x - 1));",
        "Tile tile = load_row(step.tiles + (blockIdx.x - 1)); tile.form = 0;",
    ),
    ("a tile's place is ignored", "((u64)place * WARPS + warp) * SPAN", "(u64)warp * SPAN"),
    ("the warps of a tile take the same span", "((u64)place * WARPS + warp) * SPAN", "(u64)place * WARPS * SPAN"),
    ("a pack forgets its last tensor", "(pack ? place : 1)", "(pack ? place - 1 : 1)"),
    ("a pack has a tensor too many", "(pack ? place : 1)", "(pack ? place + 1 : 1)"),
    ("a pack's warps take the same tensors", "i = first + (pack ? warp : 0)", "i = first"),
    ("a pack's warps have one turn", "i < end; i += WARPS", "i < end && i < first + WARPS; i += WARPS"),
    (
        "a whole span need not fit vectors",
        "whole = whole & S::template At<I>::fits(S::template lies<I>(tensor));",
        "(void)I;",
    ),
    ("a span is whole past the end of its tensor", "bool whole = at + len <= tensor.len;", "bool whole = true;"),
    ("a walk goes on past its span", "stop = pack || tensor.len < at + SPAN ?", "stop = true ?"),
    (
        "a load that does not fit is a vector",
        "count == VECTOR && fits_vectors<Bits>(address)) return",
        "count == VECTOR) return",
    ),
    (
        "a store that does not fit is a vector",
        "count == VECTOR && fits_vectors<Bits>(address)) {",
        "count == VECTOR) {",
    ),
    ("any address fits vectors", "address % sizeof(Vector<Bits>) == 0", "address % sizeof(Bits) == 0"),
    ("one element too many", "left < VECTOR ? (u32)left : VECTOR", "left < VECTOR ? (u32)left + 1 : VECTOR"),
    ("one element too few", "left < VECTOR ? (u32)left : VECTOR", "left <= VECTOR ? (u32)left / 2 : VECTOR"),
    ("a part of a vector is loaded whole", "if (e < count) v.put(e, load", "v.put(e, load"),
    ("a part of a vector is stored whole", "if (e < count) store_element", "store_element"),
    (
        "a thread stores all its vectors at the first",
        "store_of<S, ~BLOCKS, true>(tensor, here + k * APART,",
        "store_of<S, ~BLOCKS, true>(tensor, at,",
    ),
    ("gradients are written", "(O::ZERO ? GRAD : 0)", "GRAD"),
    ("states are not written", "STORES = R::STORES |", "STORES = (R::STORES & PARAM) |"),
    (
        "the factor is not applied",
        "x[GRAD_AT] = prepare<O>(x[GRAD_AT], gradient);\n    R::start(x, scalars);\n    R::apply",
        "R::apply",
    ),
    ("products are contracted", "__fmul_rn(s.one_minus_beta2, __fmul_rn(g, g))", "s.one_minus_beta2 * g * g"),
];

/// Of the norm: what is added, in which order, by whom.
pub const NORM: &[Fault] = &[
    ("no fence before a node's ticket", "__threadfence();  // this block's", "// this block's"),
    ("no fence after a node's ticket", "__threadfence();  // all sums", "// all sums"),
    (
        "no barrier before a node's ticket",
        "__syncthreads();  // thread 0 takes the ticket",
        "// thread 0 takes the ticket",
    ),
    ("no barrier after a node's ticket", "__syncthreads();  // all threads learn", "// all threads learn"),
    ("no barrier between the warps", "__syncthreads();  // each warp reads", "// each warp reads"),
    ("a node's ticket is left non-zero", "take_ticket(arrived, arrivals - 1)", "take_ticket(arrived, arrivals)"),
    ("the first to arrive adds", "arrivals - 1) == arrivals - 1", "arrivals - 1) == 0"),
    ("a node's sum is not stored", "if (threadIdx.x == 0) store_total(step.sums, node.slot, sum);", ""),
    ("a block's sum is stored to the next slot", "step.sums, tile.slot", "step.sums, tile.slot + 1"),
    ("a pack's sums are stored to the next slots", "sums, tensor.slot, all)", "sums, tensor.slot + 1, all)"),
    ("a level adds all but its last place", "i < node.count; i += ADDERS", "i + 1 < node.count; i += ADDERS"),
    (
        "a level's places go to other adders",
        "u32 i = threadIdx.x; i < node.count",
        "u32 i = threadIdx.x % 64 * 4 + threadIdx.x / 64; i < node.count",
    ),
    (
        "pairs are added in another order",
        "for (; apart > 0; apart /= 2) {",
        "for (u32 a = 1, most = apart; (apart = a) <= most; a *= 2) {",
    ),
    (
        "spans are kept in another order",
        "at / NORM_SPAN % WARPS) kept",
        "(at / NORM_SPAN * 2 + at / NORM_SPAN / 4 % 2) % WARPS) kept",
    ),
    ("a span's sum goes on to the next", "  span = {};\n", ""),
    ("a tensor's sums go on to the next of its pack", "tensor.slot, all);\n    kept = {};", "tensor.slot, all);"),
    ("a span that is not whole is forgotten", "if (at % SPAN == 0 || at >= stop)", "if (at % SPAN == 0)"),
    ("a block takes the tile of its neighbour", "step.norm_tiles + blockIdx.x)", "step.norm_tiles + blockIdx.x / 2)"),
    ("blocks beyond the count do not leave the norm", "(blockIdx.x >= tiles) |", "(blockIdx.x > tiles) |"),
    (
        "the judge goes by nothing",
        "  if (parent == ROOT && threadIdx.x == THREADS - WARP) scratch.facts = all_facts(step);",
        "",
    ),
    ("a lane forgets what is not finite", "mine.found |= __shfl_xor_sync(0xffffffffu, mine.found, apart);", ""),
    ("a level forgets what is not finite", "mine.found |= sum.found;", ""),
];
