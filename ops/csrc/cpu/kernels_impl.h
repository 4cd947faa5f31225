// The CPU kernels, for the instruction set that the including file is compiled for: PADING_ISA
// names the namespace, PADING_TABLE the table of functions, PADING_VECTOR_BYTES the width of a
// register.
//
// A query's points are located for all heads in one vectorised loop; then each head gathers its
// four corners, D channels at a time. Heads of 8, 16, 32 and 64 channels live in registers; other
// widths go through D in blocks.

#include "kernels.h"

namespace pading_ops {
namespace PADING_ISA {
namespace {

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

// The small gradients of `count` points from their dot products, four to a point. Points outside
// are told by their row, not by their weights alone: an attention weight of NaN must not show.
template <typename Real>
__attribute__((noinline)) void small_gradients(
    int64_t count, const Real* __restrict locations, const Real* __restrict attention,
    const int32_t* __restrict height, const int32_t* __restrict width, const Real* __restrict dots,
    Real* __restrict grad_locations, Real* __restrict grad_attention) {
  for (int64_t i = 0; i < count; ++i) {
    const Level level{height[i], width[i], 0};
    const Sample<Real> sample = locate(locations[2 * i], locations[2 * i + 1], level);
    const PointGradient<Real> g = point_gradient(sample, level, attention[i], dots[4 * i],
                                                 dots[4 * i + 1], dots[4 * i + 2], dots[4 * i + 3]);
    grad_attention[i] = sample.row >= 0 ? g.attention : Real(0);
    grad_locations[2 * i] = sample.row >= 0 ? g.x : Real(0);
    grad_locations[2 * i + 1] = sample.row >= 0 ? g.y : Real(0);
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

// One query's output in one head: `value` points at channel 0 of the head in row 0, rows are
// `stride` elements apart.
template <int Lanes, int Chunks, typename V, typename T, typename Real>
PADING_INLINE void gather(const Points<Real>& points, int64_t first, const V* value, int64_t stride,
                          T* output, int64_t width) {
  const int64_t end = first + points.per_query;
  if constexpr (Chunks > 0) {
    using Vec = Vector<Real, Lanes>;
    // Independent sums hide the latency of the multiply-adds, as far as there are registers.
    constexpr int Sums = Chunks <= 2 ? 4 : Chunks <= 4 ? 2 : 1;
    Vec sum[Sums][Chunks] = {};
    for (int64_t i = first; i < end; ++i) {
      if (points.rows[4 * i] < 0) continue;
      const FourNumbers<Real, Lanes> weights(points.weights + 4 * i);
#pragma GCC unroll 4
      for (int corner = 0; corner < 4; ++corner) {
        const V* pixel = value + points.rows[4 * i + corner] * stride;
        const auto weight = weights[corner];
#pragma GCC unroll 8
        for (int c = 0; c < Chunks; ++c)
          sum[corner % Sums][c] += weight * load<Lanes>(pixel + c * Lanes);
      }
    }
    for (int c = 0; c < Chunks; ++c) {
      Vec total = sum[0][c];
      for (int s = 1; s < Sums; ++s) total += sum[s][c];
      store<Lanes>(output + c * Lanes, total);
    }
  } else {
    Vector<Real, Lanes> sum = {};
    for (int64_t i = first; i < end; ++i) {
      if (points.rows[4 * i] < 0) continue;
      for (int corner = 0; corner < 4; ++corner) {
        const V* pixel = value + points.rows[4 * i + corner] * stride;
        sum += points.weights[4 * i + corner] * load_first<Lanes>(pixel, width);
      }
    }
    store_first<Lanes>(output, sum, width);
  }
}

// Queries [q, q + count) of one image and head, at most a block of them. `fetch(query)` is called
// between gathers.
template <typename W, typename V, typename T, typename Real, typename F>
PADING_INLINE void forward_block(const ForwardArguments& a, Points<Real>& points, int64_t b,
                                 int64_t m, int64_t q, int64_t count, const V* value,
                                 int64_t stride, F fetch) {
  const Problem& p = a.sizes;
  const int64_t unit = (b * p.Q + q) * p.M + m, next = p.M * p.D, next_points = p.M * p.points();
  const Real* locations = static_cast<const Real*>(a.locations) + 2 * unit * p.points();
  const Real* attention = static_cast<const Real*>(a.attention) + unit * p.points();
  points.read(count, locations, attention, next_points);
  T* output = static_cast<T*>(a.output) + unit * p.D;
  for (int64_t k = 0; k < count; ++k, output += next) {
    points.fetch_next(k, locations, attention, next_points);
    prefetch<true>(output + kQueriesAhead * next, p.D);
    fetch(q + k);
    for_parts<W>(p.D, [&](auto chunks, int64_t d, int64_t width) {
      gather<W::Lanes, decltype(chunks)::value>(points, k * points.per_query, value + d, stride,
                                                output + d, width);
    });
  }
}

template <typename T, typename W>
void forward(const ForwardArguments& a, int64_t begin, int64_t end, char* scratch_bytes) {
  using Real = typename RealOf<T>::type;
  const Problem& p = a.sizes;
  const int64_t stride = p.M * p.D;
  const T* value = static_cast<const T*>(a.value);
  Scratch scratch{scratch_bytes};
  Points<Real> points(p.L, p.P, scratch);
  points.set_levels(a.levels, p.L, p.P);
  const int64_t block = points.queries;
  if (a.staged) {
    // Known to the compiler where the width is: no multiplication by it in the gather.
    const int64_t width = W::Chunks > 0 ? W::Chunks * W::Lanes : p.D;
    Real* rows = scratch.take<Real>(p.S * width);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / p.M, m = unit % p.M;
      const T* head = value + b * p.S * stride + m * p.D;
      for (int64_t s = 0; s < p.S; ++s) {
        prefetch<false>(head + (s + kRowsAhead) * stride, p.D);
        convert<W::Lanes>(head + s * stride, rows + s * p.D, p.D);
      }
      // The next head's rows are on their way to the second cache while this one's are gathered.
      const int64_t to_fetch = unit + 1 < end && m + 1 < p.M ? p.S : 0;
      for (int64_t q = 0; q < p.Q; q += block)
        forward_block<W, Real, T>(a, points, b, m, q, p.Q - q < block ? p.Q - q : block, rows,
                                  width, [&](int64_t row) {
                                    if (row < to_fetch)
                                      prefetch<false, 2>(head + p.D + row * stride, p.D);
                                  });
    }
    return;
  }
  for (int64_t unit = begin; unit < end;) {
    const int64_t b = unit / p.Q, q = unit % p.Q;
    int64_t count = end - unit < p.Q - q ? end - unit : p.Q - q;
    if (count > block) count = block;
    for (int64_t m = 0; m < p.M; ++m)
      forward_block<W, T, T>(a, points, b, m, q, count, value + b * p.S * stride + m * p.D, stride,
                             [](int64_t) {});
    unit += count;
  }
}

// One query's share of one head's backward pass: adds to the rows of grad_value, and to dots[4 * i
// + corner] the dot product of the output's gradient with that corner's value.
template <int Lanes, int Chunks, typename V, typename T, typename Real>
PADING_INLINE void scatter(const Points<Real>& points, int64_t first, const T* grad_output,
                           const V* value, Real* grad_value, int64_t stride, Real* dots,
                           int64_t width) {
  const int64_t end = first + points.per_query;
  if constexpr (Chunks > 0) {
    using Vec = Vector<Real, Lanes>;
    Vec grad[Chunks];
    for (int c = 0; c < Chunks; ++c) grad[c] = load<Lanes>(grad_output + c * Lanes);
    for (int64_t i = first; i < end; ++i) {
      if (points.rows[4 * i] < 0) continue;
      Vec dot[4];
#pragma GCC unroll 4
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t offset = points.rows[4 * i + corner] * stride;
        const V* pixel = value + offset;
        Real* target = grad_value + offset;
        const Real weight = points.weights[4 * i + corner];
        dot[corner] = grad[0] * load<Lanes>(pixel);
        store<Lanes>(target, load<Lanes>(target) + weight * grad[0]);
#pragma GCC unroll 8
        for (int c = 1; c < Chunks; ++c) {
          dot[corner] += grad[c] * load<Lanes>(pixel + c * Lanes);
          store<Lanes>(target + c * Lanes, load<Lanes>(target + c * Lanes) + weight * grad[c]);
        }
      }
      Real* to = dots + 4 * i;
      store<4>(to, load<4>(to) + sums(fold_to_4<Real>(dot[0]), fold_to_4<Real>(dot[1]),
                                      fold_to_4<Real>(dot[2]), fold_to_4<Real>(dot[3])));
    }
  } else {
    const auto grad = load_first<Lanes>(grad_output, width);
    for (int64_t i = first; i < end; ++i) {
      if (points.rows[4 * i] < 0) continue;
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t offset = points.rows[4 * i + corner] * stride;
        const auto pixel = load_first<Lanes>(value + offset, width);
        for (int64_t d = 0; d < width; ++d) {
          dots[4 * i + corner] += grad[d] * pixel[d];
          grad_value[offset + d] += points.weights[4 * i + corner] * grad[d];
        }
      }
    }
  }
}

// One image, one head, levels [first, last), channels [channel, channel + a.channels) of the head:
// `value` and `grad_value` point at the first of these channels in the first of these levels' rows.
template <typename W, typename T, typename V, typename Real>
PADING_INLINE void backward_levels(const BackwardArguments& a, int64_t b, int64_t m, int64_t first,
                                   int64_t last, int64_t channel, const V* value, Real* grad_value,
                                   int64_t stride, Scratch scratch) {
  const Problem& p = a.sizes;
  Points<Real> points(last - first, p.P, scratch);
  points.set_levels(a.levels + first, last - first, p.P);
  const int64_t n = points.per_query, room = padded_points(points.queries * n);
  Real* dots = scratch.take<Real>(4 * room);
  Real* grad_locations = scratch.take<Real>(2 * room);
  Real* grad_attention = scratch.take<Real>(room);
  const int64_t next = p.M * p.D, next_points = p.M * p.points();
  for (int64_t q = 0; q < p.Q; q += points.queries) {
    const int64_t count = p.Q - q < points.queries ? p.Q - q : points.queries;
    const int64_t unit = (b * p.Q + q) * p.M + m, point = (unit * p.L + first) * p.P;
    const Real* locations = static_cast<const Real*>(a.locations) + 2 * point;
    const Real* attention = static_cast<const Real*>(a.attention) + point;
    points.read(count, locations, attention, next_points);
    Real* to_locations = static_cast<Real*>(a.grad_locations) + 2 * point;
    Real* to_attention = static_cast<Real*>(a.grad_attention) + point;
    __builtin_memset(dots, 0, 4 * count * n * sizeof(Real));
    const T* grad_output = static_cast<const T*>(a.grad_output) + unit * p.D + channel;
    for (int64_t k = 0; k < count; ++k, grad_output += next) {
      points.fetch_next(k, locations, attention, next_points);
      prefetch<true>(to_locations + 2 * k * next_points, 2 * n);
      prefetch<true>(to_attention + k * next_points, n);
      prefetch<false>(grad_output + 2 * kQueriesAhead * next, a.channels);
      for_parts<W>(a.channels, [&](auto chunks, int64_t d, int64_t width) {
        scatter<W::Lanes, decltype(chunks)::value>(points, k * n, grad_output + d, value + d,
                                                   grad_value + d, stride, dots, width);
      });
    }
    small_gradients(padded_points(count * n), points.locations, points.attention, points.height,
                    points.width, dots, grad_locations, grad_attention);
    // Linear in the dot products, and so sums over the channels.
    if (channel == 0) {
      copy_runs(count, 2 * n, grad_locations, 2 * n, to_locations, 2 * next_points);
      copy_runs(count, n, grad_attention, n, to_attention, next_points);
    } else {
      copy_runs<true>(count, 2 * n, grad_locations, 2 * n, to_locations, 2 * next_points);
      copy_runs<true>(count, n, grad_attention, n, to_attention, next_points);
    }
  }
}

// Likewise, with `value` and `grad_value` as stored, and `rows` rows in these levels.
template <typename W, typename T>
PADING_INLINE void backward_rows(const BackwardArguments& a, int64_t b, int64_t m, int64_t first,
                                 int64_t last, int64_t channel, int64_t rows, const T* value,
                                 T* grad_value, Scratch scratch) {
  using Real = typename RealOf<T>::type;
  const int64_t stride = a.sizes.M * a.sizes.D, width = a.channels;
  if constexpr (sizeof(T) == sizeof(Real)) {
    if (!a.staged) {
      backward_levels<W, T>(a, b, m, first, last, channel, value, grad_value, stride, scratch);
      return;
    }
  }
  // A row of value and the sum of its gradient lie side by side: one stream to the memory.
  Real* staged = scratch.take<Real>(2 * rows * width);
  for (int64_t s = 0; s < rows; ++s) {
    prefetch<false>(value + (s + kRowsAhead) * stride, width);
    Real* row = staged + 2 * s * width;
    convert<W::Lanes>(value + s * stride, row, width);
    for (int64_t d = 0; d < width; ++d) row[width + d] = 0;
  }
  backward_levels<W, T>(a, b, m, first, last, channel, staged, staged + width, 2 * width, scratch);
  for (int64_t s = 0; s < rows; ++s) {
    prefetch<true>(grad_value + (s + kRowsAhead) * stride, width);
    convert<W::Lanes>(staged + (2 * s + 1) * width, grad_value + s * stride, width);
  }
}

template <typename T, typename W>
void backward(const BackwardArguments& a, int64_t begin, int64_t end, char* scratch) {
  const Problem& p = a.sizes;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t b = unit / p.M, m = unit % p.M;
    for (int64_t first = 0, last = 0; first < p.L; first = last) {
      // As many levels together as there is room for.
      int64_t rows = 0;
      while (last < p.L && rows + level_rows(a.levels[last]) <= a.room)
        rows += level_rows(a.levels[last++]);
      // Once even without channels: the small gradients are then zeros.
      int64_t channel = 0;
      do {
        const int64_t offset = ((b * p.S + a.levels[first].start) * p.M + m) * p.D + channel;
        backward_rows<W>(a, b, m, first, last, channel, rows,
                         static_cast<const T*>(a.value) + offset,
                         static_cast<T*>(a.grad_value) + offset, Scratch{scratch});
        channel += a.channels;
      } while (channel < p.D);
    }
  }
}

// Calls f(Width) with the widest fitting code for heads of D channels.
template <typename Real, typename F>
PADING_INLINE void with_width(int64_t D, F f) {
  constexpr int Lanes = kLanes<Real>;
  constexpr int Lanes8 = Lanes < 8 ? Lanes : 8;
  switch (D) {
    case 8:
      return f(Width<Lanes8, 8 / Lanes8>());
    case 16:
      return f(Width<Lanes, 16 / Lanes>());
    case 32:
      return f(Width<Lanes, 32 / Lanes>());
    case 64:
      return f(Width<Lanes, 64 / Lanes>());
    default:
      return f(Width<Lanes, 0>());
  }
}

template <typename T>
void forward_any(const ForwardArguments& a, int64_t begin, int64_t end, char* scratch) {
  with_width<typename RealOf<T>::type>(
      a.sizes.D, [&](auto width) { forward<T, decltype(width)>(a, begin, end, scratch); });
}

template <typename T>
void backward_any(const BackwardArguments& a, int64_t begin, int64_t end, char* scratch) {
  with_width<typename RealOf<T>::type>(
      a.channels, [&](auto width) { backward<T, decltype(width)>(a, begin, end, scratch); });
}

}  // namespace
}  // namespace PADING_ISA

#define PADING_STRING_OF(name) #name
#define PADING_STRING(name) PADING_STRING_OF(name)
const CpuKernels PADING_TABLE = {
    PADING_STRING(PADING_ISA),
    {PADING_ISA::forward_any<float>, PADING_ISA::forward_any<double>,
     PADING_ISA::forward_any<PADING_ISA::Half>, PADING_ISA::forward_any<PADING_ISA::BFloat16>},
    {PADING_ISA::backward_any<float>, PADING_ISA::backward_any<double>,
     PADING_ISA::backward_any<PADING_ISA::Half>, PADING_ISA::backward_any<PADING_ISA::BFloat16>},
};

}  // namespace pading_ops
