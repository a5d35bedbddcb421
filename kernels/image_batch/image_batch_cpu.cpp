#include "cks/kernels/image_batch/augmentation_impl.h"
#include "cks/kernels/image_batch/image_batch.h"

namespace cks::kernels::CKS_CPU {

void image_batch(const ImageBatchProblem& problem, const BatchPosition* position,
                 const std::uint8_t* pixels, const std::int64_t* labels, const float* tables,
                 float* images_out, std::int64_t* labels_out) {
  const std::int64_t C = problem.C;
  const RandomOrder order = order_of(problem, position->epoch);
  for (std::int64_t i = 0; i < problem.batch; ++i) {
    const ImagePlace place = place_image(problem, order, *position, i);
    if (!problem.label_pixels) {
      labels_out[i] = labels[place.image];
    }
    const std::int64_t* mask = labels + place.image * problem.H * problem.W;
    const std::uint8_t* image = pixels + place.image * problem.H * problem.W * C;
    for (std::int64_t oh = 0; oh < problem.H; ++oh) {
      for (std::int64_t ow = 0; ow < problem.W; ++ow) {
        const std::int64_t pixel = source_pixel(problem, place, oh, ow);
        for (std::int64_t c = 0; c < C; ++c) {
          const std::int64_t byte = augmented_byte(problem, place, image, pixel, oh, ow, c);
          *images_out++ = byte < 0 ? 0.0F : tables[c * 256 + byte];
        }
        if (problem.label_pixels) {
          *labels_out++ = pixel < 0 ? problem.frame_label : mask[pixel];
        }
      }
    }
  }
}

void advance_position(BatchPosition* position, std::int64_t count, std::int64_t end) {
  *position = next_position(*position, count, end);
}

}  // namespace cks::kernels::CKS_CPU
