#pragma once
#include <ucontext.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

/// Runs small CUDA kernels on a CPU, block after block, for tests on machines without a GPU: what
/// kernels of apps/ladder use of the language, and no more. The threads of a block are fibers of
/// one thread, which change places where they meet (__syncthreads).

#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block runs at a time
#define __launch_bounds__(threads)

struct dim3 {  // NOLINT(readability-identifier-naming): CUDA's name
  unsigned x, y, z;
  constexpr dim3(unsigned x_extent = 1, unsigned y_extent = 1, unsigned z_extent = 1)
      : x(x_extent), y(y_extent), z(z_extent) {}
};

namespace cuda_on_cpu {

/// The fibers of a block.
class Block {
 public:
  void run(unsigned threads, const std::function<void()>& body) {
    body_ = &body;
    fibers_.resize(threads);
    for (Fiber& fiber : fibers_) {
      prepare(fiber);
    }
    current() = this;
    for (bool alive = true; alive;) {
      alive = false;
      for (running_ = 0; running_ < threads; ++running_) {
        if (!fibers_[running_].done) {
          swapcontext(&scheduler_, &fibers_[running_].context);
          alive = alive || !fibers_[running_].done;
        }
      }
    }
  }
  void wait() { swapcontext(&fibers_[running_].context, &scheduler_); }
  unsigned running() const { return running_; }

  static Block*& current() {
    static Block* block = nullptr;
    return block;
  }

 private:
  static constexpr std::size_t kStack = 64 * 1024;
  struct Fiber {
    ucontext_t context{};
    std::unique_ptr<char[]> stack;
    bool done = false;
  };
  // Apart, as getcontext returns twice for the compiler.
  [[gnu::noinline]] void prepare(Fiber& fiber) {
    if (fiber.stack == nullptr) {
      fiber.stack = std::make_unique<char[]>(kStack);
    }
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &scheduler_;
    fiber.done = false;
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&Block::enter), 0);
  }
  static void enter() {
    Block& block = *current();
    (*block.body_)();
    block.fibers_[block.running_].done = true;
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<Fiber> fibers_{};
  ucontext_t scheduler_{};
  unsigned running_ = 0;
};

inline dim3 block_index, block_extent;  // of the block that runs

inline dim3 thread_index() {
  const unsigned i = Block::current()->running();
  return {i % block_extent.x, i / block_extent.x, 0};
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, const Arguments&... arguments) {
  Block fibers;
  block_extent = block;
  for (block_index.z = 0; block_index.z < grid.z; ++block_index.z) {
    for (block_index.y = 0; block_index.y < grid.y; ++block_index.y) {
      for (block_index.x = 0; block_index.x < grid.x; ++block_index.x) {
        fibers.run(block.x * block.y, [&] { kernel(arguments...); });
      }
    }
  }
}

}  // namespace cuda_on_cpu

#define threadIdx (cuda_on_cpu::thread_index())
#define blockIdx (cuda_on_cpu::block_index)
#define blockDim (cuda_on_cpu::block_extent)

inline void __syncthreads() { cuda_on_cpu::Block::current()->wait(); }

/// Tensor cores: each thread of a warp holds, and computes, all of a tile.
namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision {
struct tf32 {};
}  // namespace precision
enum layout_t { mem_row_major };

template <class Use, int kRows, int kColumns, int kTerms, class Type, class Layout = row_major>
struct fragment {
  static constexpr int kFirst = std::is_same_v<Use, matrix_b> ? kTerms : kRows;
  static constexpr int kSecond = std::is_same_v<Use, matrix_a> ? kTerms : kColumns;
  static constexpr int num_elements = kFirst * kSecond;
  float x[num_elements];
};

template <class Fragment>
void fill_fragment(Fragment& tile, float value) {
  std::fill(std::begin(tile.x), std::end(tile.x), value);
}

template <class Use, int kRows, int kColumns, int kTerms, class Type, class Layout>
void load_matrix_sync(fragment<Use, kRows, kColumns, kTerms, Type, Layout>& tile, const float* from,
                      unsigned pitch) {
  for (int i = 0; i < tile.kFirst; ++i) {
    for (int j = 0; j < tile.kSecond; ++j) {
      const auto [a, b] = std::is_same_v<Layout, row_major> ? std::pair(i, j) : std::pair(j, i);
      tile.x[i * tile.kSecond + j] = from[a * static_cast<int>(pitch) + b];
    }
  }
}

template <class Sums, class Left, class Right>
void mma_sync(Sums& result, const Left& left, const Right& right, const Sums& sums) {
  for (int i = 0; i < Left::kFirst; ++i) {
    for (int j = 0; j < Right::kSecond; ++j) {
      float sum = sums.x[i * Right::kSecond + j];
      for (int k = 0; k < Left::kSecond; ++k) {
        sum += left.x[i * Left::kSecond + k] * right.x[k * Right::kSecond + j];
      }
      result.x[i * Right::kSecond + j] = sum;
    }
  }
}

template <class Sums>
void store_matrix_sync(float* to, const Sums& sums, unsigned pitch, layout_t /*layout*/) {
  for (int i = 0; i < Sums::num_elements; ++i) {
    to[i / Sums::kSecond * static_cast<int>(pitch) + i % Sums::kSecond] = sums.x[i];
  }
}

inline float __float_to_tf32(float value) {
  const auto raw = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((raw + 0xfffU + ((raw >> 13) & 1U)) & ~0x1fffU);
}

}  // namespace nvcuda::wmma
