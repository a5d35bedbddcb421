#include "cks/datasets/data_loader.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "cks/core/error.h"
#include "cks/core/random.h"

namespace cks {

namespace {

struct Position {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// Each value of a byte, normalised, for each channel.
std::vector<std::array<float, 256>> normalised_bytes(const ImageDataset& dataset) {
  std::vector<std::array<float, 256>> tables(dataset.mean.size());
  for (std::size_t c = 0; c < tables.size(); ++c) {
    for (std::size_t value = 0; value < 256; ++value) {
      const double unit = static_cast<double>(value) / 255.0;
      tables[c][value] = static_cast<float>((unit - static_cast<double>(dataset.mean[c])) /
                                            static_cast<double>(dataset.std[c]));
    }
  }
  return tables;
}

/// The order of the epoch asked for last. Each thread that makes batches has its own.
struct OrderCache {
  std::int64_t epoch = -1;
  std::vector<std::int64_t> order;
};

}  // namespace

struct DataLoader::Maker {
  Maker(ImageDataset images, DataLoaderOptions settings)
      : dataset(std::move(images)), options(std::move(settings)) {
    dataset.check();
    const std::string op = "data loader of '" + dataset.name + "': ";
    if (options.batch_size < 1) {
      throw Error(op + "batch_size is " + std::to_string(options.batch_size) +
                  ", expected at least 1");
    }
    if (options.prefetch < 0) {
      throw Error(op + "prefetch is " + std::to_string(options.prefetch) + ", expected at least 0");
    }
    const std::int64_t full = dataset.size() / options.batch_size;
    const bool partial = dataset.size() % options.batch_size != 0;
    batches = full + (partial && !options.drop_last ? 1 : 0);
    if (batches == 0) {
      throw Error(op + "drop_last leaves nothing of " + std::to_string(dataset.size()) +
                  " images in batches of " + std::to_string(options.batch_size));
    }
    tables = normalised_bytes(dataset);
  }

  void check(const char* what, Position at, std::int64_t last) const {
    if (at.epoch < 0 || at.batch < 0 || at.batch > last) {
      throw Error(std::string(what) + " of '" + dataset.name + "': epoch " +
                  std::to_string(at.epoch) + ", batch " + std::to_string(at.batch) +
                  " does not exist; an epoch has batches 0 to " + std::to_string(batches - 1));
    }
  }

  // Serial on purpose: the pool of threads belongs to the training step that runs meanwhile.
  Batch make(Position at, OrderCache& cache) const {
    if (options.shuffle && cache.epoch != at.epoch) {
      cache.order =
          random_permutation(dataset.size(), make_random_key(options.seed, RandomPurpose::shuffle),
                             static_cast<std::uint64_t>(at.epoch));
      cache.epoch = at.epoch;
    }
    const std::int64_t begin = at.batch * options.batch_size;
    Batch batch;
    batch.epoch = at.epoch;
    batch.index = at.batch;
    batch.count = std::min(options.batch_size, dataset.size() - begin);
    batch.images = Tensor::empty(dataset.images.shape().with(0, batch.count));
    batch.labels = Tensor::empty({batch.count}, DType::int64);
    const std::int64_t channels = dataset.channels();
    const std::int64_t image_elements = dataset.images.numel() / dataset.size();
    const std::uint8_t* bytes = std::as_const(dataset.images).data_as<std::uint8_t>();
    const std::int64_t* labels = std::as_const(dataset.labels).data_as<std::int64_t>();
    float* out = batch.images.data_as<float>();
    std::int64_t* out_labels = batch.labels.data_as<std::int64_t>();
    for (std::int64_t i = 0; i < batch.count; ++i) {
      const std::int64_t source =
          options.shuffle ? cache.order[static_cast<std::size_t>(begin + i)] : begin + i;
      batch.indices.push_back(source);
      out_labels[i] = labels[source];
      const std::uint8_t* from = bytes + source * image_elements;
      float* to = out + i * image_elements;
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::array<float, 256>& table = tables[static_cast<std::size_t>(c)];
        for (std::int64_t e = c; e < image_elements; e += channels) {
          to[e] = table[from[e]];
        }
      }
    }
    if (options.transform) {
      options.transform(batch);
    }
    return batch;
  }

  Position after(Position at) const {
    return at.batch + 1 < batches ? Position{at.epoch, at.batch + 1} : Position{at.epoch + 1, 0};
  }

