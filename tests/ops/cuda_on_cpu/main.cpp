// Reads calls from standard input, runs both kernels, writes output and gradients.
#include <memory>

#include "cuda/kernels.h"
#include "cuda_runtime.h"

using Block = std::unique_ptr<char, decltype(&free)>;  // exact, for the address sanitizer

static Block allocate(size_t bytes) { return {static_cast<char*>(calloc(1, bytes)), free}; }

static Block read(size_t bytes) {
  Block block = allocate(bytes);
  if (fread(block.get(), 1, bytes, stdin) != bytes) cuda::fail("short input");
  return block;
}

int main() {
  int64_t head[8];
  while (fread(head, 8, 8, stdin) == 8) {
    const pading_ops::Problem p{head[1], head[2], head[3], head[4], head[5], head[6], head[7]};
    const auto dtype = static_cast<pading_ops::Dtype>(head[0]);
    const size_t small = dtype == pading_ops::Dtype::kFloat64 ? 8 : 4;
    const size_t large = dtype < pading_ops::Dtype::kFloat16 ? small : 2;
    const size_t values = p.B * p.S * p.M * p.D, outputs = p.B * p.Q * p.M * p.D;
    const size_t points = p.B * p.Q * p.M * p.points();
    const Block shapes = read(16 * p.L), starts = read(8 * p.L), value = read(values * large),
                locations = read(2 * points * small), attention = read(points * small),
                grad_output = read(outputs * large);
    const Block output = allocate(outputs * large), grad_value = allocate(values * small),
                grad_locations = allocate(2 * points * small),
                grad_attention = allocate(points * small);
    const auto* shape = reinterpret_cast<int64_t*>(shapes.get());
    const auto* start = reinterpret_cast<int64_t*>(starts.get());
    launch_forward({p, shape, start, value.get(), locations.get(), attention.get(), output.get()},
                   dtype, nullptr);
    launch_backward({p, shape, start, grad_output.get(), value.get(), locations.get(),
                     attention.get(), grad_value.get(), grad_locations.get(), grad_attention.get()},
                    dtype, nullptr);
    fwrite(output.get(), large, outputs, stdout);
    fwrite(grad_value.get(), small, values, stdout);
    fwrite(grad_locations.get(), small, 2 * points, stdout);
    fwrite(grad_attention.get(), small, points, stdout);
  }
}
