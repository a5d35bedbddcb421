#include <algorithm>
#include <cstddef>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/dropout/dropout.h"
#include "cks/kernels/random/philox.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr int kLanes = 16;             // random blocks drawn side by side, in vector registers
constexpr int kStretch = 4 * kLanes;   // elements that they decide on
constexpr std::int64_t kGrain = 4096;  // elements of a block of work: whole stretches

/// Words 4 * block ... of kLanes neighbouring random blocks, in order: random_block() lane by lane.
void random_words(std::uint64_t key, std::uint64_t step, std::uint64_t block,
                  std::uint32_t* words) {
  PhiloxBlock blocks[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    blocks[lane] = random_block(key, step, block + static_cast<std::uint64_t>(lane));
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    std::copy(blocks[lane].word, blocks[lane].word + 4, words + std::ptrdiff_t{4} * lane);
  }
}

/// `scale` comes by value: read through a reference it might be among the elements written.
template <class T>
void keep_or_drop(const std::uint32_t* words, float threshold, T scale, std::int64_t count,
                  const T* from, T* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const bool kept = to_unit_interval(words[i]) >= threshold;
    to[i] = kept ? from[i] * scale : T{0};
  }
}

}  // namespace

void dropout(const DropoutProblem& problem, const std::int64_t* step, std::int64_t* drawn,
             const void* x, void* y) {
  if (drawn != nullptr) {
    *drawn = *step;
  }
  visit_real("dropout", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* from = static_cast<const T*>(x);
    auto* to = static_cast<T*>(y);
    const auto now = static_cast<std::uint64_t>(*step);
    const auto threshold = static_cast<float>(problem.probability);
    const auto scale = static_cast<T>(1.0 / (1.0 - problem.probability));
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin, count = 0; at < end; at += count) {
        std::uint32_t words[kStretch];
        const std::int64_t word = problem.first + at;
        random_words(problem.key, now, static_cast<std::uint64_t>(word / 4), words);
        count = std::min<std::int64_t>(kStretch - word % 4, end - at);
        keep_or_drop(words + word % 4, threshold, scale, count, from + at, to + at);
      }
    });
  });
}

}  // namespace cks::kernels::CKS_CPU