  ImageDataset dataset;
  DataLoaderOptions options;
  std::int64_t batches = 0;
  std::vector<std::array<float, 256>> tables;
  OrderCache own_order;  // of the thread that calls next() without a worker
};

/// Makes batches ahead of the consumer, on into the following epoch, up to options.prefetch of
/// them. Starts with the first batch asked for.
class DataLoader::Worker {
 public:
  explicit Worker(const Maker& maker) : maker_(maker) {}
  ~Worker() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  Batch take(Position wanted) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!thread_.joinable()) {
      next_made_ = wanted;
      thread_ = std::thread([this] { run(); });
    }
    const Position coming = ready_.empty() ? next_made_ : ready_.front().position;
    if (coming != wanted) {
      ready_.clear();
      next_made_ = wanted;
      ++generation_;  // what is being made now is not wanted any more
    }
    if (ready_.empty()) {
      failed_ = false;  // what failed before is tried again now
    }
    changed_.notify_all();
    changed_.wait(lock, [&] { return !ready_.empty(); });
    Item item = std::move(ready_.front());
    ready_.pop_front();
    if (item.error) {
      next_made_ = wanted;  // the consumer may ask for the same batch again
    }
    lock.unlock();
    changed_.notify_all();
    if (item.error) {
      std::rethrow_exception(item.error);
    }
    return std::move(item.batch);
  }

 private:
  struct Item {
    Position position;
    Batch batch;
    std::exception_ptr error;
  };

  void run() {
    OrderCache order;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] {
        return stopping_ ||
               (!failed_ && static_cast<std::int64_t>(ready_.size()) < maker_.options.prefetch);
      });
      if (stopping_) {
        return;
      }
      Item item;
      item.position = next_made_;
      const std::uint64_t made_for = generation_;
      lock.unlock();
      try {
        item.batch = maker_.make(item.position, order);
      } catch (...) {
        item.error = std::current_exception();
      }
      lock.lock();
      if (made_for != generation_) {
        continue;
      }
      failed_ = item.error != nullptr;
      next_made_ = maker_.after(item.position);
      ready_.push_back(std::move(item));
      changed_.notify_all();
    }
  }

  const Maker& maker_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> ready_;        // consecutive positions up to next_made_
  Position next_made_;            // what the thread makes next, or is making
  std::uint64_t generation_ = 0;  // raised when the consumer jumps
  bool failed_ = false;  // the last item made is an exception: wait until more is asked for
  bool stopping_ = false;
};

DataLoader::DataLoader(ImageDataset dataset, DataLoaderOptions options)
    : maker_(std::make_unique<Maker>(std::move(dataset), std::move(options))) {
  if (maker_->options.prefetch > 0) {
    worker_ = std::make_unique<Worker>(*maker_);
  }
}

DataLoader::~DataLoader() = default;

const ImageDataset& DataLoader::dataset() const { return maker_->dataset; }
const DataLoaderOptions& DataLoader::options() const { return maker_->options; }
std::int64_t DataLoader::batches_per_epoch() const { return maker_->batches; }
std::int64_t DataLoader::images_per_epoch() const {
  return std::min(maker_->dataset.size(), maker_->batches * maker_->options.batch_size);
}
std::int64_t DataLoader::next_epoch() const { return epoch_; }
std::int64_t DataLoader::next_batch() const { return batch_; }

void DataLoader::seek(std::int64_t epoch, std::int64_t batch) {
  maker_->check("DataLoader::seek", {epoch, batch}, maker_->batches);
  epoch_ = epoch;
  batch_ = batch;
}

std::optional<Batch> DataLoader::next() {
  if (batch_ == maker_->batches) {
    ++epoch_;
    batch_ = 0;
    return std::nullopt;
  }
  const Position wanted{epoch_, batch_};
  Batch batch = worker_ ? worker_->take(wanted) : maker_->make(wanted, maker_->own_order);
  ++batch_;
  return batch;
}

Batch DataLoader::make_batch(std::int64_t epoch, std::int64_t batch) const {
  maker_->check("DataLoader::make_batch", {epoch, batch}, maker_->batches - 1);
  OrderCache order;
  return maker_->make({epoch, batch}, order);
}

DataLoader::Epoch DataLoader::epoch(std::int64_t epoch, std::int64_t first_batch) {
  seek(epoch, first_batch);
  return Epoch(this);
}

}  // namespace cks
