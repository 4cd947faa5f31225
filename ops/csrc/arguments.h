// The checks of the operators' arguments, the same on every device. Nothing here reads a tensor's
// values, so that none of it waits for a GPU.
#pragma once

#include <ATen/core/Tensor.h>

#include "problem.h"

namespace pading_ops {

// A call's sizes and types.
struct Call {
  Problem sizes;
  Dtype dtype;
  at::ScalarType small_type;  // of sampling_locations and attention_weights
};

// Raises ValueError for a wrong shape or device and TypeError for a wrong type; the message names
// the argument.
Call check_arguments(const at::Tensor& value, const at::Tensor& spatial_shapes,
                     const at::Tensor& level_start_index, const at::Tensor& sampling_locations,
                     const at::Tensor& attention_weights);

// The same for the output's gradient, which must be (B, Q, M * D) with value's type and device.
void check_grad_output(const at::Tensor& grad_output, const at::Tensor& value,
                       const Problem& sizes);

}  // namespace pading_ops
