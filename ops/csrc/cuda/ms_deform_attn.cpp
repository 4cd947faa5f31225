// The operators on CUDA: checks, outputs, device and stream.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

#include "../arguments.h"
#include "kernels.h"

namespace pading_ops {
namespace {

// What the kernels count in 32 bits; only absurd sizes reach these limits.
void check_limits(const Problem& p) {
  TORCH_CHECK_VALUE(p.L <= 1024, "spatial_shapes: expected at most 1024 levels on CUDA, got ", p.L);
  TORCH_CHECK_VALUE(p.points() <= std::numeric_limits<int32_t>::max() / 2,
                    "sampling_locations: expected fewer than 2^30 points per head on CUDA, got ",
                    p.points());
  // A block serves at least 16 heads, and a grid has fewer than 2^31 blocks.
  TORCH_CHECK_VALUE(p.B * p.Q * p.M <= int64_t(std::numeric_limits<int32_t>::max()) * 16,
                    "sampling_locations: expected B * Q * M below 2^35 on CUDA, got ",
                    p.B * p.Q * p.M);
}

at::Tensor forward(const at::Tensor& value, const at::Tensor& spatial_shapes,
                   const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                   const at::Tensor& attention_weights) {
  const Call call = check_arguments(value, spatial_shapes, level_start_index, sampling_locations,
                                    attention_weights);
  const Problem& p = call.sizes;
  check_limits(p);
  const c10::cuda::CUDAGuard guard(value.device());
  const at::Tensor values = value.contiguous(), locations = sampling_locations.contiguous(),
                   attention = attention_weights.contiguous(), shapes = spatial_shapes.contiguous(),
                   starts = level_start_index.contiguous();
  at::Tensor output = at::empty({p.B, p.Q, p.M * p.D}, value.options());
  if (output.numel() == 0) return output;
  const CudaForward arguments{p,
                              shapes.const_data_ptr<int64_t>(),
                              starts.const_data_ptr<int64_t>(),
                              values.const_data_ptr(),
                              locations.const_data_ptr(),
                              attention.const_data_ptr(),
                              output.mutable_data_ptr()};
  C10_CUDA_CHECK(launch_forward(arguments, call.dtype, c10::cuda::getCurrentCUDAStream()));
  return output;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_output,
                                                        const at::Tensor& value,
                                                        const at::Tensor& spatial_shapes,
                                                        const at::Tensor& level_start_index,
                                                        const at::Tensor& sampling_locations,
                                                        const at::Tensor& attention_weights) {
  // Several queries add to one pixel in an order that differs from run to run.
  at::globalContext().alertNotDeterministic("ms_deform_attn_backward_cuda");
  const Call call = check_arguments(value, spatial_shapes, level_start_index, sampling_locations,
                                    attention_weights);
  const Problem& p = call.sizes;
  check_grad_output(grad_output, value, p);
  check_limits(p);
  const c10::cuda::CUDAGuard guard(value.device());
  const at::Tensor grads = grad_output.contiguous(), values = value.contiguous(),
                   locations = sampling_locations.contiguous(),
                   attention = attention_weights.contiguous(), shapes = spatial_shapes.contiguous(),
                   starts = level_start_index.contiguous();
  // Half types are summed in float32 and rounded once.
  const at::Tensor grad_value = at::zeros(values.sizes(), values.options().dtype(call.small_type));
  at::Tensor grad_locations = at::empty_like(locations), grad_attention = at::empty_like(attention);
  if (p.B * p.Q * p.M > 0) {
    const CudaBackward arguments{p,
                                 shapes.const_data_ptr<int64_t>(),
                                 starts.const_data_ptr<int64_t>(),
                                 grads.const_data_ptr(),
                                 values.const_data_ptr(),
                                 locations.const_data_ptr(),
                                 attention.const_data_ptr(),
                                 grad_value.mutable_data_ptr(),
                                 grad_locations.mutable_data_ptr(),
                                 grad_attention.mutable_data_ptr()};
    C10_CUDA_CHECK(launch_backward(arguments, call.dtype, c10::cuda::getCurrentCUDAStream()));
  }
  return {grad_value.to(value.scalar_type()), grad_locations, grad_attention};
}

}  // namespace

TORCH_LIBRARY_IMPL(pading_ops, CUDA, m) {
  m.impl("ms_deform_attn", forward);
  m.impl("ms_deform_attn_backward", backward);
}

}  // namespace pading_ops
