#include "common.cuh"

namespace pading_ops {
namespace {

// Adds Vec neighbouring numbers to memory that other threads add to as well.
template <int Vec, typename Real>
__device__ __forceinline__ void atomic_add(Real* to, const Real (&x)[Vec], Real weight) {
#if __CUDA_ARCH__ >= 900
  constexpr bool kVectors = Vec % 4 == 0 && sizeof(Real) == 4;
#else
  constexpr bool kVectors = false;
#endif
  if constexpr (kVectors) {
#pragma unroll
    for (int v = 0; v < Vec; v += 4)
      asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + v),
                   "f"(weight * x[v]), "f"(weight * x[v + 1]), "f"(weight * x[v + 2]),
                   "f"(weight * x[v + 3])
                   : "memory");
  } else {
#pragma unroll
    for (int v = 0; v < Vec; ++v) atomicAdd(to + v, weight * x[v]);
  }
}

// Sums each of the Count items over the group's threads; afterwards, thread t holds those of item t
// % Count in items[0]. While more threads than items are left, both sides of a step keep the sum;
// then each keeps half of the items.
template <int Lanes, int Count, typename Real>
__device__ __forceinline__ void sum_and_deal(Real (&items)[Count][4], int lane) {
#pragma unroll
  for (int step = Lanes / 2; step >= 1; step /= 2) {
    if (step >= Count) {
#pragma unroll
      for (int i = 0; i < Count; ++i)
#pragma unroll
        for (int k = 0; k < 4; ++k) items[i][k] += __shfl_xor_sync(kWarp, items[i][k], step, Lanes);
    } else {
      const bool upper = lane & step;
#pragma unroll
      for (int i = 0; i < Count / 2; ++i) {
        if (i >= step) break;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const Real keep = upper ? items[i + step][k] : items[i][k];
          const Real give = upper ? items[i][k] : items[i + step][k];
          items[i][k] = keep + __shfl_xor_sync(kWarp, give, step, Lanes);
        }
      }
    }
  }
}

template <typename T, int Vec, int Lanes>
__global__ void __launch_bounds__(kThreads) backward_kernel(CudaBackward a) {
  using Real = typename RealOf<T>::type;
  // Points per round: all of them wait in registers, four dot products each.
  constexpr int Count = Lanes < 8 ? Lanes : 8;
  extern __shared__ Level levels[];
  const Problem& p = a.sizes;
  read_levels(a.spatial_shapes, a.level_start_index, p, levels);

  const int lane = threadIdx.x % Lanes;
  const int64_t units = p.B * p.Q * p.M;
  const int64_t wanted = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / Lanes;
  const bool exists = wanted < units;
  const int64_t unit = exists ? wanted : units - 1;
  const int64_t b = unit / (p.Q * p.M), m = unit % p.M;
  const int64_t stride = p.M * p.D;
  const int points = int(p.points());
  const int64_t head = b * p.S * stride + m * p.D;
  const T* value = static_cast<const T*>(a.value) + head;
  Real* grad_value = static_cast<Real*>(a.grad_value) + head;
  const T* grad_output = static_cast<const T*>(a.grad_output) + unit * p.D;
  const int64_t small = unit * points;
  const Real* locations = static_cast<const Real*>(a.locations) + 2 * small;
  const Real* attention = static_cast<const Real*>(a.attention) + small;
  Real* grad_locations = static_cast<Real*>(a.grad_locations) + 2 * small;
  Real* grad_attention = static_cast<Real*>(a.grad_attention) + small;

  for (int base = 0; base < points; base += Count) {
    const int point = base + lane % Count;
    const OwnPoint<Real> own = own_point(locations, attention, levels, p.P, point, point < points);
    const Corners<Real> mine = corners_of(own.sample, own.attention);
    const int here = min(Count, points - base);
    Real dots[Count][4] = {};
    for (int64_t first = 0; first < p.D; first += Vec * Lanes) {
      const int64_t channel = first + lane * Vec;
      const bool active = exists && channel < p.D;
      Real grad[Vec] = {};
      if (active) load(grad_output + channel, grad);
#pragma unroll
      for (int j = 0; j < Count; ++j) {
        if (j >= here) break;
        const Corners<Real> c = broadcast<Lanes>(mine, j);
        if (c.row >= 0 && active) {
          const int64_t at = c.row * stride + channel;
          const int64_t corner[4] = {at, at + c.right * stride, at + c.down * stride,
                                     at + (c.down + c.right) * stride};
          const Real weight[4] = {c.upper_left, c.upper_right, c.lower_left, c.lower_right};
          Real pixel[4][Vec];
#pragma unroll
          for (int k = 0; k < 4; ++k) load(value + corner[k], pixel[k]);
#pragma unroll
          for (int k = 0; k < 4; ++k) {
#pragma unroll
            for (int v = 0; v < Vec; ++v) dots[j][k] += grad[v] * pixel[k][v];
            // A corner outside the level has weight 0 and stands on its neighbour.
            if (weight[k] != Real(0)) atomic_add(grad_value + corner[k], grad, weight[k]);
          }
        }
      }
    }
    sum_and_deal<Lanes, Count>(dots, lane);
    if (exists && lane < here) {
      const PointGradient<Real> g = point_gradient(own.sample, own.level, own.attention, dots[0][0],
                                                   dots[0][1], dots[0][2], dots[0][3]);
      const bool touches = own.sample.row >= 0;
      grad_attention[point] = touches ? g.attention : Real(0);
      grad_locations[2 * point] = touches ? g.x : Real(0);
      grad_locations[2 * point + 1] = touches ? g.y : Real(0);
    }
  }
}

template <typename T>
struct Backward {
  const CudaBackward& a;
  cudaStream_t stream;

  template <int Vec, int Lanes>
  cudaError_t launch() {
    const size_t shared = a.sizes.L * sizeof(Level);
    backward_kernel<T, Vec, Lanes><<<blocks_for(a.sizes, Lanes), kThreads, shared, stream>>>(a);
    return cudaGetLastError();
  }
};

template <typename T>
cudaError_t backward(const CudaBackward& a, cudaStream_t stream) {
  const bool vectors = aligned(a.value) && aligned(a.grad_output) && aligned(a.grad_value);
  return with_layout<T>(a.sizes.D, vectors, Backward<T>{a, stream});
}

}  // namespace

cudaError_t launch_backward(const CudaBackward& a, Dtype dtype, cudaStream_t stream) {
  return with_type(dtype, [&](auto element) { return backward<decltype(element)>(a, stream); });
}

}  // namespace pading_ops
