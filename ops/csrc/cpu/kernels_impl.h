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
__attribute__((noinline)) void locate_points(
    int64_t count, const Real* __restrict locations, const Real* __restrict attention,
    const int32_t* __restrict height, const int32_t* __restrict width,
    const int32_t* __restrict start, int32_t* __restrict row0, int32_t* __restrict row1,
    int32_t* __restrict row2, int32_t* __restrict row3, Real* __restrict weight0,
    Real* __restrict weight1, Real* __restrict weight2, Real* __restrict weight3) {
  for (int64_t i = 0; i < count; ++i) {
    const Sample<Real> sample =
        locate(locations[2 * i], locations[2 * i + 1], Level{height[i], width[i], start[i]});
    row0[i] = sample.row;
    row1[i] = sample.row + sample.right;
    row2[i] = sample.row + sample.down;
    row3[i] = sample.row + sample.down + sample.right;
    const Real upper = sample.upper_weight * attention[i];
    const Real lower = sample.lower_weight * attention[i];
    weight0[i] = upper * sample.left_weight;
    weight1[i] = upper * sample.right_weight;
    weight2[i] = lower * sample.left_weight;
    weight3[i] = lower * sample.right_weight;
  }
}

// The small gradients of `count` points from their dot products, four to a point.
template <typename Real>
__attribute__((noinline)) void small_gradients(
    int64_t count, const Real* __restrict locations, const Real* __restrict attention,
    const int32_t* __restrict height, const int32_t* __restrict width,
    const int32_t* __restrict start, const Real* __restrict dots, Real* __restrict grad_locations,
    Real* __restrict grad_attention) {
  for (int64_t i = 0; i < count; ++i) {
    const Level level{height[i], width[i], start[i]};
    const Sample<Real> sample = locate(locations[2 * i], locations[2 * i + 1], level);
    const PointGradient<Real> g = point_gradient(sample, level, attention[i], dots[4 * i],
                                                 dots[4 * i + 1], dots[4 * i + 2], dots[4 * i + 3]);
    // Not by the weights alone: an attention weight of NaN on a point outside must not show.
    const bool touches = sample.row >= 0;
    grad_attention[i] = touches ? g.attention : Real(0);
    grad_locations[2 * i] = touches ? g.x : Real(0);
    grad_locations[2 * i + 1] = touches ? g.y : Real(0);
  }
}

// The points of one query, of `heads` heads with L * P points each.
template <typename Real>
struct Points {
  int64_t count;
  int32_t *height, *width, *start;  // of each point's level
  int32_t* row[4];  // upper left, upper right, lower left, lower right; row[0] < 0: outside
  Real* weight[4];  // bilinear times attention

  Points(const Problem& p, const Level* levels, int64_t heads, Scratch& scratch)
      : count(heads * p.points()) {
    height = scratch.take<int32_t>(count);
    width = scratch.take<int32_t>(count);
    start = scratch.take<int32_t>(count);
    for (auto& r : row) r = scratch.take<int32_t>(count);
    for (auto& w : weight) w = scratch.take<Real>(count);
    for (int64_t i = 0; i < count; ++i) {
      const Level level = levels[i / p.P % p.L];
      height[i] = level.height;
      width[i] = level.width;
      start[i] = level.start;
    }
  }

  void locate_all(const Real* locations, const Real* attention) {
    locate_points(count, locations, attention, height, width, start, row[0], row[1], row[2], row[3],
                  weight[0], weight[1], weight[2], weight[3]);
  }
};

// One head's output: `value` points at channel 0 of the head in row 0, rows are `stride` elements
// apart.
template <int Lanes, int Chunks, typename T, typename Real>
PADING_INLINE void gather(const Points<Real>& points, int64_t first, int64_t count, const T* value,
                          int64_t stride, T* output) {
  using V = Vector<Real, Lanes>;
  // Independent sums hide the latency of the multiply-adds, as far as there are registers.
  constexpr int Sums = Chunks <= 2 ? 4 : Chunks <= 4 ? 2 : 1;
  V sum[Sums][Chunks] = {};
  for (int64_t i = first; i < first + count; ++i) {
    if (points.row[0][i] < 0) continue;
#pragma GCC unroll 4
    for (int corner = 0; corner < 4; ++corner) {
      const T* pixel = value + points.row[corner][i] * stride;
      const Real weight = points.weight[corner][i];
#pragma GCC unroll 8
      for (int c = 0; c < Chunks; ++c)
        sum[corner % Sums][c] += weight * load<Lanes>(pixel + c * Lanes);
    }
  }
  for (int c = 0; c < Chunks; ++c) {
    V total = sum[0][c];
    for (int s = 1; s < Sums; ++s) total += sum[s][c];
    store<Lanes>(output + c * Lanes, total);
  }
}

