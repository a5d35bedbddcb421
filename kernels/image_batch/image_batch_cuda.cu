// Batches on a GPU: a block makes one image, or one stretch of a large one. Its first thread finds
// out which image that is and how it is moved; each thread then writes V neighbouring numbers at a
// time.
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/image_batch/augmentation_impl.h"
#include "cks/kernels/image_batch/image_batch.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kStretch = 16 * kThreads;  // most elements of a block's share

struct ImageBatch {
  ImageBatchProblem problem;
  std::int64_t elements;   // of an image
  std::int64_t stretches;  // of an image
  Divider<std::uint32_t> by_C, by_W;
  const std::uint8_t* pixels;
  const std::int64_t* labels;
  const float* tables;
  float* images_out;
  std::int64_t* labels_out;
};

template <int V>
__global__ void __launch_bounds__(kThreads)
    image_batch_kernel(const __grid_constant__ ImageBatch p, const BatchPosition* position) {
  begin_kernel();
  __shared__ ImagePlace shared_place;
  const int C = static_cast<int>(p.problem.C);
  const int W = static_cast<int>(p.problem.W);
  const std::int64_t shares = p.problem.batch * p.stretches;
  for (std::int64_t share = blockIdx.x; share < shares; share += gridDim.x) {
    const std::int64_t i = share / p.stretches;
    const std::int64_t begin = (share - i * p.stretches) * kStretch;
    __syncthreads();  // the share before has been read
    if (threadIdx.x == 0) {
      shared_place = place_image(p.problem, order_of(p.problem, position->epoch), *position, i);
      if (begin == 0 && !p.problem.label_pixels) {
        p.labels_out[i] = p.labels[shared_place.image];
      }
    }
    __syncthreads();
    const ImagePlace place = shared_place;
    const std::uint8_t* image = p.pixels + place.image * p.elements;
    float* out = p.images_out + i * p.elements;
    const std::int64_t stop = begin + kStretch;
    const int end = static_cast<int>(stop < p.elements ? stop : p.elements);
    for (std::int64_t e = begin + threadIdx.x * V; e < end; e += kThreads * V) {
      const auto first = static_cast<std::uint32_t>(e);
      const std::uint32_t pixel = p.by_C.divide(first);
      int c = static_cast<int>(first - pixel * p.by_C.divisor);
      int oh = static_cast<int>(p.by_W.divide(pixel));
      int ow = static_cast<int>(pixel) - oh * W;
      Pack<float, V> values;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const std::int64_t source = source_pixel(p.problem, place, oh, ow);
        const std::int64_t byte = augmented_byte(p.problem, place, image, source, oh, ow, c);
        values[v] = byte < 0 ? 0.0F : p.tables[c * 256 + byte];
        if (p.problem.label_pixels && c == 0) {
          const std::int64_t pixels = p.problem.H * p.problem.W;
          p.labels_out[i * pixels + oh * W + ow] =
              source < 0 ? p.problem.frame_label : p.labels[place.image * pixels + source];
        }
        if (++c == C) {
          c = 0;
          if (++ow == W) {
            ow = 0;
            ++oh;
          }
        }
      }
      store_pack<V>(out + e, values);
    }
  }
}

__global__ void advance_position_kernel(BatchPosition* position, std::int64_t count,
                                        std::int64_t end) {
  begin_kernel();
  *position = next_position(*position, count, end);
}

}  // namespace

void image_batch(const ImageBatchProblem& problem, const BatchPosition* position,
                 const std::uint8_t* pixels, const std::int64_t* labels, const float* tables,
                 float* images_out, std::int64_t* labels_out) {
  if (problem.batch == 0) {
    return;
  }
  const std::int64_t elements = problem.H * problem.W * problem.C;
  const std::int64_t stretches = ceil_div(elements, kStretch);
  const ImageBatch p{problem,
                     elements,
                     stretches,
                     Divider<std::uint32_t>(problem.C),
                     Divider<std::uint32_t>(problem.W),
                     pixels,
                     labels,
                     tables,
                     images_out,
                     labels_out};
  constexpr int V = kPackSize<float>;
  const bool packs = elements % V == 0 && aligned_for_packs(images_out);
  launch("image_batch", packs ? image_batch_kernel<V> : image_batch_kernel<1>,
         grid_for(problem.batch * stretches, 1), kThreads, 0, p, position);
}

void advance_position(BatchPosition* position, std::int64_t count, std::int64_t end) {
  launch("advance_position", advance_position_kernel, 1, 1, 0, position, count, end);
}

}  // namespace cks::kernels::cuda
