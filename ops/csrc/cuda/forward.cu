#include "common.cuh"

namespace pading_ops {
namespace {

template <typename T, int Vec, int Lanes>
__global__ void __launch_bounds__(kThreads) forward_kernel(CudaForward a) {
  using Real = typename RealOf<T>::type;
  extern __shared__ Level levels[];
  const Problem& p = a.sizes;
  read_levels(a.spatial_shapes, a.level_start_index, p, levels);

  const int lane = threadIdx.x % Lanes;
  const int64_t units = p.B * p.Q * p.M;
  const int64_t wanted = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / Lanes;
  // Threads beyond the end go along for the shuffles, and store nothing.
  const bool exists = wanted < units;
  const int64_t unit = exists ? wanted : units - 1;  // (b * Q + q) * M + m
  const int64_t b = unit / (p.Q * p.M), m = unit % p.M;
  const int64_t stride = p.M * p.D;
  const int points = int(p.points());
  const T* value = static_cast<const T*>(a.value) + b * p.S * stride + m * p.D;
  const Real* locations = static_cast<const Real*>(a.locations) + unit * points * 2;
  const Real* attention = static_cast<const Real*>(a.attention) + unit * points;
  T* output = static_cast<T*>(a.output) + unit * p.D;

  // One round for the common widths; all threads of the warp take part in every round.
  for (int64_t first = 0; first < p.D; first += Vec * Lanes) {
    const int64_t channel = first + lane * Vec;
    const bool active = exists && channel < p.D;
    Real sum[Vec] = {};
    for (int base = 0; base < points; base += Lanes) {
      const int point = base + lane;
      const OwnPoint<Real> own =
          own_point(locations, attention, levels, p.P, point, point < points);
      const Corners<Real> mine = corners_of(own.sample, own.attention);
      const int here = min(Lanes, points - base);
#pragma unroll
      for (int j = 0; j < Lanes; ++j) {
        if (j >= here) break;
        const Corners<Real> c = broadcast<Lanes>(mine, j);
        if (c.row >= 0 && active) {
          const T* pixel = value + c.row * stride + channel;
          const int64_t right = c.right * stride, down = c.down * stride;
          Real ul[Vec], ur[Vec], ll[Vec], lr[Vec];
          load(pixel, ul);
          load(pixel + right, ur);
          load(pixel + down, ll);
          load(pixel + down + right, lr);
#pragma unroll
          for (int v = 0; v < Vec; ++v)
            sum[v] += c.upper_left * ul[v] + c.upper_right * ur[v] + c.lower_left * ll[v] +
                      c.lower_right * lr[v];
        }
      }
    }
    if (active) store(output + channel, sum);
  }
}

template <typename T>
struct Forward {
  const CudaForward& a;
  cudaStream_t stream;

  template <int Vec, int Lanes>
  cudaError_t launch() {
    const size_t shared = a.sizes.L * sizeof(Level);
    forward_kernel<T, Vec, Lanes><<<blocks_for(a.sizes, Lanes), kThreads, shared, stream>>>(a);
    return cudaGetLastError();
  }
};

template <typename T>
cudaError_t forward(const CudaForward& a, cudaStream_t stream) {
  return with_layout<T>(a.sizes.D, aligned(a.value) && aligned(a.output), Forward<T>{a, stream});
}

}  // namespace

cudaError_t launch_forward(const CudaForward& a, Dtype dtype, cudaStream_t stream) {
  return with_type(dtype, [&](auto element) { return forward<decltype(element)>(a, stream); });
}

}  // namespace pading_ops
