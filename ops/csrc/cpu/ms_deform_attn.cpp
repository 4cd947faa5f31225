// The operators on the CPU: checks, outputs, and the split of the work over PyTorch's threads.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "../arguments.h"
#include "kernels.h"

namespace pading_ops {
namespace {

constexpr int64_t kCacheLine = 64;

int64_t real_size(Dtype dtype) { return dtype == Dtype::kFloat64 ? 8 : 4; }

// What a kernel takes for a block of points, each part rounded up to whole cache lines, and for
// `staged` elements.
int64_t scratch_size(const Problem& p, Dtype dtype, int64_t staged) {
  const int64_t points = padded_points(block_queries(p.points()) * p.points()) + kBlockPoints;
  return points * (7 * sizeof(int32_t) + 14 * real_size(dtype)) + staged * real_size(dtype) +
         20 * kCacheLine;
}

// Units of work for which a thread is worth waking: some ten microseconds.
int64_t grain_size(int64_t work_per_unit) { return 1 + 65536 / (work_per_unit + 1); }

// A copy of a row costs as much as what it saves in about sixteen reads, four to a point.
bool pays_to_stage(const Problem& p) { return p.Q * p.points() >= 4 * p.S; }

// How the backward pass shares its scratch among threads, all of it together being less than a
// tenth of the inputs, outputs and gradients. (The forward pass has more room: the gradients come
// later.)
struct BackwardPlan {
  bool staged;
  int64_t channels;  // of a head that are staged at a time
  int64_t grain;     // units of work for a thread, at least
};

BackwardPlan plan_backward(const Problem& p, Dtype dtype, int64_t room) {
  const bool half = dtype == Dtype::kFloat16 || dtype == Dtype::kBFloat16;
  const int64_t real = real_size(dtype), stored = half ? 2 : real;
  const int64_t tensors =
      2 * p.B * p.M * (stored * p.D * (p.S + p.Q) + 3 * real * p.Q * p.points());
  const int64_t budget = std::max<int64_t>(tensors * 3 / 32, 1 << 18);
  const auto bytes = [&](int64_t channels) { return scratch_size(p, dtype, 2 * room * channels); };
  const int64_t units = p.B * p.M, grain = grain_size(p.Q * p.points() * (3 * p.D + 16));
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), (units + grain - 1) / grain);

  // Many threads do without, a sixth slower each.
  if (!half && !(pays_to_stage(p) && threads * bytes(p.D) <= budget)) return {false, p.D, grain};
  // Half types cannot: fewer channels at a time, down to the narrowest that is still a vector.
  int64_t channels = p.D;
  while (threads * bytes(channels) > budget && channels > 8 && (channels & (channels - 1)) == 0)
    channels /= 2;
  const int64_t fitting = std::max<int64_t>(budget / bytes(channels), 1);
  return {true, channels, std::max(grain, (units + fitting - 1) / fitting)};
}

// Cache lines start at the scratch's own.
class AlignedBytes {
 public:
  explicit AlignedBytes(int64_t size) : bytes_(new char[size + kCacheLine]) {}
  char* get() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.get());
    return bytes_.get() + (kCacheLine - address % kCacheLine) % kCacheLine;
  }

 private:
  std::unique_ptr<char[]> bytes_;
};

// The best that the processor has, or the lesser that ATEN_CPU_CAPABILITY asks of PyTorch's own
// kernels as well.
const CpuKernels& choose_kernels() {
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw");
  const char* variable = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string asked = variable ? variable : "";
  if (avx512 && asked != "avx2" && asked != "default") return kAvx512Kernels;
  if (avx2 && asked != "default") return kAvx2Kernels;
#endif
  return kPortableKernels;
}

const CpuKernels& kernels() {
  static const CpuKernels& chosen = choose_kernels();
  return chosen;
}

std::string kernels_name() { return kernels().name; }

// Reads the levels and checks that they fill the S rows one after the other.
std::vector<Level> read_levels(const at::Tensor& spatial_shapes,
                               const at::Tensor& level_start_index, const Problem& p) {
  const at::Tensor shapes = spatial_shapes.contiguous(), starts = level_start_index.contiguous();
  const int64_t* shape = shapes.const_data_ptr<int64_t>();
  const int64_t* start = starts.const_data_ptr<int64_t>();
  std::vector<Level> levels;
  int64_t rows = 0;
  for (int64_t l = 0; l < p.L; ++l) {
    const int64_t height = shape[2 * l], width = shape[2 * l + 1];
    TORCH_CHECK_VALUE(height >= 0 && width >= 0 && (width == 0 || height <= p.S / width),
                      "spatial_shapes: level ", l, " is ", height, " x ", width,
                      ", which does not fit the ", p.S, " rows of value");
    TORCH_CHECK_VALUE(start[l] == rows, "level_start_index: expected ", rows, " for level ", l,
                      " (the sizes of the levels before it), got ", start[l]);
    levels.push_back({int32_t(height), int32_t(width), int32_t(rows)});
    rows += height * width;
    TORCH_CHECK_VALUE(rows <= p.S, "spatial_shapes: the levels' sizes sum to more than the ", p.S,
                      " rows of value");
  }
  TORCH_CHECK_VALUE(rows == p.S, "spatial_shapes: the levels' sizes sum to ", rows,
                    ", expected the number of rows of value, ", p.S);
  return levels;
}

