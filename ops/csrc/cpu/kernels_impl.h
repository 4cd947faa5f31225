// The CPU kernels, for the instruction set that the including file is compiled for: PADING_ISA
// names the namespace, PADING_TABLE the table of functions, PADING_VECTOR_BYTES the width of a
// register.
//
// A query's points are located for all heads in one vectorised loop; then each head gathers its
// four corners, D channels at a time. Heads of 8, 16, 32 and 64 channels live in registers; other
// widths go through D in blocks.

#include "kernels.h"

namespace pading_ops {
namespace PADING_ISA {
namespace {

#include "backward.h"
#include "forward.h"

// Calls f(Width) with the widest fitting code for heads of D channels.
template <typename Real, typename F>
PADING_INLINE void with_width(int64_t D, F f) {
  constexpr int Lanes = kLanes<Real>;
  constexpr int Lanes8 = Lanes < 8 ? Lanes : 8;
  switch (D) {
    case 8:
      return f(Width<Lanes8, 8 / Lanes8>());
    case 16:
      return f(Width<Lanes, 16 / Lanes>());
    case 32:
      return f(Width<Lanes, 32 / Lanes>());
    case 64:
      return f(Width<Lanes, 64 / Lanes>());
    default:
      return f(Width<Lanes, 0>());
  }
}

template <typename T>
void forward_any(const ForwardArguments& a, int64_t begin, int64_t end, char* scratch) {
  with_width<typename RealOf<T>::type>(
      a.sizes.D, [&](auto width) { forward<T, decltype(width)>(a, begin, end, scratch); });
}

template <typename T>
void backward_any(const BackwardArguments& a, int64_t begin, int64_t end, char* scratch) {
  with_width<typename RealOf<T>::type>(
      a.channels, [&](auto width) { backward<T, decltype(width)>(a, begin, end, scratch); });
}

}  // namespace
}  // namespace PADING_ISA

#define PADING_STRING_OF(name) #name
#define PADING_STRING(name) PADING_STRING_OF(name)
const CpuKernels PADING_TABLE = {
    PADING_STRING(PADING_ISA),
    {PADING_ISA::forward_any<float>, PADING_ISA::forward_any<double>,
     PADING_ISA::forward_any<PADING_ISA::Half>, PADING_ISA::forward_any<PADING_ISA::BFloat16>},
    {PADING_ISA::backward_any<float>, PADING_ISA::backward_any<double>,
     PADING_ISA::backward_any<PADING_ISA::Half>, PADING_ISA::backward_any<PADING_ISA::BFloat16>},
};

}  // namespace pading_ops