// The same for the `width` channels of a block that fills no vector.
template <int Lanes, typename T, typename Real>
PADING_INLINE void gather_rest(const Points<Real>& points, int64_t first, int64_t count,
                               const T* value, int64_t stride, T* output, int64_t width) {
  Vector<Real, Lanes> sum = {};
  for (int64_t i = first; i < first + count; ++i) {
    if (points.row[0][i] < 0) continue;
    for (int corner = 0; corner < 4; ++corner) {
      const T* pixel = value + points.row[corner][i] * stride;
      sum += points.weight[corner][i] * load_first<Lanes>(pixel, width);
    }
  }
  store_first<Lanes>(output, sum, width);
}

template <typename T, typename W>
void forward(const ForwardArguments& a, int64_t begin, int64_t end, char* scratch_bytes) {
  using Real = typename RealOf<T>::type;
  const Problem& p = a.sizes;
  const int64_t stride = p.M * p.D, heads_points = p.points();
  Scratch scratch{scratch_bytes};
  Points<Real> points(p, a.levels, p.M, scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const T* value = static_cast<const T*>(a.value) + unit / p.Q * p.S * stride;
    T* output = static_cast<T*>(a.output) + unit * stride;
    points.locate_all(static_cast<const Real*>(a.locations) + unit * points.count * 2,
                      static_cast<const Real*>(a.attention) + unit * points.count);
    for (int64_t m = 0; m < p.M; ++m) {
      const int64_t first = m * heads_points;
      const T* head = value + m * p.D;
      T* out = output + m * p.D;
      if constexpr (W::Chunks > 0) {
        gather<W::Lanes, W::Chunks>(points, first, heads_points, head, stride, out);
      } else {
        int64_t d = 0;
        for (; d + W::Lanes <= p.D; d += W::Lanes)
          gather<W::Lanes, 1>(points, first, heads_points, head + d, stride, out + d);
        if (d < p.D)
          gather_rest<W::Lanes>(points, first, heads_points, head + d, stride, out + d, p.D - d);
      }
    }
  }
}

// One head's share of the backward pass: adds to the rows of grad_value, and to dots[4 * i +
// corner] the dot product of the output's gradient with that corner's value.
template <int Lanes, int Chunks, typename T, typename Real>
PADING_INLINE void scatter(const Points<Real>& points, int64_t first, int64_t count,
                           const T* grad_output, const T* value, int64_t stride, Real* grad_value,
                           int64_t grad_stride, Real* dots) {
  using V = Vector<Real, Lanes>;
  V grad[Chunks];
  for (int c = 0; c < Chunks; ++c) grad[c] = load<Lanes>(grad_output + c * Lanes);
  for (int64_t i = first; i < first + count; ++i) {
    if (points.row[0][i] < 0) continue;
    V dot[4];
#pragma GCC unroll 4
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t row = points.row[corner][i];
      const T* pixel = value + row * stride;
      Real* target = grad_value + row * grad_stride;
      const Real weight = points.weight[corner][i];
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
}

template <typename T, typename Real>
PADING_INLINE void scatter_rest(const Points<Real>& points, int64_t first, int64_t count,
                                const T* grad_output, const T* value, int64_t stride,
                                Real* grad_value, int64_t grad_stride, Real* dots, int64_t width) {
  constexpr int Lanes = kLanes<Real>;
  const auto grad = load_first<Lanes>(grad_output, width);
  for (int64_t i = first; i < first + count; ++i) {
    if (points.row[0][i] < 0) continue;
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t row = points.row[corner][i];
      const auto pixel = load_first<Lanes>(value + row * stride, width);
      Real* target = grad_value + row * grad_stride;
      for (int64_t d = 0; d < width; ++d) {
        dots[4 * i + corner] += grad[d] * pixel[d];
        target[d] += points.weight[corner][i] * grad[d];
      }
    }
  }
}

