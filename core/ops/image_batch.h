#pragma once
#include <cstdint>
#include <string>
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
  bool flip = false;  // mirrors every other image, at random, left to right
  /// Of flip: what is mirrored is drawn for the first epoch alone; from then on an image is
  /// mirrored in every other epoch, so that two epochs see both sides of all images. Helps short
  /// runs (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498).
  bool alternate_flip = false;

  friend bool operator==(const ImageAugmentation&, const ImageAugmentation&) = default;
};

/// Throws Error, naming the option, for a crop_padding out of range of images [N,H,W,C], and for
/// alternate_flip without flip.
void check_augmentation(const std::string& operation, const ImageAugmentation& augment,
                        const Shape& images);

/// Images as bytes, on one device.
struct ImageBank {
  Tensor pixels;  // uint8 [N,H,W,C]
  Tensor labels;  // int64 [N]
  Tensor tables;  // float32 [C,256]: what each value of a byte becomes
};

struct ImageBatchOptions {
  bool shuffle = true;  // each epoch in an order of its own
  RandomKey order_key{};
  ImageAugmentation augment{};
  RandomKey augment_key{};
  std::int64_t skip = 0;  // images of the batch before the first one to make
};

/// Where an epoch is: int64 [2], the epoch and the place in its order of the next batch's first
/// image. A tensor, so that each repetition of a captured step makes another batch.
Tensor make_batch_position(std::int64_t epoch, std::int64_t first, Device device);

/// Writes the images of the bank that are `skip` places behind `position` and after it in the
/// epoch's order, as many as `images` holds, normalised and augmented, and their labels. Each is a
/// function of the options, the epoch and its place alone: the same bits in any batch and on any
/// device. Places past the last image count from the first again. Raises the versions.
///
/// Shapes  images float32 [B,H,W,C], labels int64 [B], position int64 [2].
/// Device  all tensors on one; CUDA: queued on the current stream, may be captured.
/// Throws  ShapeError, DtypeError, DeviceError; Error as check_augmentation().
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
