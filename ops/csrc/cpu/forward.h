// The forward pass over staged heads or over queries. Included by kernels_impl.h alone, inside its
// namespace.
#pragma once

#include "points.h"

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
