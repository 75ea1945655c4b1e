// The kernels of an optimizer.
//
// `update` applies one step to every tensor of every group and computes the next step's scalars, in one launch. Traffic per
// parameter is what the rule states in generated.cuh, +4 B if f32 gradients are zeroed (2 B of 16 bits), plus 16 B per tile of 2,048
// elements and 32 B per tensor and 8 B per address of it for the tables.
// It also writes 80 B and more to the telemetry ring, if there is one (telemetry.cuh).
// `gradient_norm` comes before it where something must be known of all gradients first: 4 B per f32 gradient, 2 B of 16 bits.
// `measure` comes between the two where a rule sums over elements: what it states per parameter.
// `observe` feeds a metric to the state machines of the half that the current step reads, and evaluates it anew.
// Where scalars go to addresses of the engine's, other blocks of `update` write them (outputs.cuh), and there is no parameter.
// `prime` fills the half that the current step reads; it runs at build. `edit` does so after it wrote constants.
// `update_part` applies an update to some tensors, and `update` then looks ahead and commits alone.
// `remake` makes masters (6 B per parameter) and remainders (2 B) anew of the parameters; it runs at build, and when they change.
// `show` shows parameters for evaluation and puts those for training back (show.cuh); meanwhile no update is made.
//
// A gradient that is not finite: with the policy to skip, or a found_inf that the engine hands in, no parameter and no
// state is written, and the step is not advanced but counted as skipped. Otherwise it propagates.
#include "generated.cuh"
// These use what stands there.
#include "edit.cuh"
#include "evaluate.cuh"
#include "commit.cuh"
#include "end.cuh"
#include "metric.cuh"
#include "norm.cuh"
#include "outputs.cuh"
#include "telemetry.cuh"

constexpr u32 BLOCKS_PER_MULTIPROCESSOR = 4;  // 1,024 resident threads: at most 64 registers
// 768 with at most 80 where a rule has five streams or more: each thread has more in flight, and nothing waits in local memory.
constexpr u32 BLOCKS_OF_UPDATE = MOST_STREAMS < 5 ? BLOCKS_PER_MULTIPROCESSOR : 3;

// What block 0 does beside the walk of all others. It leaves in `scratch` what its commit would need.
__device__ __forceinline__ void look_ahead(const Step& step, Scratch& scratch, u64 t) {
  stage<THREADS>(step, scratch);
  __syncthreads();  // all threads read what each staged
  const Facts& facts = scratch.facts;
  if (accumulates<Gradients>(step, facts)) return;
  carry_metrics<THREADS>(step, scratch, t);
  carry_memory<THREADS>(step, t);
  if constexpr (Features::OBSERVES) observe_in_step<THREADS>(step, t + 1);
  evaluate<THREADS, Of::next>(step, scratch, t + 1, facts.control.progress + facts.control.increment);
  if constexpr (Features::TELEMETRY) note_call<THREADS, Gradients>(step, facts, t);
  if constexpr (Features::STOPS) look_for_end(step, t + 1);
}

// What every other block does: one tile, unless the gradients only accumulate or the update is skipped.
__device__ __forceinline__ void update_or_skip(const Step& step, const Tile& tile, u64 t) {
  const Facts facts = facts_of_walk<Gradients>(step);
  if (accumulates<Gradients>(step, facts)) return;
  if (!skips<Gradients>(step, facts)) {
    update_tile(step, t, tile, gradient_scalars<Gradients>(step, facts));
  } else if constexpr (Gradients::ZERO) {
    Zero zero;
    walk_gradient<GRAD_TYPES, VECTORS>(step, tile.tensor, tile.place, zero);
  }
}

