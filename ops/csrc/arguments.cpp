#include "arguments.h"

#include <c10/util/Exception.h>

#include <initializer_list>
#include <limits>

namespace pading_ops {

namespace {

void check_shape(const char* name, const char* letters, const at::Tensor& t,
                 std::initializer_list<int64_t> expected) {
  const at::IntArrayRef shape(expected);
  TORCH_CHECK_VALUE(t.sizes() == shape, name, ": expected shape ", letters, " = ", shape, ", got ",
                    t.sizes());
}

void check_like_value(const char* name, const at::Tensor& t, const at::Tensor& value,
                      at::ScalarType expected) {
  TORCH_CHECK_TYPE(t.scalar_type() == expected, name, ": expected ", expected,
                   " beside a value of type ", value.scalar_type(), ", got ", t.scalar_type());
  TORCH_CHECK_VALUE(t.device() == value.device(), name, ": expected on ", value.device(),
                    ", where value is, got ", t.device());
}

Dtype dtype_of(const at::Tensor& value) {
  switch (value.scalar_type()) {
    case at::kFloat:
      return Dtype::kFloat32;
    case at::kDouble:
      return Dtype::kFloat64;
    case at::kHalf:
      return Dtype::kFloat16;
    case at::kBFloat16:
      return Dtype::kBFloat16;
    default:
      TORCH_CHECK_TYPE(false, "value: expected float32, float64, float16 or bfloat16, got ",
                       value.scalar_type());
  }
}

}  // namespace

Call check_arguments(const at::Tensor& value, const at::Tensor& spatial_shapes,
                     const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                     const at::Tensor& attention_weights) {
  TORCH_CHECK_VALUE(value.dim() == 4, "value: expected 4 dimensions (B, S, M, D), got shape ",
                    value.sizes());
  TORCH_CHECK_VALUE(spatial_shapes.dim() == 2 && spatial_shapes.size(1) == 2,
                    "spatial_shapes: expected shape (L, 2), each row (height, width), got ",
                    spatial_shapes.sizes());
  TORCH_CHECK_VALUE(sampling_locations.dim() == 6,
                    "sampling_locations: expected 6 dimensions (B, Q, M, L, P, 2), got shape ",
                    sampling_locations.sizes());

  Call call;
  call.dtype = dtype_of(value);
  call.small_type = value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  Problem& p = call.sizes;
  p.B = value.size(0);
  p.S = value.size(1);
  p.M = value.size(2);
  p.D = value.size(3);
  p.L = spatial_shapes.size(0);
  p.Q = sampling_locations.size(1);
  p.P = sampling_locations.size(4);

  check_shape("level_start_index", "(L,)", level_start_index, {p.L});
  check_shape("sampling_locations", "(B, Q, M, L, P, 2)", sampling_locations,
              {p.B, p.Q, p.M, p.L, p.P, 2});
  check_shape("attention_weights", "(B, Q, M, L, P)", attention_weights, {p.B, p.Q, p.M, p.L, p.P});
  check_like_value("spatial_shapes", spatial_shapes, value, at::kLong);
  check_like_value("level_start_index", level_start_index, value, at::kLong);
  check_like_value("sampling_locations", sampling_locations, value, call.small_type);
  check_like_value("attention_weights", attention_weights, value, call.small_type);
  TORCH_CHECK_VALUE(p.S <= std::numeric_limits<int32_t>::max(),
                    "value: expected fewer than 2^31 rows (S), got ", p.S);
  return call;
}

void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value,
                       const Problem& sizes) {
  check_shape("grad_output", "(B, Q, M * D)", grad_output, {sizes.B, sizes.Q, sizes.M * sizes.D});
  check_like_value("grad_output", grad_output, value, value.scalar_type());
}

}  // namespace pading_ops
