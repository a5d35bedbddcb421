#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/philox.h"
#include "cks/kernels/common/random_order.h"
#include "cks/kernels/image_batch/image_batch.h"

/// Which pixel of which image goes where: the one copy for the CPU and the GPU.
namespace cks::kernels {

/// One image of a batch, and how it is moved.
struct ImagePlace {
  std::int64_t image;        // in the dataset
  std::int64_t down, right;  // row and column of the image that the window starts with
  bool mirrored;
};

/// A number in [-padding, padding] from a random word.
CKS_HOST_DEVICE inline std::int64_t draw_shift(std::uint32_t word, std::int64_t padding) {
  const auto range = static_cast<std::uint64_t>(2 * padding + 1);
  return static_cast<std::int64_t>((word * range) >> 32) - padding;
}

/// The order of an epoch; of no use without shuffle.
CKS_HOST_DEVICE inline RandomOrder order_of(const ImageBatchProblem& problem, std::int64_t epoch) {
  return make_random_order(problem.images, problem.order_key, static_cast<std::uint64_t>(epoch));
}

/// Image i to make of the batch at `at`; `order` is that of the epoch.
CKS_HOST_DEVICE inline ImagePlace place_image(const ImageBatchProblem& problem,
                                              const RandomOrder& order, const BatchPosition& at,
                                              std::int64_t i) {
  const auto epoch = static_cast<std::uint64_t>(at.epoch);
  ImagePlace place{(at.first + problem.skip + i) % problem.images, 0, 0, false};
  if (problem.shuffle) {
    place.image = order_at(order, place.image);
  }
  if (problem.crop_padding > 0 || problem.flip) {
    const PhiloxBlock drawn =
        random_block(problem.augment_key, epoch, static_cast<std::uint64_t>(place.image));
    place.down = draw_shift(drawn.word[0], problem.crop_padding);
    place.right = draw_shift(drawn.word[1], problem.crop_padding);
    std::uint32_t mirror = drawn.word[2] >> 31;
    if (problem.alternate_flip) {
      const PhiloxBlock first =
          random_block(problem.augment_key, 0, static_cast<std::uint64_t>(place.image));
      mirror = first.word[2] >> 31 ^ static_cast<std::uint32_t>(epoch & 1);
    }
    place.mirrored = problem.flip && mirror != 0;
  }
  return place;
}

/// Pixel of the image, counted row by row, that goes to (oh, ow) of the batch; -1 in the frame.
CKS_HOST_DEVICE inline std::int64_t source_pixel(const ImageBatchProblem& problem,
                                                 const ImagePlace& place, std::int64_t oh,
                                                 std::int64_t ow) {
  const std::int64_t row = oh + place.down;
  const std::int64_t column = (place.mirrored ? problem.W - 1 - ow : ow) + place.right;
  const bool inside = row >= 0 && row < problem.H && column >= 0 && column < problem.W;
  return inside ? row * problem.W + column : -1;
}

CKS_HOST_DEVICE inline BatchPosition next_position(const BatchPosition& at, std::int64_t count,
                                                   std::int64_t end) {
  return at.first + count < end ? BatchPosition{at.epoch, at.first + count}
                                : BatchPosition{at.epoch + 1, 0};
}

}  // namespace cks::kernels
