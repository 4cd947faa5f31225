// What the CUDA kernels use of CUDA, on the CPU: the threads of a block are fibers, run in random
// order, that meet in shuffles and barriers as on a GPU. Any misuse of those ends the process.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <random>
#include <vector>

#define __CUDACC__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define threadIdx (cuda::ids.thread)
#define blockIdx (cuda::ids.block)
#define blockDim (cuda::ids.threads)
#define __syncthreads() cuda::synchronise()

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidValue };
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline int min(int a, int b) { return a < b ? a : b; }

namespace cuda {

enum State { kReady, kShuffle, kBarrier, kExited };
struct Number {
  unsigned x;
};
struct Ids {
  Number thread, block, threads;
};
struct Shuffle {
  unsigned mask;
  int line, bytes, width, from;  // from: the lane in the warp
  char sent[8];
};
struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(256 << 10);
  State state;
  Shuffle shuffle;
};

inline Ids ids;
inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline const std::function<void()>* kernel;
inline std::mt19937 random;
inline char* shared = nullptr;

[[noreturn]] inline void fail(const char* what, int line = 0) {
  fprintf(stderr, "%s (line %d, block %u, thread %u)\n", what, line, ids.block.x, ids.thread.x);
  exit(1);
}

inline Fiber& self() { return fibers[ids.thread.x]; }
inline void pause() { swapcontext(&self().context, &scheduler); }

inline void wake(State state, size_t from, size_t to) {
  for (size_t t = from; t < to; ++t)
    if (fibers[t].state == state) fibers[t].state = kReady;
}

inline void synchronise() {
  self().state = kBarrier;
  size_t here = 0;
  for (const Fiber& f : fibers) {
    if (f.state == kExited) fail("barrier: a thread has exited");
    here += f.state == kBarrier;
  }
  if (here == fibers.size()) wake(kBarrier, 0, here);
  pause();
}

// All lanes that the mask names must arrive, at the same line with the same mask, type and width.
template <typename T>
T shuffle(unsigned mask, T x, int from, int width, int line) {
  const unsigned thread = ids.thread.x, lane = thread % 32, first = thread - lane;
  Shuffle& mine = self().shuffle;
  mine = {mask, line, sizeof(T), width, from, {}};
  memcpy(mine.sent, &x, sizeof(T));
  if (!(mask >> lane & 1)) fail("shuffle: the mask lacks the lane itself", line);
  if (from / width != int(lane) / width) fail("shuffle: reads another group's lane", line);
  if (!(mask >> from & 1)) fail("shuffle: reads a lane that the mask lacks", line);
  self().state = kShuffle;
  bool complete = true;
  for (unsigned l = 0; l < 32; ++l) {
    if (!(mask >> l & 1)) continue;
    const Fiber& f = fibers.at(first + l);
    if (f.state == kExited || f.state == kBarrier) fail("shuffle: a lane does not come", line);
    complete = complete && f.state == kShuffle;
    if (f.state == kShuffle && (f.shuffle.line != line || f.shuffle.mask != mask ||
                                f.shuffle.bytes != mine.bytes || f.shuffle.width != width))
      fail("shuffle: lanes meet in different shuffles", line);
  }
  // Nobody overwrites what it sent before everybody has read it.
  static std::vector<char> received(1024 * 8);
  if (complete) {
    for (unsigned l = 0; l < 32; ++l)
      if (mask >> l & 1)
        memcpy(&received[8 * (first + l)],
               fibers[first + fibers[first + l].shuffle.from].shuffle.sent, sizeof(T));
    wake(kShuffle, first, first + 32);
  }
  pause();
  memcpy(&x, &received[8 * thread], sizeof(T));
  return x;
}

inline void run_fiber() {
  (*kernel)();
  self().state = kExited;
  pause();
}

inline void launch(int64_t blocks, int threads, size_t bytes, std::function<void()> body) {
  if (blocks < 1 || blocks > INT32_MAX) fail("launch: number of blocks");
  kernel = &body;
  fibers.resize(threads);
  for (int64_t block = 0; block < blocks; ++block) {
    shared = static_cast<char*>(malloc(bytes));  // exact: the address sanitizer watches its ends
    memset(shared, 0x7f, bytes);
    for (Fiber& f : fibers) {
      getcontext(&f.context);
      f.context.uc_stack.ss_sp = f.stack.data();
      f.context.uc_stack.ss_size = f.stack.size();
      f.context.uc_link = nullptr;
      makecontext(&f.context, run_fiber, 0);
      f.state = kReady;
    }
    for (std::vector<unsigned> ready;;) {
      ready.clear();
      for (int t = 0; t < threads; ++t)
        if (fibers[t].state == kReady) ready.push_back(t);
      if (ready.empty()) break;
      std::shuffle(ready.begin(), ready.end(), random);
      for (unsigned t : ready) {
        ids = {{t}, {unsigned(block)}, {unsigned(threads)}};
        swapcontext(&scheduler, &fibers[t].context);
      }
    }
    for (const Fiber& f : fibers)
      if (f.state != kExited) fail("deadlock");
    free(shared);
  }
}

inline void add_four(float* to, float a, float b, float c, float d) {
  if (uintptr_t(to) % 16 != 0) fail("red.v4: misaligned");
  to[0] += a, to[1] += b, to[2] += c, to[3] += d;
}

}  // namespace cuda

template <typename T>
T __shfl_sync(unsigned mask, T x, int from, int width, int line = __builtin_LINE()) {
  const int lane = cuda::ids.thread.x % 32;
  return cuda::shuffle(mask, x, (lane & ~(width - 1)) + from, width, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T x, int lanes, int width, int line = __builtin_LINE()) {
  return cuda::shuffle(mask, x, int(cuda::ids.thread.x % 32) ^ lanes, width, line);
}
template <typename T>
void atomicAdd(T* to, T x) {
  *to += x;
}

struct __half {
  _Float16 x;
};
inline float __half2float(__half h) { return h.x; }
inline __half __float2half_rn(float f) { return {_Float16(f)}; }

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 h) {
  const uint32_t bits = uint32_t(h.bits) << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}
inline __nv_bfloat16 __float2bfloat16_rn(float f) {  // no NaN here
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
