// The only file that includes Eigen. Its matrix product runs on one thread per tile; the tiles are
// spread over our own pool.
#define EIGEN_DONT_PARALLELIZE
// GCC 12 takes the deliberately undefined registers of its own AVX-512 header for a mistake.
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#  pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Core>
#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/gemm/gemm.h"

namespace cks::kernels {
namespace {

constexpr std::int64_t kTileRows = 128;
constexpr std::int64_t kTileColumns = 256;
constexpr std::int64_t kMinTileRows = 32;     // below, packing B costs as much as multiplying
constexpr std::int64_t kMinTileColumns = 32;  // below, packing A does
constexpr std::int64_t kWantedBlocks = 8;
constexpr double kSmallProduct = 262144;  // multiply-adds; below, waking threads costs more
constexpr std::int64_t kMinSlice = 512;   // of K
constexpr std::int64_t kMaxSlices = 16;

/// How the work is cut into blocks: by the problem, never by the number of threads.
struct Cut {
  std::int64_t tile_rows, tile_columns, slice;
  std::int64_t row_tiles, column_tiles, slices;
};

Cut cut_of(const GemmProblem& p) {
  std::int64_t rows = kTileRows;
  std::int64_t columns = kTileColumns;
  // A product of few tiles gets smaller ones, so that several threads find work.
  const bool small =
      static_cast<double>(p.M) * static_cast<double>(p.N) * static_cast<double>(p.K) <
      kSmallProduct;
  while (!small && ceil_div(p.M, rows) * ceil_div(p.N, columns) < kWantedBlocks &&
         (rows > kMinTileRows || columns > kMinTileColumns)) {
    const bool rows_are_longer = std::min(rows, p.M) >= std::min(columns, p.N);
    if (columns == kMinTileColumns || (rows > kMinTileRows && rows_are_longer)) {
      rows /= 2;
    } else {
      columns /= 2;
    }
  }
  const std::int64_t row_tiles = ceil_div(p.M, rows);
  const std::int64_t column_tiles = ceil_div(p.N, columns);
  const std::int64_t count = row_tiles * column_tiles;
  std::int64_t slices = 1;
  if (!small && count < kWantedBlocks) {
    slices = std::clamp<std::int64_t>(p.K / kMinSlice, 1,
                                      std::min(kMaxSlices, ceil_div(2 * kWantedBlocks, count)));
  }
  const std::int64_t slice = ceil_div(p.K, slices);
  return {rows, columns, slice, row_tiles, column_tiles, p.K == 0 ? 1 : ceil_div(p.K, slice)};
}

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using ConstView = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using View = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// The elements [row, row+rows) x [column, column+columns) of op(M), stored with leading dimension
/// `ld`: passed to `body` as an Eigen expression.
template <class T, class Body>
void with_block(const T* m, bool transpose, std::int64_t ld, std::int64_t row, std::int64_t rows,
                std::int64_t column, std::int64_t columns, Body&& body) {
  if (transpose) {
    const ConstView<T> view(m + column * ld + row, columns, rows, Eigen::OuterStride<>(ld));
    body(view.transpose());
  } else {
    const ConstView<T> view(m + row * ld + column, rows, columns, Eigen::OuterStride<>(ld));
    body(view);
  }
}

template <class T>
void run(const GemmProblem& p, const Epilogue& given, const T* a, const T* b, T* c, T* partial) {
  const Cut cut = cut_of(p);
  const TypedEpilogue<T> epilogue(given);
  const std::int64_t ldc = p.pitch_c();
  const bool sliced = cut.slices > 1;
  const auto finish = [&](View<T>& tile, std::int64_t column) {
    if (epilogue.bias != nullptr) {
      tile.rowwise() += Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>>(
          epilogue.bias + column, tile.cols());
    }
    for (std::int64_t i = 0; !epilogue.is_plain && i < tile.rows(); ++i) {
      T* const row = tile.data() + i * ldc;
      for (std::int64_t j = 0; j < tile.cols(); ++j) {
        row[j] = epilogue.finish(row[j], column + j, row + j - c);
      }
    }
  };
  parallel_for(cut.row_tiles * cut.column_tiles * cut.slices, [&](std::int64_t block) {
    const std::int64_t slice = block % cut.slices;
    const std::int64_t tile = block / cut.slices;
    const std::int64_t row = tile / cut.column_tiles * cut.tile_rows;
    const std::int64_t column = tile % cut.column_tiles * cut.tile_columns;
    const std::int64_t rows = std::min(cut.tile_rows, p.M - row);
    const std::int64_t columns = std::min(cut.tile_columns, p.N - column);
    const std::int64_t k = slice * cut.slice;
    const std::int64_t depth = std::min(cut.slice, p.K - k);
    T* to = sliced ? partial + slice * p.M * p.N + row * p.N + column : c + row * ldc + column;
    View<T> result(to, rows, columns, Eigen::OuterStride<>(sliced ? p.N : ldc));
    if (depth == 0) {
      result.setZero();
    } else {
      with_block(a, p.transpose_a, p.pitch_a(), row, rows, k, depth, [&](const auto& left) {
        with_block(b, p.transpose_b, p.pitch_b(), k, depth, column, columns,
                   [&](const auto& right) { result.noalias() = left * right; });
      });
    }
    if (!sliced) {
      finish(result, column);
    }
  });
  if (!sliced) {
    return;
  }
  parallel_for_ranges(p.M, std::max<std::int64_t>(1, 16384 / p.N),
                      [&](std::int64_t begin, std::int64_t end) {
                        View<T> sum(c + begin * ldc, end - begin, p.N, Eigen::OuterStride<>(ldc));
                        for (std::int64_t slice = 0; slice < cut.slices; ++slice) {
                          const Eigen::Map<const Matrix<T>> part(
                              partial + slice * p.M * p.N + begin * p.N, end - begin, p.N);
                          if (slice == 0) {
                            sum = part;
                          } else {
                            sum += part;
                          }
                        }
                        finish(sum, 0);
                      });
}

}  // namespace

namespace CKS_CPU {

std::size_t gemm_workspace_bytes(const GemmProblem& problem) {
  return visit_real("gemm", problem.dtype, [&](auto zero) -> std::size_t {
    const Cut cut = cut_of(problem);
    return cut.slices == 1 ? 0
                           : static_cast<std::size_t>(cut.slices * problem.M * problem.N) *
                                 sizeof(decltype(zero));
  });
}

void gemm(const GemmProblem& problem, const void* a, const void* b, const Epilogue& epilogue,
          void* c, void* workspace) {
  const auto run_typed = [&](auto*... arrays) { run(problem, epilogue, arrays...); };
  visit_real_elements("gemm", problem.dtype, run_typed, a, b, c, workspace);
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
