#pragma once
#include <cstdint>

#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/host_device.h"

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
  std::int64_t skip = 0;      // images of the batch before the first to make
  bool label_pixels = false;  // labels are masks: one for each pixel
  std::int64_t frame_label = 0;
  std::int64_t cutout = 0;  // side of the square, in pixels; at least 0
  // In units of 2^-16: radians in [0, pi/4]; greatest deviations of factors from 1, in [0, 1/2],
  // those of colours in [0, 1].
  std::int64_t rotation = 0, scale = 0;
  std::int64_t brightness = 0, contrast = 0, saturation = 0;
  bool alternate_flip = false;  // of flip: each image in every other epoch
  bool reflect = false;         // the frame is the image's reflection; see below

  CKS_HOST_DEVICE bool moves() const { return rotation > 0 || scale > 0; }
  CKS_HOST_DEVICE bool colours() const { return brightness > 0 || contrast > 0 || saturation > 0; }
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
/// are drawn from (augment_key, epoch, number of the image), whatever batch it is in, as is all
/// that follows; with alternate_flip mirroring is drawn for epoch 0 alone and changes from epoch to
/// epoch. The window is rotated about the image's middle by up to `rotation` and scaled by
/// up to 1 +- scale, its pixels being those around each place, weighted by nearness, as a byte;
/// places nearest to a pixel outside are the frame's. With reflect there is no such frame: an image
/// goes on in all directions as its reflection at the middles of its outermost pixels, pixel -1
/// being pixel 1, again and again, in crops and where it is rotated or scaled. The colours' bytes
/// are multiplied by a factor (brightness), moved away from 128 by another (contrast), and away
/// from the pixel's grey by a third (saturation, of three channels alone). A square of cutout *
/// cutout pixels around one of the image's is 0. With label_pixels each pixel has the label of the
/// source nearest to it, the frame frame_label; with reflect all have one of the image's.
///
/// pixels [images,H,W,C], labels [images] or [images,H,W], tables [C,256], images_out
/// [batch,H,W,C], labels_out [batch] or [batch,H,W]. On the calling thread alone: a loader makes
/// batches beside the step that has the pool of threads.
CKS_ENTRY_POINT(void, image_batch,
                (const ImageBatchProblem& problem, const BatchPosition* position,
                 const std::uint8_t* pixels, const std::int64_t* labels, const float* tables,
                 float* images_out, std::int64_t* labels_out));

/// Moves on by `count` images, and from place `end` or beyond to the start of the next epoch.
CKS_ENTRY_POINT(void, advance_position,
                (BatchPosition * position, std::int64_t count, std::int64_t end));

}  // namespace cks::kernels
