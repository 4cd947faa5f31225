// A block of sampling points: read, located, and turned into rows and weights; and what both passes
// share with that. Included by kernels_impl.h alone, inside its namespace.
#pragma once

#include "vector.h"

template <typename Real>
constexpr int kLanes =
    PADING_VECTOR_BYTES / sizeof(Real) < 4 ? 4 : PADING_VECTOR_BYTES / sizeof(Real);

// A head's channels: Chunks vectors of Lanes, or, with Chunks 0, any number in blocks of one
// vector.
template <int Lanes_, int Chunks_>
struct Width {
  static constexpr int Lanes = Lanes_;
  static constexpr int Chunks = Chunks_;
};

// Hands out the parts of a thread's scratch.
struct Scratch {
  char* next;
  template <typename T>
  T* take(int64_t count) {
    T* result = reinterpret_cast<T*>(next);
    next += (count * int64_t(sizeof(T)) + 63) / 64 * 64;
    return result;
  }
};

// Functions of their own, with nothing but restrict arguments: so compilers vectorise the loop.
template <typename Real>
__attribute__((noinline)) void locate_points(int64_t count, const Real* __restrict locations,
                                             const Real* __restrict attention,
                                             const int32_t* __restrict height,
                                             const int32_t* __restrict width,
                                             const int32_t* __restrict start,
                                             int32_t* __restrict rows, Real* __restrict weights) {
  for (int64_t i = 0; i < count; ++i) {
    const Sample<Real> sample =
        locate(locations[2 * i], locations[2 * i + 1], Level{height[i], width[i], start[i]});
    rows[4 * i] = sample.row;
    rows[4 * i + 1] = sample.row + sample.right;
    rows[4 * i + 2] = sample.row + sample.down;
    rows[4 * i + 3] = sample.row + sample.down + sample.right;
    const Real upper = sample.upper_weight * attention[i];
    const Real lower = sample.lower_weight * attention[i];
    weights[4 * i] = upper * sample.left_weight;
    weights[4 * i + 1] = upper * sample.right_weight;
    weights[4 * i + 2] = lower * sample.left_weight;
    weights[4 * i + 3] = lower * sample.right_weight;
  }
}

// So many rows or queries ahead of its use, a head's part of the next is fetched: runs that are too
// far apart for the processor to guess.
constexpr int64_t kRowsAhead = 16;
constexpr int64_t kQueriesAhead = 4;

// Fetches the lines of `count` elements into the cache: the nearest, or, with Locality 2, the
// second. Addresses past an array's end are allowed: fetching never faults.
template <bool Write, int Locality = 3, typename T>
PADING_INLINE void prefetch(const T* p, int64_t count) {
  constexpr int64_t step = 64 / int64_t(sizeof(T));
  for (int64_t i = 0; i < count; i += step) __builtin_prefetch(p + i, Write, Locality);
  if (count > 0) __builtin_prefetch(p + count - 1, Write, Locality);
}

// Copies `rows` runs of `count` elements, or adds them, without a call for the few that a run has.
template <bool Add = false, typename Real>
PADING_INLINE void copy_runs(int64_t rows, int64_t count, const Real* from, int64_t from_stride,
                             Real* to, int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row, from += from_stride, to += to_stride) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
      store<4>(to + i, Add ? load<4>(to + i) + load<4>(from + i) : load<4>(from + i));
    for (; i < count; ++i) to[i] = Add ? to[i] + from[i] : from[i];
  }
}

// The points of one head in a block of consecutive queries, `per_query` to a query: all levels'
// or one level's.
template <typename Real>
struct Points {
  int64_t per_query, queries;       // of a full block
  Real *locations, *attention;      // as stored, side by side
  int32_t *height, *width, *start;  // of each point's level
  // Four to a point: upper left, upper right, lower left, lower right.
  int32_t* rows;  // the first below 0: outside
  Real* weights;  // bilinear times attention

  Points(int64_t L, int64_t P, Scratch& scratch)
      : per_query(L * P), queries(block_queries(per_query)) {
    const int64_t count = padded_points(queries * per_query);
    locations = scratch.take<Real>(2 * count);
    attention = scratch.take<Real>(count);
    height = scratch.take<int32_t>(count);
    width = scratch.take<int32_t>(count);
    start = scratch.take<int32_t>(count);
    rows = scratch.take<int32_t>(4 * count);
    weights = scratch.take<Real>(4 * count);
  }

  // Rows are counted from the first of these levels.
  void set_levels(const Level* levels, int64_t L, int64_t P) {
    const int64_t count = padded_points(queries * per_query);
    for (int64_t i = 0; i < count; ++i) {
      locations[2 * i] = locations[2 * i + 1] = attention[i] = 0;
      const Level level = levels[i / P % L];
      height[i] = level.height;
      width[i] = level.width;
      start[i] = level.start - levels[0].start;
    }
  }

  // The first `count` queries of the block; a query's points are `stride` points after the last's.
  void read(int64_t count, const Real* from_locations, const Real* from_attention, int64_t stride) {
    copy_runs(count, 2 * per_query, from_locations, 2 * stride, locations, 2 * per_query);
    copy_runs(count, per_query, from_attention, stride, attention, per_query);
    locate_points(padded_points(count * per_query), locations, attention, height, width, start,
                  rows, weights);
  }

  // Fetches the points of query `k` of the next block into the cache. To be called between other
  // work: the processor waits for a few lines at a time only, and a whole block has eighty.
  // Inlined by force: GCC takes a function that only fetches for one that does nothing, and leaves
  // out its calls.
  PADING_METHOD void fetch_next(int64_t k, const Real* from_locations, const Real* from_attention,
                                int64_t stride) const {
    const int64_t point = (queries + k) * stride;
    prefetch<false>(from_locations + 2 * point, 2 * per_query);
    prefetch<false>(from_attention + point, per_query);
  }
};

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls f(Constant<Chunks>, d, width) for the parts of a head's D channels: `width` channels from d
// in Chunks vectors, or, with Chunks 0, the last ones that fill no vector.
template <typename W, typename F>
PADING_INLINE void for_parts(int64_t D, F f) {
  if constexpr (W::Chunks > 0) {
    f(Constant<W::Chunks>(), 0, D);
  } else {
    int64_t d = 0;
    for (; d + W::Lanes <= D; d += W::Lanes) f(Constant<1>(), d, W::Lanes);
    if (d < D) f(Constant<0>(), d, D - d);
  }
}

// Copies `count` elements as Real.
template <int Lanes, typename T, typename Real>
PADING_INLINE void convert(const T* from, Real* to, int64_t count) {
  int64_t i = 0;
  for (; i + Lanes <= count; i += Lanes) store<Lanes>(to + i, load<Lanes>(from + i));
  if (i < count) store_first<Lanes>(to + i, load_first<Lanes>(from + i, count - i), count - i);
}
