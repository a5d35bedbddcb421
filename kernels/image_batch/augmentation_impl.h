#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/image_batch/image_batch.h"
#include "cks/kernels/random/philox.h"
#include "cks/kernels/random/random_order.h"

/// Which pixel of which image goes where, and in which colour: the one copy for the CPU and the
/// GPU. Whole numbers alone, so that both give the same bits: angles, factors and places between
/// pixels are multiples of 2^-16.
namespace cks::kernels {

inline constexpr std::int64_t kOne = std::int64_t{1} << 16;  // 1 as such a number

/// One image of a batch, and how it is changed.
struct ImagePlace {
  std::int64_t image;        // in the dataset
  std::int64_t down, right;  // row and column of the image that the window starts with
  bool mirrored;
  // Rotation and scale: a step to the right in the window is one of (along, across) in the image,
  // columns first; one down is (-across, along).
  std::int64_t along, across;
  std::int64_t cut_row, cut_column;  // of the cutout's first pixel, which may lie outside
  std::int64_t brightness, contrast, saturation;  // factors
};

/// A number in [-padding, padding] from a random word.
CKS_HOST_DEVICE inline std::int64_t draw_shift(std::uint32_t word, std::int64_t padding) {
  const auto range = static_cast<std::uint64_t>(2 * padding + 1);
  return static_cast<std::int64_t>((word * range) >> 32) - padding;
}

/// Sine and cosine of an angle in [-pi/4, pi/4], by the first terms of their series: 2^-15 off at
/// most, that is half a pixel of an image of 2^14.
struct Turn {
  std::int64_t sine, cosine;
};
CKS_HOST_DEVICE inline Turn turn_of(std::int64_t angle) {
  // Shifts of negative numbers would round down: angles of both signs shall turn alike.
  const std::int64_t size = angle < 0 ? -angle : angle;
  const std::int64_t square = size * size / kOne;
  const std::int64_t fourth = square * square / kOne;
  const std::int64_t sine = size - size * square / kOne / 6 + size * fourth / kOne / 120 -
                            size * square / kOne * fourth / kOne / 5040;
  const std::int64_t cosine = kOne - square / 2 + fourth / 24 - fourth * square / kOne / 720;
  return {angle < 0 ? -sine : sine, cosine};
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
  ImagePlace place{};
  place.along = place.brightness = place.contrast = place.saturation = kOne;
  place.image = (at.first + problem.skip + i) % problem.images;
  if (problem.shuffle) {
    place.image = order_at(order, place.image);
  }
  // Random words of the image, four a block, of which each kind of change has its own.
  const auto draw = [&](std::uint64_t block) {
    return random_block(problem.augment_key, epoch,
                        static_cast<std::uint64_t>(place.image) | block << 48);
  };
  if (problem.crop_padding > 0 || problem.flip) {
    const PhiloxBlock drawn = draw(0);
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
  if (problem.moves()) {
    const PhiloxBlock drawn = draw(1);
    const Turn turn = turn_of(draw_shift(drawn.word[0], problem.rotation));
    // Larger by a factor is a smaller step in the image.
    const std::int64_t factor = kOne + draw_shift(drawn.word[1], problem.scale);
    place.along = turn.cosine * kOne / factor;
    place.across = turn.sine * kOne / factor;
  }
  if (problem.cutout > 0) {
    const PhiloxBlock drawn = draw(2);
    const auto centre = [](std::uint32_t word, std::int64_t extent) {
      return static_cast<std::int64_t>((word * static_cast<std::uint64_t>(extent)) >> 32);
    };
    place.cut_row = centre(drawn.word[0], problem.H) - problem.cutout / 2;
    place.cut_column = centre(drawn.word[1], problem.W) - problem.cutout / 2;
  }
  if (problem.colours()) {
    const PhiloxBlock drawn = draw(3);
    place.brightness = kOne + draw_shift(drawn.word[0], problem.brightness);
    place.contrast = kOne + draw_shift(drawn.word[1], problem.contrast);
    place.saturation = kOne + draw_shift(drawn.word[2], problem.saturation);
  }
  return place;
}

/// A point of the image, in units of 2^-16 pixels.
struct SourcePoint {
  std::int64_t row, column;
};

/// A point of an axis of `extent` pixels that goes on as its reflection, again and again.
CKS_HOST_DEVICE inline std::int64_t reflected(std::int64_t point, std::int64_t extent) {
  const std::int64_t last = (extent - 1) * kOne;
  if (last == 0) {
    return 0;
  }
  point = point < 0 ? -point : point;
  while (point > last) {
    point = point > 2 * last ? point - 2 * last : 2 * last - point;
  }
  return point;
}

/// Where in the image lies what goes to (oh, ow) of the batch.
CKS_HOST_DEVICE inline SourcePoint source_point(const ImageBatchProblem& problem,
                                                const ImagePlace& place, std::int64_t oh,
                                                std::int64_t ow) {
  const std::int64_t row = oh + place.down;
  const std::int64_t column = (place.mirrored ? problem.W - 1 - ow : ow) + place.right;
  SourcePoint point{row * kOne, column * kOne};
  if (problem.moves()) {
    // From the middle of the image, which may be between pixels: twice the distance.
    const std::int64_t down = 2 * row - (problem.H - 1);
    const std::int64_t right = 2 * column - (problem.W - 1);
    point = {(problem.H - 1) * kOne / 2 + (place.along * down + place.across * right) / 2,
             (problem.W - 1) * kOne / 2 + (place.along * right - place.across * down) / 2};
  }
  if (problem.reflect) {
    point = {reflected(point.row, problem.H), reflected(point.column, problem.W)};
  }
  return point;
}

/// Pixel of the image, counted row by row, that is nearest to what goes to (oh, ow) of the batch;
/// -1 in the frame.
CKS_HOST_DEVICE inline std::int64_t source_pixel(const ImageBatchProblem& problem,
                                                 const ImagePlace& place, std::int64_t oh,
                                                 std::int64_t ow) {
  const SourcePoint point = source_point(problem, place, oh, ow);
  const std::int64_t row = floor_div(point.row + kOne / 2, kOne);
  const std::int64_t column = floor_div(point.column + kOne / 2, kOne);
  const bool inside = row >= 0 && row < problem.H && column >= 0 && column < problem.W;
  return inside ? row * problem.W + column : -1;
}

/// The byte of a channel at a point of the image: between the four pixels around it, those outside
/// being the nearest inside.
CKS_HOST_DEVICE inline std::int64_t byte_at(const ImageBatchProblem& problem,
                                            const std::uint8_t* image, const SourcePoint& point,
                                            std::int64_t c) {
  const std::int64_t row = floor_div(point.row, kOne);
  const std::int64_t column = floor_div(point.column, kOne);
  const std::int64_t below = point.row - row * kOne;
  const std::int64_t beside = point.column - column * kOne;
  const auto pixel = [&](std::int64_t h, std::int64_t w) {
    h = h < 0 ? 0 : h < problem.H ? h : problem.H - 1;
    w = w < 0 ? 0 : w < problem.W ? w : problem.W - 1;
    return static_cast<std::int64_t>(image[(h * problem.W + w) * problem.C + c]);
  };
  if (below == 0 && beside == 0) {
    return pixel(row, column);
  }
  const std::int64_t upper = pixel(row, column) * (kOne - beside) + pixel(row, column + 1) * beside;
  const std::int64_t lower =
      pixel(row + 1, column) * (kOne - beside) + pixel(row + 1, column + 1) * beside;
  return (upper * (kOne - below) + lower * below + kOne * kOne / 2) / (kOne * kOne);
}

/// A byte of a colour that a factor has moved away from another.
CKS_HOST_DEVICE inline std::int64_t away_from(std::int64_t other, std::int64_t byte,
                                              std::int64_t factor) {
  const std::int64_t moved = other + floor_div((byte - other) * factor + kOne / 2, kOne);
  return moved < 0 ? 0 : moved > 255 ? 255 : moved;
}

/// What goes to channel c of (oh, ow), whose source_pixel() is `source`: a byte, or -1 for the
/// frame's and the cutout's 0.
CKS_HOST_DEVICE inline std::int64_t augmented_byte(const ImageBatchProblem& problem,
                                                   const ImagePlace& place,
                                                   const std::uint8_t* image, std::int64_t source,
                                                   std::int64_t oh, std::int64_t ow,
                                                   std::int64_t c) {
  const std::int64_t cut_row = oh - place.cut_row;
  const std::int64_t cut_column = ow - place.cut_column;
  if (source < 0 || (cut_row >= 0 && cut_row < problem.cutout && cut_column >= 0 &&
                     cut_column < problem.cutout)) {
    return -1;
  }
  if (!problem.moves() && !problem.colours()) {
    return image[source * problem.C + c];
  }
  const SourcePoint point = source_point(problem, place, oh, ow);
  std::int64_t byte = byte_at(problem, image, point, c);
  if (problem.colours()) {
    byte = away_from(0, byte, place.brightness);
    byte = away_from(128, byte, place.contrast);
    if (problem.saturation > 0 && problem.C == 3) {
      std::int64_t grey = 299 * byte_at(problem, image, point, 0) +
                          587 * byte_at(problem, image, point, 1) +
                          114 * byte_at(problem, image, point, 2);
      grey = away_from(0, (grey + 500) / 1000, place.brightness);
      byte = away_from(away_from(128, grey, place.contrast), byte, place.saturation);
    }
  }
  return byte;
}

CKS_HOST_DEVICE inline BatchPosition next_position(const BatchPosition& at, std::int64_t count,
                                                   std::int64_t end) {
  return at.first + count < end ? BatchPosition{at.epoch, at.first + count}
                                : BatchPosition{at.epoch + 1, 0};
}

}  // namespace cks::kernels
