// The sizes of one call, shared by the kernels and their wrappers.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define PADING_BOTH_SIDES __host__ __device__
#else
#define PADING_BOTH_SIDES
#endif

namespace pading_ops {

enum class Dtype { kFloat32, kFloat64, kFloat16, kBFloat16 };
constexpr int kNumDtypes = 4;

// value (B, S, M, D), sampling_locations (B, Q, M, L, P, 2), attention_weights (B, Q, M, L, P).
struct Problem {
  int64_t B, S, M, D, Q, L, P;
  PADING_BOTH_SIDES int64_t points() const { return L * P; }
};

}  // namespace pading_ops
