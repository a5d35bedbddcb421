#include <cstring>
#include <numeric>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/concat/concat.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kRangeBytes = 1 << 16;  // of a task

/// Calls move(part, its byte in the whole, its byte in the part, bytes) for each part of each row,
/// or for pieces of it where rows are long.
template <class Move>
void each_run(const ConcatProblem& p, Move&& move) {
  const auto size = static_cast<std::int64_t>(size_of(p.dtype));
  const std::int64_t pitch =
      size * std::accumulate(p.widths.begin(), p.widths.end(), std::int64_t{0});
  std::int64_t begin_of_part = 0;
  for (std::size_t part = 0; part < p.widths.size(); ++part) {
    const std::int64_t width = size * p.widths[part];
    const std::int64_t pieces = 1 + width / kRangeBytes;
    const std::int64_t of_task = 1 + kRangeBytes / (1 + width / pieces);
    parallel_for_ranges(p.rows * pieces, of_task, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end && width > 0; ++i) {
        const std::int64_t row = i / pieces, piece = i % pieces;
        const std::int64_t first = width / pieces * piece;
        const std::int64_t last = piece + 1 == pieces ? width : first + width / pieces;
        move(part, row * pitch + begin_of_part + first, row * width + first,
             static_cast<std::size_t>(last - first));
      }
    });
    begin_of_part += width;
  }
}

}  // namespace

void concat(const ConcatProblem& problem, std::span<const void* const> parts, void* whole) {
  each_run(problem, [&](std::size_t part, std::int64_t at, std::int64_t from, std::size_t bytes) {
    std::memcpy(static_cast<std::byte*>(whole) + at,
                static_cast<const std::byte*>(parts[part]) + from, bytes);
  });
}

void split(const ConcatProblem& problem, std::span<const void* const> terms,
           std::span<const SplitPart> parts) {
  each_run(problem, [&](std::size_t part, std::int64_t at, std::int64_t to, std::size_t bytes) {
    if (parts[part].to != nullptr) {
      std::memcpy(static_cast<std::byte*>(parts[part].to) + to,
                  static_cast<const std::byte*>(terms[0]) + at, bytes);
    }
  });
}

}  // namespace cks::kernels::CKS_CPU