at::Tensor forward(const at::Tensor& value, const at::Tensor& spatial_shapes,
                   const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                   const at::Tensor& attention_weights) {
  const Call call = check_arguments(value, spatial_shapes, level_start_index, sampling_locations,
                                    attention_weights);
  const Problem& p = call.sizes;
  const std::vector<Level> levels = read_levels(spatial_shapes, level_start_index, p);
  const at::Tensor values = value.contiguous(), locations = sampling_locations.contiguous(),
                   attention = attention_weights.contiguous();
  at::Tensor output = at::empty({p.B, p.Q, p.M * p.D}, value.options());
  if (output.numel() == 0) return output;

  // Staged heads are the units of work: there must be one for each thread.
  const bool staged = pays_to_stage(p) && p.B * p.M >= at::get_num_threads();
  const ForwardArguments arguments{p,
                                   levels.data(),
                                   values.const_data_ptr(),
                                   locations.const_data_ptr(),
                                   attention.const_data_ptr(),
                                   output.mutable_data_ptr(),
                                   staged};
  const auto kernel = kernels().forward[int(call.dtype)];
  const int64_t units = p.B * (staged ? p.M : p.Q);
  const int64_t work = p.B * p.Q * p.M * p.points() * (p.D + 8) / units;
  at::parallel_for(0, units, grain_size(work), [&](int64_t begin, int64_t end) {
    AlignedBytes scratch(scratch_size(p, call.dtype, staged ? p.S * p.D : 0));
    kernel(arguments, begin, end, scratch.get());
  });
  return output;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_output,
                                                        const at::Tensor& value,
                                                        const at::Tensor& spatial_shapes,
                                                        const at::Tensor& level_start_index,
                                                        const at::Tensor& sampling_locations,
                                                        const at::Tensor& attention_weights) {
  const Call call = check_arguments(value, spatial_shapes, level_start_index, sampling_locations,
                                    attention_weights);
  const Problem& p = call.sizes;
  check_grad_output(grad_output, value, p);
  const std::vector<Level> levels = read_levels(spatial_shapes, level_start_index, p);
  const at::Tensor grads = grad_output.contiguous(), values = value.contiguous(),
                   locations = sampling_locations.contiguous(),
                   attention = attention_weights.contiguous();
  int64_t room = 0;
  for (const Level& level : levels) room = std::max(room, level_rows(level));
  const BackwardPlan plan = plan_backward(p, call.dtype, room);
  // Without queries no kernel runs.
  at::Tensor grad_value = plan.staged && p.Q > 0 ? at::empty_like(values) : at::zeros_like(values);
  at::Tensor grad_locations = at::empty_like(locations), grad_attention = at::empty_like(attention);
  if (p.B * p.Q * p.M > 0) {
    const BackwardArguments arguments{p,
                                      levels.data(),
                                      grads.const_data_ptr(),
                                      values.const_data_ptr(),
                                      locations.const_data_ptr(),
                                      attention.const_data_ptr(),
                                      grad_value.mutable_data_ptr(),
                                      grad_locations.mutable_data_ptr(),
                                      grad_attention.mutable_data_ptr(),
                                      plan.staged,
                                      room,
                                      plan.channels};
    const auto kernel = kernels().backward[int(call.dtype)];
    const int64_t staged = plan.staged ? 2 * room * plan.channels : 0;
    at::parallel_for(0, p.B * p.M, plan.grain, [&](int64_t begin, int64_t end) {
      AlignedBytes scratch(scratch_size(p, call.dtype, staged));
      kernel(arguments, begin, end, scratch.get());
    });
  }
  return {grad_value, grad_locations, grad_attention};
}

}  // namespace

// Takes no tensor, so it belongs to no device.
TORCH_LIBRARY_IMPL(pading_ops, CompositeImplicitAutograd, m) {
  m.impl("cpu_kernels", kernels_name);
}

TORCH_LIBRARY_IMPL(pading_ops, CPU, m) {
  m.impl("ms_deform_attn", forward);
  m.impl("ms_deform_attn_backward", backward);
}

}  // namespace pading_ops
