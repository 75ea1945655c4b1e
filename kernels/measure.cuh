// The measuring launch: what rules sum over elements before an update, and what follows from that. Reads what `measure` of
// each rule reads, in f32 4 B per stream and parameter; writes 16 B a sum and tile, and what a tensor or a group has of its own.
//
// In the order of sums.cuh, all in f64: sum + x, or fma(x, y, sum), where the product of two f32 is exact. Nothing that a
// skipped update would have to undo is written: scalars of the present update, and memory of the half that it leaves. Whichever
// block brings the last sum of a tensor or a group resolves what follows.
#pragma once
#include "sums.cuh"
#include "variant.cuh"

constexpr u32 MEASURE_WIDTH = MEASURED == 0 ? 1 : MEASURED;

using Measurements = Total<Norm::one, MEASURE_WIDTH>;
using MeasureScratch = SumScratch<Norm::one, MEASURE_WIDTH>;

// The cohort in row `index` for update `t`.
__device__ __forceinline__ CohortAt cohort_at(const Step& step, u64 t, u32 index) {
  const Cohort* row = row_at<Cohort>(step.cohorts, step.cohort_bytes, index);
  const u64 base = load_row(step.ages + (t & 1) * step.age_capacity + load_row(&row->age));
  CohortAt at(t, index, row, base, step.values + (t & 1) * step.scalar_capacity);
  if (at.row.metric != 0) {
    const MetricState* state = step.metric_states + ((t & 1) * step.metric_capacity + at.row.metric - 1);
    at.lr_scale = load_row(&state->scale);
  }
  return at;
}

// What a tensor or a group at rest remembers goes on as it is.
template <u32 OF, u32 MEMORY>
__device__ __forceinline__ void keep_memory(double* memory, u64 t, u32 rows, u32 k, u32 width) {
  double kept[MEMORY];
  load_memory<OF>(memory_of(memory, t - 1, rows, k, width), 1, kept);
  store_memory<OF>(memory_of(memory, t, rows, k, width), 1, kept);
}

// What follows from the sums over a tensor, by one thread. `resting`: it is left alone by this update.
template <class R>
__device__ __forceinline__ void conclude_tensor(const Step& step, u64 t, const TensorHead& tensor, bool resting,
                                                const Measurements& sums) {
  const u32 place = tensor.place;
  if (resting || (DYNAMIC && tensor.len == 0)) {
    if constexpr (R::OF_TENSOR != 0) {
      const u32 tensors = load_row(&step.rules->tensor_capacity);
      keep_memory<R::OF_TENSOR, R::MEMORY + 1>(load_row(&step.rules->tensor_memory), t, tensors, place, TENSOR_MEMORY);
    }
    return;
  }
  const CohortAt at = cohort_at(step, t, tensor.cohort);
  Known<R> known = {};
  Resolved<R> r;
#pragma unroll
  for (u32 k = 0; k < R::SUMS; k++) {
    known.sum[k] = sums.sum[k];
    known.len[k] = (double)tensor.len;
  }
  if constexpr (R::OF_TENSOR != 0) {
    const u32 tensors = load_row(&step.rules->tensor_capacity);
    double* memory = load_row(&step.rules->tensor_memory);
    load_memory<R::OF_TENSOR>(memory_of(memory, t - 1, tensors, place, TENSOR_MEMORY), 1, known.memory);
    resolve_rule<R>(step, at, t + at.base, known, r);
    store_memory<R::OF_TENSOR>(memory_of(memory, t, tensors, place, TENSOR_MEMORY), 1, r.memory);
  } else {
    resolve_rule<R>(step, at, t + at.base, known, r);
  }
  if constexpr (R::TENSOR_SCALARS != 0) {
    void* own = load_row(&step.rules->own);
    store_row((Own<R::TENSOR_SCALARS>*)row_at<Own<R::TENSOR_SCALARS>>(own, OWN_BYTES, place), r.own);
  }
}

// The group in row `index` as this update finds it: without the elements of tensors that rest.
__device__ __forceinline__ Group group_at(const Step& step, const RuleTables& rules, u32 index) {
  Group group = load_row(rules.groups + index);
  if constexpr (MAY_REST) {
    group.len = 0;
#pragma unroll 1
    for (u32 c = group.first_cohort; c != NO_COHORT;) {
      const Cohort row = load_row(row_at<Cohort>(step.cohorts, step.cohort_bytes, c));
      if (!age_rests(step, row.age)) group.len += load_row(rules.cohort_lens + c);
      c = row.next;
    }
  }
  return group;
}

