// What the forward and the backward kernel share: how threads are laid out, levels, loads, and the
// points' hand-out.
//
// A group of Lanes threads serves one (image, query, head); each thread holds Vec channels, 16
// bytes where the layout allows. Points are located once per group, each by one thread, and handed
// to the others by shuffles.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#undef NDEBUG  // The check of the levels stays in every build.
#include <assert.h>

#include "../geometry.h"
#include "kernels.h"

namespace pading_ops {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kWarp = 0xffffffffu;

template <typename T>
struct RealOf {
  using type = float;
};
template <>
struct RealOf<double> {
  using type = double;
};

__device__ __forceinline__ float to_real(float x) { return x; }
__device__ __forceinline__ double to_real(double x) { return x; }
__device__ __forceinline__ float to_real(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_real(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void from_real(float x, float& to) { to = x; }
__device__ __forceinline__ void from_real(double x, double& to) { to = x; }
__device__ __forceinline__ void from_real(float x, __half& to) { to = __float2half_rn(x); }
__device__ __forceinline__ void from_real(float x, __nv_bfloat16& to) {
  to = __float2bfloat16_rn(x);
}

template <typename T, int Vec>
struct alignas(sizeof(T) * Vec) Pack {
  T items[Vec];
};

template <int Vec, typename T, typename Real>
__device__ __forceinline__ void load(const T* from, Real (&to)[Vec]) {
  const Pack<T, Vec> pack = *reinterpret_cast<const Pack<T, Vec>*>(from);
#pragma unroll
  for (int v = 0; v < Vec; ++v) to[v] = to_real(pack.items[v]);
}

template <int Vec, typename T, typename Real>
__device__ __forceinline__ void store(T* to, const Real (&from)[Vec]) {
  Pack<T, Vec> pack;
#pragma unroll
  for (int v = 0; v < Vec; ++v) from_real(from[v], pack.items[v]);
  *reinterpret_cast<Pack<T, Vec>*>(to) = pack;
}

// Brings the levels into shared memory. The first block checks them: on the host that would mean
// waiting for the GPU.
__device__ __forceinline__ void read_levels(const int64_t* shapes, const int64_t* starts,
                                            const Problem& p, Level* levels) {
  for (int l = threadIdx.x; l < p.L; l += blockDim.x)
    levels[l] = {int32_t(shapes[2 * l]), int32_t(shapes[2 * l + 1]), int32_t(starts[l])};
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    int64_t rows = 0;
    for (int l = 0; l < p.L; ++l) {
      const int64_t height = shapes[2 * l], width = shapes[2 * l + 1];
      assert(height >= 0 && width >= 0 && (width == 0 || height <= (p.S - rows) / width) &&
             "spatial_shapes: expected sizes that sum to the rows of value");
      assert(starts[l] == rows &&
             "level_start_index: expected the sum of the sizes before each level");
      rows += height * width;
    }
    assert(rows == p.S && "spatial_shapes: expected sizes that sum to the rows of value");
  }
  __syncthreads();
}

// One point as its group's other threads need it: corner rows, and bilinear weights times
// attention.
template <typename Real>
struct Corners {
  int32_t row, right, down;  // row < 0: outside
  Real upper_left, upper_right, lower_left, lower_right;
};

template <typename Real>
__device__ __forceinline__ Corners<Real> corners_of(const Sample<Real>& s, Real attention) {
  const Real upper = s.upper_weight * attention, lower = s.lower_weight * attention;
  return {s.row,
          s.right,
          s.down,
          upper * s.left_weight,
          upper * s.right_weight,
          lower * s.left_weight,
          lower * s.right_weight};
}

// The corners that thread `from` of this thread's group holds. The whole warp must call it.
template <int Lanes, typename Real>
__device__ __forceinline__ Corners<Real> broadcast(const Corners<Real>& own, int from) {
  return {__shfl_sync(kWarp, own.row, from, Lanes),
          __shfl_sync(kWarp, own.right, from, Lanes),
          __shfl_sync(kWarp, own.down, from, Lanes),
          __shfl_sync(kWarp, own.upper_left, from, Lanes),
          __shfl_sync(kWarp, own.upper_right, from, Lanes),
          __shfl_sync(kWarp, own.lower_left, from, Lanes),
          __shfl_sync(kWarp, own.lower_right, from, Lanes)};
}

// A point that belongs to this thread; outside every level where there is none.
template <typename Real>
struct OwnPoint {
  Sample<Real> sample;
  Level level;
  Real attention;
};

template <typename Real>
__device__ __forceinline__ OwnPoint<Real> own_point(const Real* locations, const Real* attention,
                                                    const Level* levels, int64_t P, int64_t point,
                                                    bool exists) {
  OwnPoint<Real> own;
  if (exists) {
    own.level = levels[uint32_t(point) / uint32_t(P)];
    own.attention = attention[point];
    own.sample = locate(locations[2 * point], locations[2 * point + 1], own.level);
  } else {
    own.level = {0, 0, 0};
    own.attention = 0;
    own.sample = locate(Real(0), Real(0), own.level);
  }
  return own;
}

inline bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// How the threads are laid out: calls launch<Vec, Lanes>() with the fitting constants.
// `vectors`: every pointer that is read or written in vectors is aligned to 16 bytes.
template <typename T, typename F>
cudaError_t with_layout(int64_t D, bool vectors, F f) {
  constexpr int Vec = 16 / sizeof(T);
  if (!vectors || D % Vec != 0) return f.template launch<1, 8>();
  const int64_t lanes = D / Vec;
  if (lanes <= 1) return f.template launch<Vec, 1>();
  if (lanes <= 2) return f.template launch<Vec, 2>();
  if (lanes <= 4) return f.template launch<Vec, 4>();
  if (lanes <= 8) return f.template launch<Vec, 8>();
  return f.template launch<Vec, 16>();
}

// Calls f with an element of the type that `dtype` names.
template <typename F>
cudaError_t with_type(Dtype dtype, F f) {
  switch (dtype) {
    case Dtype::kFloat32:
      return f(float());
    case Dtype::kFloat64:
      return f(double());
    case Dtype::kFloat16:
      return f(__half());
    case Dtype::kBFloat16:
      return f(__nv_bfloat16());
  }
  return cudaErrorInvalidValue;
}

// Blocks for B * Q * M groups of `lanes` threads.
inline int64_t blocks_for(const Problem& p, int lanes) {
  const int64_t groups = kThreads / lanes;
  return (p.B * p.Q * p.M + groups - 1) / groups;
}

}  // namespace
}  // namespace pading_ops
