// What the wrappers know of the CPU kernels: one table of functions for each instruction set.
#pragma once

#include "../geometry.h"
#include "../problem.h"

namespace pading_ops {

PADING_INLINE int64_t level_rows(const Level& level) { return int64_t(level.height) * level.width; }

// Points are located a block of queries at a time, about as many points as the nearest cache holds
// with all that is reckoned for them.
constexpr int64_t kBlockPoints = 192;

PADING_INLINE int64_t block_queries(int64_t points_per_query) {
  const int64_t fitting = kBlockPoints / (points_per_query > 0 ? points_per_query : 1);
  return fitting > 0 ? fitting : 1;
}

// So many that a loop over vectors of points leaves no rest for a slower loop.
PADING_INLINE int64_t padded_points(int64_t count) { return (count + 15) / 16 * 16; }

// `staged`: a head's rows are first copied side by side into scratch, in float32 where they are of
// a half type. The copy pays where every row is read several times.
struct ForwardArguments {
  Problem sizes;
  const Level* levels;
  const void* value;
  const void* locations;
  const void* attention;
  void* output;
  bool staged;
};

struct BackwardArguments {
  Problem sizes;
  const Level* levels;
  const void* grad_output;
  const void* value;
  const void* locations;
  const void* attention;
  void* grad_value;  // where not staged: zeroed beforehand
  void* grad_locations;
  void* grad_attention;
  bool staged;       // always for half types: their gradients are summed in float32
  int64_t room;      // for the rows of a head that are staged at a time: the largest level's
  int64_t channels;  // of a head that are staged at a time: a divisor of D; D where not staged
};

// A kernel's `scratch` starts at a cache line; the wrapper reckons its size.
struct CpuKernels {
  const char* name;
  // Staged: every (image, head) in [begin, end) of B * M, with all its queries; else every
  // (image, query) of B * Q, with all its heads.
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
