// What the wrappers know of the CUDA kernels. Neither PyTorch's headers nor theirs know of each
// other.
#pragma once

#include <cuda_runtime_api.h>

#include "../problem.h"

namespace pading_ops {

// All pointers are on the device, contiguous.
struct CudaForward {
  Problem sizes;
  const int64_t* spatial_shapes;
  const int64_t* level_start_index;
  const void* value;
  const void* locations;
  const void* attention;
  void* output;
};

struct CudaBackward {
  Problem sizes;
  const int64_t* spatial_shapes;
  const int64_t* level_start_index;
  const void* grad_output;
  const void* value;
  const void* locations;
  const void* attention;
  void* grad_value;  // float64 for float64, else float32; zeroed beforehand
  void* grad_locations;
  void* grad_attention;
};

// Both queue one kernel on the stream and return the launch's error. There must be work to do.
cudaError_t launch_forward(const CudaForward& arguments, Dtype dtype, cudaStream_t stream);
cudaError_t launch_backward(const CudaBackward& arguments, Dtype dtype, cudaStream_t stream);

}  // namespace pading_ops
