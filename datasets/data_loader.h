#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cks/core/ops/image_batch.h"
#include "cks/datasets/dataset.h"

namespace cks {

/// Some images of an epoch, ready for a model.
struct Batch {
  Tensor images;  // float32 [count,H,W,C], (x / 255 - mean) / std
  Tensor labels;  // int64 [count], or [count,H,W] of a dataset with masks
  /// Images in it. The last batch of an epoch may have fewer than the others: weight what is
  /// averaged over an epoch by it.
  std::int64_t count = 0;
  std::int64_t total = 0;  // with those that other ranks have (DataLoaderOptions::share)
  std::int64_t epoch = 0;
  std::int64_t index = 0;             // of the batch in its epoch
  std::vector<std::int64_t> indices;  // of the images in the dataset
};

/// The part of each batch that one of several ranks has: neighbouring images, as many as the others
/// have, or one more or less of an epoch's last, smaller batch.
struct BatchShare {
  std::int64_t rank = 0;
  std::int64_t ranks = 1;

  /// First of a batch's images that is this rank's, and how many they are.
  std::int64_t first(std::int64_t images) const { return images * rank / ranks; }
  std::int64_t count(std::int64_t images) const {
    return images * (rank + 1) / ranks - first(images);
  }
};

struct DataLoaderOptions {
  std::int64_t batch_size = 128;  // of all ranks together
  bool shuffle = true;
  std::uint64_t seed = 1;  // of the shuffle and the augmentation
  bool drop_last = false;  // leave out a last batch that is not full
  /// Where batches are made and lie. A CUDA device gets a copy of the whole dataset, as bytes, when
  /// the loader is made, and its kernels make each batch from that; the batches have the same bits
  /// as the CPU's.
  Device device{};
  ImageAugmentation augment{};
  /// Batches that a thread of the loader's own keeps ready; 0 makes each where it is asked for.
  /// Only for batches made on the CPU.
  std::int64_t prefetch = 2;
  /// Changes each batch after it is made, on the thread that makes it: an augmentation of one's
  /// own, for instance. Must depend on the batch alone, so that a resumed run sees the same. May
  /// throw. A function of the host: with a CUDA device, too, batches are then made on the CPU, and
  /// each is copied over.
  std::function<void(Batch&)> transform = {};
  /// What this loader makes of each batch: the same batches, cut up, whatever the number of ranks.
  BatchShare share{};
};

/// Cuts a dataset into batches, epoch after epoch.
///
///   DataLoader loader(train, {.batch_size = 128, .seed = 7});
///   for (std::int64_t epoch = 0; epoch < 10; ++epoch) {
///     for (const Batch& batch : loader.epoch(epoch)) { ... }
///   }
///
/// Each batch is a function of dataset, options, epoch and index: with or without prefetch, and
/// wherever a run starts. Memory of batches that were let go of is used again by the allocator.
/// One thread uses a loader at a time.
class DataLoader {
 public:
  /// Throws what ImageDataset::check() throws, and Error for a batch size below 1, a share into
  /// which it does not divide or that leaves a rank no image of a batch, a prefetch below 0, an
  /// augmentation out of its ranges, or a dataset without a full batch where drop_last
  /// is set; DeviceError, or OutOfMemoryError naming the dataset's bytes if they do not fit on the
  /// device.
  explicit DataLoader(ImageDataset dataset, DataLoaderOptions options = {});
  template <class Expected = DataLoaderOptions>
  DataLoader(ImageDataset, ...) = delete;  // for the error: see layers/layer.h
  /// Ends the thread, whatever it is doing, and waits for it.
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  const ImageDataset& dataset() const;
  const DataLoaderOptions& options() const;
  std::int64_t batches_per_epoch() const;
  /// Images that an epoch visits: all, unless drop_last leaves some out.
  std::int64_t images_per_epoch() const;
  /// Bytes of the dataset's copy on options().device; 0 if there is none.
  std::int64_t device_bytes() const;

  /// The next batch of the epoch; nothing once after its last batch, then the following epoch's
  /// first. Rethrows what making the batch threw; asking again tries that batch again.
  std::optional<Batch> next();
  /// Makes next() go on at a batch of an epoch; `batch` may be batches_per_epoch(), the end. Throws
  /// Error for a position that does not exist.
  void seek(std::int64_t epoch, std::int64_t batch = 0);
  /// Where next() goes on.
  std::int64_t next_epoch() const { return epoch_; }
  std::int64_t next_batch() const { return batch_; }

  /// One batch, made here and now; touches neither the position nor the thread.
  Batch make_batch(std::int64_t epoch, std::int64_t batch) const;

  /// For captured steps, in which each repetition takes the next batch:
  ///
  ///   Tensor position = loader.position(epoch);
  ///   CapturedStep step([&] { loader.fill_batch(images, labels, position); ... }, device);
  ///
  /// Where a batch of an epoch starts, on options().device (see make_batch_position). Throws Error
  /// for a position that does not exist.
  Tensor position(std::int64_t epoch, std::int64_t batch = 0) const;
  /// Writes the batch at `position` into tensors of this device, images.size(0) of its images, this
  /// loader's share of `total` (0: they are all), and moves the position behind the whole batch:
  /// from the last image of an epoch to the first of the next one.
  /// Throws as make_image_batch_; Error with a transform, which no captured step can call.
  void fill_batch(Tensor& images, Tensor& labels, Tensor& position, std::int64_t total = 0) const;

  class Iterator;
  /// The rest of an epoch, for a range-based for loop.
  class Epoch {
   public:
    Iterator begin() const;
    std::default_sentinel_t end() const { return {}; }

   private:
    friend class DataLoader;
    explicit Epoch(DataLoader* loader) : loader_(loader) {}
    DataLoader* loader_;
  };
  /// Seeks to a batch of the epoch; the loop runs from there to the epoch's end.
  Epoch epoch(std::int64_t epoch, std::int64_t first_batch = 0);

 private:
  struct Maker;  // makes batches; shared with the thread
  class Worker;  // the thread and its queue

  std::unique_ptr<Maker> maker_;
  std::unique_ptr<Worker> worker_;  // null where nothing is prefetched
  std::int64_t epoch_ = 0;
  std::int64_t batch_ = 0;
};

/// Walks over the batches of an epoch, for range-based for.
class DataLoader::Iterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(DataLoader* loader) : loader_(loader), batch_(loader->next()) {}
  const Batch& operator*() const { return *batch_; }
  const Batch* operator->() const { return &*batch_; }
  Iterator& operator++() {
    batch_.reset();  // lets go of its memory before the next one is made
    batch_ = loader_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) {
    return !it.batch_.has_value();
  }

 private:
  DataLoader* loader_;
  std::optional<Batch> batch_;
};

inline DataLoader::Iterator DataLoader::Epoch::begin() const { return Iterator(loader_); }

}  // namespace cks
