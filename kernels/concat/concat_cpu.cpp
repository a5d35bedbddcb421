#include <cstring>
#include <numeric>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/concat/concat.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kRangeBytes = 1 << 16;  // of rows

/// Calls move(part, its byte in row r of the whole, its byte in the part, bytes) for each part of
/// each row.
template <class Move>
void each_run(const ConcatProblem& p, Move&& move) {
  const auto size = static_cast<std::int64_t>(size_of(p.dtype));
  const std::int64_t pitch =
      size * std::accumulate(p.widths.begin(), p.widths.end(), std::int64_t{0});
  parallel_for_ranges(p.rows, 1 + kRangeBytes / (1 + pitch),
                      [&](std::int64_t begin, std::int64_t end) {
                        for (std::int64_t row = begin; row < end; ++row) {
                          std::int64_t at = row * pitch;
                          for (std::size_t part = 0; part < p.widths.size(); ++part) {
                            const std::int64_t bytes = size * p.widths[part];
                            move(part, at, row * bytes, static_cast<std::size_t>(bytes));
                            at += bytes;
                          }
                        }
                      });
}

}  // namespace

void concat(const ConcatProblem& problem, std::span<const void* const> parts, void* whole) {
  each_run(problem, [&](std::size_t part, std::int64_t at, std::int64_t from, std::size_t bytes) {
    if (bytes > 0) {
      std::memcpy(static_cast<std::byte*>(whole) + at,
                  static_cast<const std::byte*>(parts[part]) + from, bytes);
    }
  });
}

void split(const ConcatProblem& problem, std::span<const void* const> terms,
           std::span<const SplitPart> parts) {
  each_run(problem, [&](std::size_t part, std::int64_t at, std::int64_t to, std::size_t bytes) {
    if (bytes > 0 && parts[part].to != nullptr) {
      std::memcpy(static_cast<std::byte*>(parts[part].to) + to,
                  static_cast<const std::byte*>(terms[0]) + at, bytes);
    }
  });
}

}  // namespace cks::kernels::CKS_CPU