// Block 0 looks ahead; each other block takes a tile, in the order of the grid.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_OF_UPDATE) update(const Step step) {
  __shared__ Scratch scratch;
  if constexpr (SHOWS) {
    if (refused_while_shown(step)) return;
  }
  const u64 t = load_relaxed(&step.control->t), call = load_relaxed(&step.control->calls);
  const u32 tiles = PARTS && step.choice == FINISH ? 0 : load_row(&step.counts->tiles);
  if (blockIdx.x == 0) {
    if (tiles == 0 && load_relaxed(&step.control->retired) != 0) {
      if (threadIdx.x == 0) raise_retired(step);
      return;
    }
    if (threadIdx.x == 0) scratch.begin(step.control, call, tiles);
    look_ahead(step, scratch, t);
  } else if constexpr (OUTPUTS) {
    if (blockIdx.x > tiles) return;
    if (threadIdx.x == 0) scratch.begin(step.control, call, tiles);
    write_outputs<THREADS>(step, t, blockIdx.x - 1);
  } else {
    const Tile tile = load_row(step.tiles + (blockIdx.x - 1));
    // Both are asked, or the row would be loaded after the count: this branch waits for both.
    if (static_cast<bool>((blockIdx.x > tiles) | (tile.tensor == NO_TENSOR))) return;
    if (threadIdx.x == 0) scratch.begin(step.control, call, tiles);
    update_or_skip(step, tile, t);
  }

  __syncthreads();  // thread 0 speaks for the whole block: all its threads have read t and this step's records
  if (threadIdx.x == 0) {
    if (Features::STOPS && blockIdx.x == 0) __threadfence();  // what this block found of the end comes before its ticket
    // Block 0, the last one of a tiny step, has the facts, and asks for this one anew beside its ticket. In all blocks that
    // would cost 1 % of a large step, H100.
    u64 now = blockIdx.x == 0 ? load_relaxed(&step.control->calls) : 0;
    bool mixed;
    if (arrives_last(step.ticket, scratch.call, scratch.blocks, mixed)) {
      if (Features::STOPS) __threadfence();  // and is seen after the last ticket
      if (blockIdx.x != 0) {
        scratch.facts = all_facts(step);
        now = scratch.facts.control.calls;
      }
      commit<Gradients, Features>(step, scratch.control, scratch.facts);
      if (mixed || (u32)now != scratch.call) store_row(&step.control->overlapped, 1u);
    }
  }
}

