// Where a sampling point falls among the pixels of its level: written once, for the CPU and for
// CUDA.
//
// No header of the standard library or of PyTorch is included here: the CPU kernels compile this
// file several times, each for another instruction set, and nothing may be shared between those by
// the linker.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define PADING_INLINE static __host__ __device__ __forceinline__
#else
#define PADING_INLINE static inline __attribute__((always_inline))
#endif

namespace pading_ops {

// A feature level inside the S rows of `value`.
struct Level {
  int32_t height;
  int32_t width;
  int32_t start;
};

// The four pixels around a sampling point. A corner outside the level has weight 0 and is moved
// onto its neighbour inside, so that every corner of a point that touches the level may be read.
template <typename Real>
struct Sample {
  int32_t row;    // row of the upper left corner within S; negative where no corner lies inside
  int32_t right;  // step to the right corner's row: 0 or 1
  int32_t down;   // step to the lower corner's row: 0 or the level's width
  Real left_weight, right_weight, upper_weight, lower_weight;
  Real left_inside, right_inside, upper_inside, lower_inside;  // 1 inside the level, else 0
};

namespace detail {

PADING_INLINE int32_t clamp(int32_t x, int32_t size) {
  x = x < size ? x : size - 1;
  return x > 0 ? x : 0;
}

PADING_INLINE int32_t flag(bool x) { return x ? 1 : 0; }

PADING_INLINE float floor_of(float x) { return __builtin_floorf(x); }
PADING_INLINE double floor_of(double x) { return __builtin_floor(x); }

}  // namespace detail

// x and y are in [0, 1] across the level, pixel centres at (i + 0.5) / size (align_corners false).
// NaN and infinity fail the comparisons and so lie outside.
template <typename Real>
PADING_INLINE Sample<Real> locate(Real x, Real y, Level level) {
  Real column = x * Real(level.width) - Real(0.5);
  Real line = y * Real(level.height) - Real(0.5);
  // Numbers rather than truth values, and single comparisons below: else compilers do not
  // vectorise. An empty level has no inside, though column -0.5 is below its width of 0.
  const int32_t touches = detail::flag(column > Real(-1)) & detail::flag(line > Real(-1)) &
                          detail::flag(column < Real(level.width)) &
                          detail::flag(line < Real(level.height)) & detail::flag(level.width > 0) &
                          detail::flag(level.height > 0);
  // Both corners of column -2 are outside, so all weights below become 0.
  column = touches != 0 ? column : Real(-2);
  line = touches != 0 ? line : Real(-2);
  const Real left = detail::floor_of(column), upper = detail::floor_of(line);
  const int32_t x0 = int32_t(left), y0 = int32_t(upper);
  const Real dx = column - left, dy = line - upper;

  Sample<Real> s;
  s.left_inside = x0 >= 0 ? Real(1) : Real(0);
  s.right_inside = uint32_t(x0 + 1) < uint32_t(level.width) ? Real(1) : Real(0);
  s.upper_inside = y0 >= 0 ? Real(1) : Real(0);
  s.lower_inside = uint32_t(y0 + 1) < uint32_t(level.height) ? Real(1) : Real(0);
  s.left_weight = (Real(1) - dx) * s.left_inside;
  s.right_weight = dx * s.right_inside;
  s.upper_weight = (Real(1) - dy) * s.upper_inside;
  s.lower_weight = dy * s.lower_inside;

  const int32_t left_column = detail::clamp(x0, level.width);
  const int32_t upper_line = detail::clamp(y0, level.height);
  s.right = detail::clamp(x0 + 1, level.width) - left_column;
  s.down = (detail::clamp(y0 + 1, level.height) - upper_line) * level.width;
  s.row = touches != 0 ? level.start + upper_line * level.width + left_column : -1;
  return s;
}

template <typename Real>
struct PointGradient {
  Real attention, x, y;
};

// Gradients of one point from the dot products of the output's gradient with its four corners'
// values.
template <typename Real>
PADING_INLINE PointGradient<Real> point_gradient(const Sample<Real>& s, Level level, Real attention,
                                                 Real upper_left, Real upper_right, Real lower_left,
                                                 Real lower_right) {
  const Real upper = s.left_weight * upper_left + s.right_weight * upper_right;
  const Real lower = s.left_weight * lower_left + s.right_weight * lower_right;
  const Real left = s.upper_weight * upper_left + s.lower_weight * lower_left;
  const Real right = s.upper_weight * upper_right + s.lower_weight * lower_right;
  PointGradient<Real> g;
  g.attention = s.upper_weight * upper + s.lower_weight * lower;
  g.x = attention * Real(level.width) * (s.right_inside * right - s.left_inside * left);
  g.y = attention * Real(level.height) * (s.lower_inside * lower - s.upper_inside * upper);
  return g;
}

}  // namespace pading_ops
