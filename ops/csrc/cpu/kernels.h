// What the wrappers know of the CPU kernels: one table of functions for each instruction set.
#pragma once

#include "../geometry.h"
#include "../problem.h"

namespace pading_ops {

struct ForwardArguments {
  Problem sizes;
  const Level* levels;
  const void* value;
  const void* locations;
  const void* attention;
  void* output;
};

struct BackwardArguments {
  Problem sizes;
  const Level* levels;
  const void* grad_output;
  const void* value;
  const void* locations;
  const void* attention;
  void* grad_value;  // zeroed beforehand where it is accumulated in place: float32 and float64
  void* grad_locations;
  void* grad_attention;
};

// A kernel's `scratch` starts at a cache line; the wrapper reckons its size.
struct CpuKernels {
  const char* name;
  // Every (image, query) in [begin, end) of B * Q, with all its heads.
  void (*forward[kNumDtypes])(const ForwardArguments&, int64_t begin, int64_t end, char* scratch);
  // Every (image, head) in [begin, end) of B * M, with all its queries.
  void (*backward[kNumDtypes])(const BackwardArguments&, int64_t begin, int64_t end, char* scratch);
};

extern const CpuKernels kPortableKernels;
#ifdef __x86_64__
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

}  // namespace pading_ops
