#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cks/core/tensor/random.h"
#include "cks/core/tensor/tensor.h"

namespace cks {

/// How images are varied from epoch to epoch, as a dataset several times its size would.
struct ImageAugmentation {
  /// Frames each image by so many pixels of 0, the channels' mean once normalised, and cuts a
  /// window of the image's size out at a random place. At least 0, less than height and width; 0:
  /// none.
  std::int64_t crop_padding = 0;
  /// Of crop_padding, rotation and scale: outside, an image goes on as its reflection at the
  /// middles of its outermost pixels (pixel -1 is pixel 1), not as 0, and so does a mask.
  bool reflect = false;
  bool flip = false;  // mirrors every other image, at random, left to right
  /// Of flip: what is mirrored is drawn for the first epoch alone; from then on an image is
  /// mirrored in every other epoch, so that two epochs see both sides of all images. Helps short
  /// runs (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498).
  bool alternate_flip = false;
  /// Sets a square of so many pixels a side, around a pixel of the image, to 0; at least 0.
  std::int64_t cutout = 0;
  double rotation = 0.0;  // turns by up to so many degrees either way; in [0, 45]
  double scale = 0.0;     // enlarges by a factor within 1 +- scale; in [0, 0.5]
  /// Factors within 1 +- so much, in [0, 1]: of the bytes, of their distance from 128, and, of
  /// images of three channels, of that from the pixel's grey.
  double brightness = 0.0;
  double contrast = 0.0;
  double saturation = 0.0;

  friend bool operator==(const ImageAugmentation&, const ImageAugmentation&) = default;
};

/// Names and values of the changes beyond crop and flip that are not 0: {"cutout", 8}, ...
std::vector<std::pair<const char*, double>> named_changes(const ImageAugmentation& augment);

/// Throws Error, naming `what` and the member, if one is out of its range for images [N,H,W,C], and
/// for alternate_flip without flip, and for reflect without crop_padding, rotation or scale.
void require_augmentation(const std::string& what, const ImageAugmentation& augment,
                          const Shape& images);

/// Images as bytes, on one device.
struct ImageBank {
  Tensor pixels;  // uint8 [N,H,W,C]
  Tensor labels;  // int64 [N], or [N,H,W]: masks, moved and mirrored with the images
  Tensor tables;  // float32 [C,256]: what each value of a byte becomes
};

struct ImageBatchOptions {
  bool shuffle = true;  // each epoch in an order of its own
  RandomKey order_key{};
  ImageAugmentation augment{};
  RandomKey augment_key{};
  std::int64_t skip = 0;         // images of the batch before the first one to make
  std::int64_t frame_label = 0;  // of a mask where the image has moved away; none with reflect
};

/// Where an epoch is: int64 [2], the epoch and the place in its order of the next batch's first
/// image. A tensor, so that each repetition of a captured step makes another batch.
Tensor make_batch_position(std::int64_t epoch, std::int64_t first, Device device);

/// Writes the images of the bank that are `skip` places behind `position` and after it in the
/// epoch's order, as many as `images` holds, normalised and augmented, and their labels. Each is a
/// function of the options, the epoch and its place alone: the same bits in any batch and on any
/// device. Places past the last image count from the first again. Raises the versions.
///
/// Shapes  images float32 [B,H,W,C], labels int64 [B] or [B,H,W] as the bank's, position int64 [2].
/// Device  all tensors on one; CUDA: queued on the current stream, may be captured.
/// Throws  ShapeError, DtypeError, DeviceError; Error as require_augmentation().
void make_image_batch_(Tensor& images, Tensor& labels, const ImageBank& bank,
                       const Tensor& position, const ImageBatchOptions& options);

/// Numbers of the images of such a batch in a bank of `images` of them, computed on the host.
/// Throws Error unless images >= 1 and the others are >= 0.
std::vector<std::int64_t> image_batch_indices(std::int64_t images, std::int64_t epoch,
                                              std::int64_t first, std::int64_t count,
                                              const ImageBatchOptions& options);

/// Moves a position on by `count` images; from place `end`, or beyond, to the next epoch's start.
/// Raises the version. Throws ShapeError, DtypeError; Error unless count >= 0 and end >= 1.
void advance_batch_position_(Tensor& position, std::int64_t count, std::int64_t end);

}  // namespace cks