// Heads [m, m + heads) of image b. grad_value points at channel 0 of head m in row 0.
template <typename T, typename W, typename Real>
void backward_heads(const BackwardArguments& a, int64_t b, int64_t m, int64_t heads,
                    Real* grad_value, int64_t grad_stride, Scratch scratch) {
  const Problem& p = a.sizes;
  const int64_t stride = p.M * p.D, head_points = p.points();
  Points<Real> points(p, a.levels, heads, scratch);
  Real* dots = scratch.take<Real>(4 * points.count);
  const T* value = static_cast<const T*>(a.value) + b * p.S * stride + m * p.D;
  for (int64_t q = 0; q < p.Q; ++q) {
    const int64_t head = (b * p.Q + q) * p.M + m, point = head * head_points;
    const Real* locations = static_cast<const Real*>(a.locations) + 2 * point;
    const Real* attention = static_cast<const Real*>(a.attention) + point;
    points.locate_all(locations, attention);
    __builtin_memset(dots, 0, 4 * points.count * sizeof(Real));
    for (int64_t h = 0; h < heads; ++h) {
      const T* grad_output = static_cast<const T*>(a.grad_output) + (head + h) * p.D;
      const T* pixels = value + h * p.D;
      Real* target = grad_value + h * p.D;
      const int64_t first = h * head_points;
      if constexpr (W::Chunks > 0) {
        scatter<W::Lanes, W::Chunks>(points, first, head_points, grad_output, pixels, stride,
                                     target, grad_stride, dots);
      } else {
        int64_t d = 0;
        for (; d + W::Lanes <= p.D; d += W::Lanes)
          scatter<W::Lanes, 1>(points, first, head_points, grad_output + d, pixels + d, stride,
                               target + d, grad_stride, dots);
        if (d < p.D)
          scatter_rest(points, first, head_points, grad_output + d, pixels + d, stride, target + d,
                       grad_stride, dots, p.D - d);
      }
    }
    small_gradients(points.count, locations, attention, points.height, points.width, points.start,
                    dots, static_cast<Real*>(a.grad_locations) + 2 * point,
                    static_cast<Real*>(a.grad_attention) + point);
  }
}

template <typename T, typename W>
void backward(const BackwardArguments& a, int64_t begin, int64_t end, char* scratch_bytes) {
  using Real = typename RealOf<T>::type;
  const Problem& p = a.sizes;
  const int64_t stride = p.M * p.D;
  T* grad_value = static_cast<T*>(a.grad_value);
  Scratch scratch{scratch_bytes};
  if constexpr (sizeof(T) == sizeof(Real)) {
    // This thread's heads of an image together: their channels lie side by side.
    for (int64_t unit = begin; unit < end;) {
      const int64_t b = unit / p.M, m = unit % p.M;
      const int64_t heads = p.M - m < end - unit ? p.M - m : end - unit;
      backward_heads<T, W>(a, b, m, heads, grad_value + b * p.S * stride + m * p.D, stride,
                           scratch);
      unit += heads;
    }
  } else {
    // Half types are summed in float32, one head at a time, and rounded once.
    Real* sums = scratch.take<Real>(p.S * p.D);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t b = unit / p.M, m = unit % p.M;
      __builtin_memset(sums, 0, p.S * p.D * sizeof(Real));
      backward_heads<T, W>(a, b, m, 1, sums, p.D, scratch);
      T* target = grad_value + b * p.S * stride + m * p.D;
      for (int64_t s = 0; s < p.S; ++s) {
        int64_t d = 0;
        for (; d + kLanes<Real> <= p.D; d += kLanes<Real>)
          store<kLanes<Real>>(target + s * stride + d, load<kLanes<Real>>(sums + s * p.D + d));
        for (; d < p.D; ++d) target[s * stride + d] = round_to(sums[s * p.D + d], T());
      }
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
      a.sizes.D, [&](auto width) { backward<T, decltype(width)>(a, begin, end, scratch); });
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
