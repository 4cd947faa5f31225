#define PADING_ISA portable
#define PADING_TABLE kPortableKernels
#define PADING_VECTOR_BYTES 16
#include "kernels_impl.h"