// Part of an update: the tiles of some tensors, in whatever order those come. Nothing durable is changed: `update` with FINISH does
// that, when all tensors have come.
__device__ __forceinline__ void update_some(const Part& part) {
  if constexpr (PARTS) {
    const Step& step = part.step;
    if constexpr (SHOWS) {
      if (refused_while_shown(step)) return;
    }
    if (load_relaxed(&step.control->retired) != 0) return;
    u32 low = 0, high = part.count;  // the last one that begins at this block or before
#pragma unroll 1
    while (high - low > 1) {
      const u32 middle = low + (high - low) / 2;
      if (part.of[middle].first <= blockIdx.x) {
        low = middle;
      } else {
        high = middle;
      }
    }
    const u32 row = part.of[low].row, place = blockIdx.x - part.of[low].first;
    const auto tensor = load_tensor<2>(step, row);
    const u32 type = (tensor.flags >> GRAD_TYPE_FLAG & 3) << GRAD_TYPE;
    const Tile tile = {row, place | type, tensor.cohort, tensor.flags >> FORM_FLAG};
    update_or_skip(step, tile, load_relaxed(&step.control->t));
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_OF_UPDATE) update_part(const Part part) {
  update_some(part);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) gradient_norm(const Step step) {
  __shared__ NormScratch<Gradients::NORM> scratch;
  if constexpr (Gradients::NORM != Norm::none) {
    if constexpr (SHOWS) {
      if (refused_while_shown(step)) return;
    }
    // Nothing that its last block writes: a block without work says to nobody that it has read.
    if (!accumulates<Gradients>(step, facts_of_calls<Gradients>(step))) sum_gradients<Gradients>(step, scratch);
  }
}

// What is known when the sum of the tensor in row `index` is, by one thread.
__device__ __forceinline__ void conclude_row(const Step& step, u64 t, u32 variant, u32 index, bool always, const Measurements& sum) {
  const auto tensor = load_tensor<2>(step, index);
  if (!always && tensor.len > NORM_BLOCK) return;
  conclude_tensor_of(variant, step, t, tensor, rests(step, tensor, tensor.address[GRAD_AT]), sum);
}

// What is known when `node` has added, by one thread.
__device__ __forceinline__ void conclude(const Step& step, const RuleTables& rules, u64 t, const Node& node, const Measurements& sum) {
  if constexpr (MEASURED != 0) {
    if (node.level == Level::tensor) conclude_row(step, t, node.variant, node.index, true, sum);
    if (node.level == Level::group) conclude_group_of(step, t, group_at(step, rules, node.index), sum, {});
    if (node.level == Level::all) {
      u64 len = 0;
#pragma unroll 1
      for (u32 i = 0; MAY_REST && i < rules.group_count; i++) {
        const Group group = group_at(step, rules, i);
        if (group.variant == node.variant) len += group.len;
      }
#pragma unroll 1
      for (u32 i = 0; i < rules.group_count; i++) {
        Group group = group_at(step, rules, i);
        if (group.variant != node.variant) continue;
        if constexpr (MAY_REST) group.len_of_all = len;
        conclude_group_of(step, t, group, load_measurements(rules.measure_sums, group.slot), sum);
      }
    }
  }
}

// The whole measuring launch, by all its blocks.
__device__ __forceinline__ void measure_all(const Step& step, MeasureScratch& scratch) {
  if constexpr (MEASURED != 0) {
    if constexpr (SHOWS) {
      if (refused_while_shown(step)) return;
    }
    const Facts facts = facts_of_walk<Gradients>(step);
    if (accumulates<Gradients>(step, facts)) return;
    const RuleTables rules = load_row(step.rules);
    if (blockIdx.x >= rules.measure_tile_count) return;
    const u64 t = load_relaxed(&step.control->t);
    const MeasureTile tile = load_row(rules.measure_tiles + blockIdx.x);
    Measurements sum = measure_tile(step, rules, t, tile, gradient_scalars<Gradients>(step, facts), scratch);
    if ((tile.place & PACK) == 0 && threadIdx.x == 0) {
      store_total(rules.measure_sums, tile.slot, sum);
      conclude_row(step, t, tile.variant, tile.tensor, false, sum);  // of a single block
    }
    u32 parent = tile.parent;
#pragma unroll 1
    while (parent != ROOT) {
      const Node node = load_row(rules.measure_nodes + parent);
      if (!arrives_last<Norm::one, MEASURE_WIDTH>(rules.measure_arrivals + parent, scratch, node.arrivals)) return;
      sum = node_added<Norm::one, MEASURE_WIDTH>(rules.measure_sums, scratch, node);
      if (threadIdx.x == 0) {
        store_total(rules.measure_sums, node.slot, sum);
        conclude(step, rules, t, node, sum);
      }
      parent = node.parent;
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) measure(const Step step) {
  __shared__ MeasureScratch scratch;
  measure_all(step, scratch);
}

// Fills the half in force.
__device__ __forceinline__ void evaluate_anew(const Step& step, Scratch& scratch, u64 t) {
  stage<THREADS>(step, scratch);
  __syncthreads();  // all threads read what each staged
  evaluate<THREADS, Of::now>(step, scratch, t, scratch.facts.control.progress);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) remake(const Step step) {
  if constexpr (REMAKES) {
    if constexpr (SHOWS) {
      if (refused_while_shown(step)) return;
    }
    if (blockIdx.x >= load_row(&step.counts->all_tiles)) return;
    remake_tile(step, load_row(step.tiles + blockIdx.x), step.choice);
  }
}

// As an update, with a ticket: the last block says what is shown, after all have looked.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_MULTIPROCESSOR) show(const Step step) {
  if constexpr (SHOWS) {
    __shared__ Scratch own;
    const u64 call = load_relaxed(&step.control->calls);
    const u32 tiles = load_row(&step.counts->all_tiles), shown = load_relaxed(&step.control->shown);
    if (blockIdx.x > tiles) return;
    if (threadIdx.x == 0) own.begin(step.control, call, tiles);
    if (blockIdx.x != 0 && shown != step.choice) {
      const u32 place = blockIdx.x - 1;
      show_tile(step, load_relaxed(&step.control->t), load_row(step.tiles + place), step.choice != 0);
    }
    __syncthreads();  // all threads of the block have looked
    bool mixed;
    if (threadIdx.x == 0 && arrives_last(step.ticket, own.call, own.blocks, mixed)) {
      store_relaxed(&own.control->shown, step.choice);
      if (mixed) store_row(&own.control->overlapped, 1u);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) prime(const Step step) {
  __shared__ Scratch scratch;
  const u64 t = load_relaxed(&step.control->t);
  evaluate_anew(step, scratch, t);
  stop_if_end<Features>(step, t, End::below);  // what held before is unknown: no rate falls by this
  if (threadIdx.x == 0) tell_host(step);
}

extern "C" __global__ void __launch_bounds__(THREADS) observe(const Observation observation) {
  __shared__ Scratch scratch;
  const Step& step = observation.step;
  const u64 t = load_relaxed(&step.control->t);
  const u64 before = load_relaxed(&step.control->end[t & 1]);
  observe_all<THREADS>(step, t, metric_of(observation));
  evaluate_anew(step, scratch, t);
  stop_if_end<Features>(step, t, before);
}

extern "C" __global__ void __launch_bounds__(THREADS) edit(const Edit edit) {
  __shared__ Scratch scratch;
  write_constants<THREADS>(edit);
  if (edit.flags & Edit::evaluate_anew) {
    const u64 t = load_relaxed(&edit.step.control->t);
    const u64 before = load_relaxed(&edit.step.control->end[t & 1]);
    evaluate_anew(edit.step, scratch, t);
    stop_if_end<Features>(edit.step, t, before);
  }
}
