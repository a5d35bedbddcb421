#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

#include "cks/kernels/common/math.h"

namespace cks::kernels {

/// Threads that parallel_for uses, the caller included. Starts as the number of usable cores.
int num_threads();

/// Sets it; takes effect with the next parallel_for. Results never depend on it.
/// Throws Error if count < 1.
void set_num_threads(int count);

/// Non-owning reference to a callable void(int64_t block); lives no longer than the call.
class BlockBody {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, BlockBody>)
      BlockBody(F&& body)  // NOLINT(bugprone-forwarding-reference-overload): constrained above
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(body)))),
        call_([](void* object, std::int64_t block) {
          (*static_cast<std::remove_reference_t<F>*>(object))(block);
        }) {}
  void operator()(std::int64_t block) const { call_(object_, block); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t);
};

/// Calls body(b) once for each b in [0, blocks), in any order, on any thread of the pool.
///
/// The caller cuts the work into blocks by the problem alone, never by the number of threads, and
/// each block writes memory of its own: then the result is the same for every number of threads.
/// A call from inside a body runs its blocks one after the other on the calling thread.
/// The first exception of a body is thrown to the caller once all running blocks have ended.
/// Different threads may call it at the same time; one of them gets the pool, the others run alone.
void parallel_for(std::int64_t blocks, BlockBody body);

/// Cuts [0, count) into ranges of `grain` elements (the last may be shorter) and calls
/// body(begin, end) for each of them.
template <class F>
void parallel_for_ranges(std::int64_t count, std::int64_t grain, F&& body) {
  const std::int64_t blocks = ceil_div(count, grain);
  parallel_for(blocks, [&](std::int64_t block) {
    const std::int64_t begin = block * grain;
    const std::int64_t end = begin + grain < count ? begin + grain : count;
    body(begin, end);
  });
}

/// The same, index by index: body(i).
template <class F>
void parallel_for_each(std::int64_t count, std::int64_t grain, F&& body) {
  parallel_for_ranges(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      body(i);
    }
  });
}

/// Calls body(n, row) for all rows of N images, each in one block; several rows a block where they
/// are short.
template <class F>
void parallel_for_rows(std::int64_t N, std::int64_t rows, std::int64_t row_elements, F&& body) {
  constexpr std::int64_t kElements = 8192;  // of a block
  const std::int64_t grain = row_elements < 1 ? kElements : ceil_div(kElements, row_elements);
  parallel_for_each(N * rows, grain, [&](std::int64_t i) { body(i / rows, i % rows); });
}

}  // namespace cks::kernels
