#include "cks/core/ops/image_batch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "cks/core/memory/reserve_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/tensor/check.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/image_batch/augmentation_impl.h"
#include "cks/kernels/image_batch/image_batch.h"

namespace cks {
namespace {

constexpr const char* kMake = "make_image_batch_";

void require_position(const char* operation, const Tensor& position) {
  ops::require_dtype(operation, {"position", position}, DType::int64);
  ops::require_shape(operation, {"position", position}, {2});
}

/// The kernel's view of a position tensor; both are two numbers of int64.
static_assert(sizeof(kernels::BatchPosition) == 2 * sizeof(std::int64_t));

void check(const Tensor& images, const Tensor& labels, const ImageBank& bank,
           const Tensor& position, const ImageBatchOptions& options) {
  ops::require_dtype(kMake, {"pixels", bank.pixels}, DType::uint8);
  ops::require_rank(kMake, {"pixels", bank.pixels}, 4, "[N,H,W,C]");
  const Shape& shape = bank.pixels.shape();
  if (shape.numel() == 0 || shape.numel() / shape[0] > std::numeric_limits<std::int32_t>::max()) {
    throw ShapeError(
        formatted("{}: pixels have shape {}, expected at least one image of 1 to 2^31-1 elements",
                  kMake, shape));
  }
  ops::require_dtype(kMake, {"bank's labels", bank.labels}, DType::int64);
  const Shape of_pixels({shape[0], shape[1], shape[2]});
  if (!(bank.labels.shape() == of_pixels)) {
    ops::require_shape(kMake, {"bank's labels", bank.labels}, {shape[0]});
  }
  ops::require_dtype(kMake, {"tables", bank.tables}, DType::float32);
  ops::require_shape(kMake, {"tables", bank.tables}, {shape[3], 256});
  ops::require_dtype(kMake, {"images", images}, DType::float32);
  ops::require_rank(kMake, {"images", images}, 4, "[B,H,W,C]");
  ops::require_shape(kMake, {"images", images}, shape.with(0, images.size(0)));
  ops::require_dtype(kMake, {"labels", labels}, DType::int64);
  ops::require_shape(kMake, {"labels", labels}, bank.labels.shape().with(0, images.size(0)));
  require_position(kMake, position);
  for (const ops::Argument& argument :
       {ops::Argument{"bank's labels", bank.labels}, ops::Argument{"tables", bank.tables},
        ops::Argument{"images", images}, ops::Argument{"labels", labels},
        ops::Argument{"position", position}}) {
    ops::require_same_device(kMake, argument, {"pixels", bank.pixels});
  }
  require_augmentation(kMake, options.augment, shape);
}

/// In the kernel's units.
std::int64_t fixed(double value) {
  return std::llround(value * static_cast<double>(kernels::kOne));
}

kernels::ImageBatchProblem make_problem(const Shape& pixels, const Shape& labels,
                                        std::int64_t batch, const ImageBatchOptions& options) {
  const ImageAugmentation& augment = options.augment;
  return {.images = pixels[0],
          .H = pixels[1],
          .W = pixels[2],
          .C = pixels[3],
          .batch = batch,
          .shuffle = options.shuffle,
          .order_key = options.order_key.value,
          .crop_padding = augment.crop_padding,
          .flip = augment.flip,
          .augment_key = options.augment_key.value,
          .skip = options.skip,
          .label_pixels = labels.rank() > 1,
          .frame_label = options.frame_label,
          .cutout = augment.cutout,
          .rotation = fixed(augment.rotation * std::numbers::pi / 180.0),
          .scale = fixed(augment.scale),
          .brightness = fixed(augment.brightness),
          .contrast = fixed(augment.contrast),
          .saturation = fixed(augment.saturation),
          .alternate_flip = augment.alternate_flip,
          .reflect = augment.reflect};
}

}  // namespace

std::vector<std::pair<const char*, double>> named_changes(const ImageAugmentation& augment) {
  std::vector<std::pair<const char*, double>> changes{
      {"cutout", static_cast<double>(augment.cutout)},
      {"rotation", augment.rotation},
      {"scale", augment.scale},
      {"brightness", augment.brightness},
      {"contrast", augment.contrast},
      {"saturation", augment.saturation}};
  std::erase_if(changes, [](const auto& change) { return change.second == 0.0; });
  return changes;
}

void require_augmentation(const std::string& what, const ImageAugmentation& augment,
                          const Shape& images) {
  const std::int64_t padding = augment.crop_padding;
  if (padding < 0 || padding >= std::min(images[1], images[2])) {
    throw Error(formatted(
        "{}: crop_padding is {}, expected at least 0 and less than height and width of images {}",
        what, padding, images));
  }
  const auto require = [&](const char* name, double value, double most) {
    if (!(value >= 0.0 && value <= most)) {
      throw Error(formatted("{}: {} is {}, expected 0 to {}", what, name, value, most));
    }
  };
  require("cutout", static_cast<double>(augment.cutout), kernels::kOne);
  require("rotation", augment.rotation, 45.0);
  require("scale", augment.scale, 0.5);
  require("brightness", augment.brightness, 1.0);
  require("contrast", augment.contrast, 1.0);
  require("saturation", augment.saturation, 1.0);
  if (augment.alternate_flip && !augment.flip) {
    throw Error(formatted("{}: alternate_flip needs flip", what));
  }
  if (augment.reflect && padding == 0 && augment.rotation == 0.0 && augment.scale == 0.0) {
    throw Error(formatted("{}: reflect needs crop_padding, rotation or scale", what));
  }
}

Tensor make_batch_position(std::int64_t epoch, std::int64_t first, Device device) {
  if (epoch < 0 || first < 0) {
    throw Error(formatted("make_batch_position: epoch {}, first image {}, expected at least 0",
                          epoch, first));
  }
  return Tensor::from_vector(std::vector<std::int64_t>{epoch, first}, {2}, device);
}

void make_image_batch_(Tensor& images, Tensor& labels, const ImageBank& bank,
                       const Tensor& position, const ImageBatchOptions& options) {
  check(images, labels, bank, position, options);
  const kernels::ImageBatchProblem problem =
      make_problem(bank.pixels.shape(), bank.labels.shape(), images.size(0), options);
  const auto* at = static_cast<const kernels::BatchPosition*>(position.data());
  CKS_KERNEL(images.device(),
             image_batch(problem, at, bank.pixels.data_as<std::uint8_t>(),
                         bank.labels.data_as<std::int64_t>(), bank.tables.data_as<float>(),
                         images.data_as<float>(), labels.data_as<std::int64_t>()));
  images.bump_version();
  labels.bump_version();
}

std::vector<std::int64_t> image_batch_indices(std::int64_t images, std::int64_t epoch,
                                              std::int64_t first, std::int64_t count,
                                              const ImageBatchOptions& options) {
  if (images < 1 || epoch < 0 || first < 0 || count < 0) {
    throw Error(
        formatted("image_batch_indices: {} of {} images from place {} of epoch {} on, expected at "
                  "least 1 image and no negative number",
                  count, images, first, epoch));
  }
  const kernels::ImageBatchProblem problem =
      make_problem({images, 1, 1, 1}, {images}, count, options);
  const kernels::RandomOrder order = kernels::order_of(problem, epoch);
  std::vector<std::int64_t> indices;
  reserve("image_batch_indices", indices, count);
  for (std::int64_t i = 0; i < count; ++i) {
    indices.push_back(kernels::place_image(problem, order, {epoch, first}, i).image);
  }
  return indices;
}

void advance_batch_position_(Tensor& position, std::int64_t count, std::int64_t end) {
  require_position("advance_batch_position_", position);
  if (count < 0 || end < 1) {
    throw Error(formatted(
        "advance_batch_position_: count is {} and end {}, expected at least 0 and 1", count, end));
  }
  auto* at = static_cast<kernels::BatchPosition*>(position.data());
  CKS_KERNEL(position.device(), advance_position(at, count, end));
  position.bump_version();
}

}  // namespace cks
