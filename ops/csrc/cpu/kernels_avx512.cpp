// Compiled for AVX512 whatever the compiler's flags; chosen at run time where the processor has it.
// Every such processor has prfchw, the fetch of a line that will be written.
#ifdef __x86_64__
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                           \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c,prfchw"))), \
    apply_to = function)
#else
#pragma GCC target( \
    "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c,prfchw,prefer-vector-width=512")
#endif
#define PADING_ISA avx512
#define PADING_TABLE kAvx512Kernels
#define PADING_VECTOR_BYTES 64
#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
