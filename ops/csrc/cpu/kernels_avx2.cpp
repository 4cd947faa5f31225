// Compiled for AVX2 whatever the compiler's flags; chosen at run time where the processor has it.
#ifdef __x86_64__
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#define PADING_ISA avx2
#define PADING_TABLE kAvx2Kernels
#define PADING_VECTOR_BYTES 32
#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
