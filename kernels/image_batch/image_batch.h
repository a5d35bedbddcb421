#pragma once
#include <cstdint>

#include "cks/kernels/common/entry_point.h"

/// Batches from images that are kept as bytes: which image, how it is shifted and mirrored, and its
/// numbers, in one pass. Everything is a function of keys, epoch and position, and the same bits on
/// every device.
namespace cks::kernels {

struct ImageBatchProblem {
  std::int64_t images;   // of the dataset
  std::int64_t H, W, C;  // of an image; fewer than 2^31 elements
  std::int64_t batch;    // images to make
  bool shuffle;          // in the random order of (order_key, epoch); otherwise as they are
  std::uint64_t order_key;
  std::int64_t crop_padding;  // in [0, min(H,W)); see below
  bool flip;
  std::uint64_t augment_key;
  std::int64_t skip = 0;        // images of the batch before the first to make
  bool alternate_flip = false;  // of flip: each image in every other epoch
};

/// Where an epoch is, in memory that the kernel reads, so that a recorded step repeats.
struct BatchPosition {
  std::int64_t epoch;
  std::int64_t first;  // place in the epoch's order of the batch's first image
};

/// Image i is the one at place first + skip + i of the epoch's order, a place past the last
/// counting from the start again; labels_out[i] is its label. With b the byte of its pixel in
/// channel c: images_out = tables[c][b], the normalised value. With crop_padding P the image is
/// first framed by P pixels of 0 (the mean, once normalised) and a window of its own size cut out,
/// at one of (2P + 1)^2 places; with flip it is then mirrored left to right half of the time. Both
/// are drawn from (augment_key, epoch, number of the image), whatever batch it is in; with
/// alternate_flip mirroring is drawn for epoch 0 alone and changes from epoch to epoch.
///
/// pixels [images,H,W,C], labels [images], tables [C,256], images_out [batch,H,W,C]. On the calling
/// thread alone: a loader makes batches beside the step that has the pool of threads.
CKS_ENTRY_POINT(void, image_batch,
                (const ImageBatchProblem& problem, const BatchPosition* position,
                 const std::uint8_t* pixels, const std::int64_t* labels, const float* tables,
                 float* images_out, std::int64_t* labels_out));

/// Moves on by `count` images, and from place `end` or beyond to the start of the next epoch.
CKS_ENTRY_POINT(void, advance_position,
                (BatchPosition * position, std::int64_t count, std::int64_t end));

}  // namespace cks::kernels