// What follows from the sums over group `group`, and over all where the rule has such, by one thread. Where all that was to be
// summed rests, what it remembers stays.
template <class R>
__device__ __forceinline__ void conclude_group(const Step& step, u64 t, const Group& group, const Measurements& sums,
                                               const Measurements& all) {
  Known<R> known = {};
#pragma unroll
  for (u32 k = 0; k < R::SUMS; k++) {
    const bool over_all = (R::OVER_ALL >> k & 1) != 0;
    known.sum[k] = over_all ? all.sum[k] : sums.sum[k];
    known.len[k] = (double)(over_all ? group.len_of_all : group.len);
  }
  const bool resting = MAY_REST && (R::OVER_ALL != 0 ? group.len_of_all : group.len) == 0;
#pragma unroll 1
  for (u32 cohort = group.first_cohort, next; cohort != NO_COHORT; cohort = next) {
    const CohortAt at = cohort_at(step, t, cohort);
    next = at.row.next;
    if (resting) {
      if constexpr (R::OF_GROUP != 0) {
        keep_memory<R::OF_GROUP, R::MEMORY + 1>(load_row(&step.rules->group_memory), t, step.cohort_capacity, cohort, GROUP_MEMORY);
      }
      continue;
    }
    Resolved<R> r;
    resolve_rule<R>(step, at, t + at.base, known, r);
    float* record = record_at<float>(step, t, cohort);
#pragma unroll
    for (u32 k = 0; k < R::SCALARS; k++) {
      if ((R::LATE >> k & 1) != 0) store_row(record + k, r.record.value[k]);
    }
    if constexpr (R::OF_GROUP != 0) {
      // What the group remembers counts the optimizer's updates, not one cohort's: the same for all of its cohorts.
      CohortAt first = cohort_at(step, t, group.first_cohort);
      first.scales = {1.0, 1.0};  // of a tensor, which is not the group
      resolve_rule<R>(step, first, t, known, r);
      double* memory = load_row(&step.rules->group_memory);
      store_memory<R::OF_GROUP>(memory_of(memory, t, step.cohort_capacity, cohort, GROUP_MEMORY), 1, r.memory);
    }
  }
}

// Gathers what the elements of a rule's tensors add to its sums.
template <class R, class O>
struct Measuring : Functor {
  static constexpr u32 LOADS = R::MEASURE_LOADS, STORES = 0;
  typename R::Scalars scalars;
  GradientScalars gradient;
  const Step& step;
  u64 t;
  u32 cohort;
  Partial* sums;  // where the sums of a pack's tensors go; null for a tile
  Measurements span = {}, kept = {};

  __device__ __forceinline__ Measuring(const Step& s, u64 now, u32 c, const GradientScalars& g, Partial* to)
      : scalars(scalars_of<R>(s, now, c)), gradient(g), step(s), t(now), cohort(c), sums(to) {}
  template <class Row>
  __device__ __forceinline__ void before_tensor(const Row& tensor) {
    take_cohort<R>(step, t, tensor, cohort, scalars);
  }

  template <u32 ALL>
  __device__ __forceinline__ void element(float (&all)[ALL]) {
    float(&x)[R::STREAMS] = first_of<R::STREAMS>(all);
    x[GRAD_AT] = prepare<O>(x[GRAD_AT], gradient);
    R::start(x, scalars);
    R::measure(x, scalars, span.sum);
  }
  __device__ __forceinline__ void after_span(u64 at) { keep_span(span, kept, at); }
  // Tensors of a pack have one block.
  template <class Row>
  __device__ __forceinline__ void after_tensor(const Row& tensor) {
    end_tensor(tensor, false);
  }
  // It adds nothing.
  template <class Row>
  __device__ __forceinline__ void rest(const Row& tensor) {
    end_tensor(tensor, true);
  }
  __device__ __forceinline__ void end_tensor(const TensorHead& tensor, bool resting) {
    if (sums == nullptr) return;
    const u32 slot = load_row(load_row(&step.rules->measure_slots) + tensor.place);
    if (MAY_REST && slot == NO_SLOT) return;
    const Measurements all = lanes_added(kept, WARPS / 2);
    if (threadIdx.x % WARP == 0) {
      store_total(sums, slot, all);
      if constexpr (R::TENSOR_SCALARS != 0 || R::OF_TENSOR != 0) conclude_tensor<R>(step, t, tensor, resting, all);
    }
    kept = {};
  }
};

// One tile or pack, by a block: the sum of a tile.
template <class R, class S, class O>
__device__ __forceinline__ Measurements measure_with(const Step& step, const RuleTables& rules, u64 t,
                                                     const MeasureTile& tile, const GradientScalars& gradient,
                                                     MeasureScratch& scratch) {
  const bool pack = (tile.place & PACK) != 0;
  Measuring<R, O> functor(step, t, tile.cohort, gradient, pack ? rules.measure_sums : nullptr);
  walk<S, 1, NORM_VECTORS>(step, tile.tensor, tile.place, functor);
  return pack ? Measurements{} : block_added<Norm::one, MEASURE_WIDTH>(scratch, functor.kept);
}

__device__ __forceinline__ Measurements load_measurements(const Partial* sums, u32 slot) {
  Measurements all = {};
#pragma unroll
  for (u32 k = 0; k < MEASURE_WIDTH; k++) all.sum[k] = load_shared_row(sums + (u64)slot * MEASURE_WIDTH + k).sum;
  return all;
}
