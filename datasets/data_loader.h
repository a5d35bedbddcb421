#pragma once
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "cks/datasets/dataset.h"

namespace cks {

/// Some images of an epoch, ready for a model.
struct Batch {
  Tensor images;  // float32 [count,H,W,C], (x / 255 - mean) / std
  Tensor labels;  // int64 [count]
  /// Images in it. The last batch of an epoch may have fewer than the others: weight what is
  /// averaged over an epoch by it.
  std::int64_t count = 0;
  std::int64_t epoch = 0;
  std::int64_t index = 0;             // of the batch in its epoch
  std::vector<std::int64_t> indices;  // of the images in the dataset
};

struct DataLoaderOptions {
  std::int64_t batch_size = 128;
  bool shuffle = true;
  std::uint64_t seed = 1;  // of the shuffle
  bool drop_last = false;  // leave out a last batch that is not full
  /// Batches that a thread of the loader's own keeps ready; 0 makes each where it is asked for.
  std::int64_t prefetch = 2;
  /// Changes each batch after it is made, on the thread that makes it: augmentation, for instance.
  /// Must depend on the batch alone, so that a resumed run sees the same. May throw.
  std::function<void(Batch&)> transform = {};
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
  /// Throws what ImageDataset::check() throws, and Error for a batch size below 1, a prefetch below
  /// 0, or a dataset without a full batch where drop_last is set.
  explicit DataLoader(ImageDataset dataset, DataLoaderOptions options = {});
  /// Ends the thread, whatever it is doing, and waits for it.
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  const ImageDataset& dataset() const;
  const DataLoaderOptions& options() const;
  std::int64_t batches_per_epoch() const;
  /// Images that an epoch visits: all, unless drop_last leaves some out.
  std::int64_t images_per_epoch() const;

  /// The next batch of the epoch; nothing once after its last batch, then the following epoch's
  /// first. Rethrows what making the batch threw; asking again tries that batch again.
  std::optional<Batch> next();
  /// Makes next() go on at a batch of an epoch; `batch` may be batches_per_epoch(), the end. Throws
  /// Error for a position that does not exist.
  void seek(std::int64_t epoch, std::int64_t batch = 0);
  /// Where next() goes on.
  std::int64_t next_epoch() const;
  std::int64_t next_batch() const;

  /// One batch, made here and now; touches neither the position nor the thread.
  Batch make_batch(std::int64_t epoch, std::int64_t batch) const;

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
  std::unique_ptr<Worker> worker_;  // empty where nothing is prefetched
  std::int64_t epoch_ = 0;
  std::int64_t batch_ = 0;
};

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
