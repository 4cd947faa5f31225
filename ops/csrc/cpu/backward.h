// The backward pass over heads. Included by kernels_impl.h alone, inside its namespace.
#pragma once

#include "points.h"

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
