#include "cks/datasets/data_loader.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "cks/core/error.h"
#include "cks/core/tensor/random.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

struct Position {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// Each value of a byte, normalised, for each channel: [C,256].
Tensor normalised_bytes(const ImageDataset& dataset) {
  std::vector<float> table;
  for (std::size_t c = 0; c < dataset.mean.size(); ++c) {
    for (int value = 0; value < 256; ++value) {
      const double unit = static_cast<double>(value) / 255.0;
      table.push_back(static_cast<float>((unit - static_cast<double>(dataset.mean[c])) /
                                         static_cast<double>(dataset.std[c])));
    }
  }
  return Tensor::from_vector(table, {dataset.channels(), 256});
}

}  // namespace

struct DataLoader::Maker {
  Maker(ImageDataset images, DataLoaderOptions settings)
      : dataset(std::move(images)), options(std::move(settings)) {
    dataset.check();
    const std::string op = "data loader of '" + dataset.name + "': ";
    if (options.batch_size < 1) {
      throw Error(formatted("{}batch_size is {}, expected at least 1", op, options.batch_size));
    }
    if (options.prefetch < 0) {
      throw Error(formatted("{}prefetch is {}, expected at least 0", op, options.prefetch));
    }
    const std::int64_t full = dataset.size() / options.batch_size;
    const bool partial = dataset.size() % options.batch_size != 0;
    batches = full + (partial && !options.drop_last ? 1 : 0);
    if (batches == 0) {
      throw Error(formatted("{}drop_last leaves nothing of {} images in batches of {}", op,
                            dataset.size(), options.batch_size));
    }
    check_share(op);
    require_augmentation("data loader of '" + dataset.name + "'", options.augment,
                         dataset.images.shape());
    batch_options = {.shuffle = options.shuffle,
                     .order_key = make_random_key(options.seed, RandomPurpose::shuffle),
                     .augment = options.augment,
                     .augment_key = make_random_key(options.seed, RandomPurpose::augment),
                     .frame_label = dataset.ignore_index.value_or(0)};
    bank = {dataset.images, dataset.labels, normalised_bytes(dataset)};
    if (!made_on().is_cpu()) {
      move_bank(op);
    }
  }

  void check_share(const std::string& op) const {
    const auto [rank, ranks] = options.share;
    if (ranks < 1 || rank < 0 || rank >= ranks) {
      throw Error(formatted("{}share is rank {} of {}", op, rank, ranks));
    }
    const std::int64_t over = options.batch_size % ranks;
    if (const std::int64_t less = options.batch_size - over; over != 0) {
      throw Error(formatted("{}a batch of {} images does not divide among {} ranks; {}{} would", op,
                            options.batch_size, ranks, less > 0 ? formatted("{} or ", less) : "",
                            less + ranks));
    }
    const std::int64_t rest = options.drop_last ? 0 : dataset.size() % options.batch_size;
    const std::int64_t least =
        rest == 0 || batches == 1 ? std::min(options.batch_size, dataset.size()) : rest;
    if (least < ranks) {
      throw Error(
          formatted("{}a batch has {} images, fewer than the {} ranks{}", op, least, ranks,
                    rest == least ? "; drop_last leaves out an epoch's last, smaller batch" : ""));
    }
  }

  /// Where batches are made.
  Device made_on() const { return options.transform ? Device::cpu() : options.device; }

  std::int64_t bank_bytes() const {
    return static_cast<std::int64_t>(bank.pixels.nbytes() + bank.labels.nbytes() +
                                     bank.tables.nbytes());
  }

  void move_bank(const std::string& op) {
    try {
      bank = {bank.pixels.to(options.device), bank.labels.to(options.device),
              bank.tables.to(options.device)};
    } catch (const OutOfMemoryError& error) {
      throw OutOfMemoryError(
          formatted("{}its {} images, {} bytes, do not fit on {} ({}); with the "
                    "loader's device left at cpu, each batch is copied there",
                    op, dataset.size(), bank_bytes(), options.device, error.what()));
    }
  }

  void check(const char* what, Position at, std::int64_t last) const {
    if (at.epoch < 0 || at.batch < 0 || at.batch > last) {
      throw Error(
          formatted("{} of '{}': epoch {}, batch {} does not exist; an epoch has batches 0 to {}",
                    what, dataset.name, at.epoch, at.batch, batches - 1));
    }
  }

  /// For this rank's share of a batch of `total` images.
  ImageBatchOptions options_of(std::int64_t total) const {
    ImageBatchOptions mine = batch_options;
    mine.skip = options.share.first(total);
    return mine;
  }

  Batch make(Position at) const {
    const std::int64_t first = at.batch * options.batch_size;
    Batch batch;
    batch.epoch = at.epoch;
    batch.index = at.batch;
    batch.total = std::min(options.batch_size, dataset.size() - first);
    batch.count = options.share.count(batch.total);
    const ImageBatchOptions mine = options_of(batch.total);
    batch.indices = image_batch_indices(dataset.size(), at.epoch, first, batch.count, mine);
    batch.images =
        Tensor::empty(dataset.images.shape().with(0, batch.count), DType::float32, made_on());
    batch.labels =
        Tensor::empty(dataset.labels.shape().with(0, batch.count), DType::int64, made_on());
    make_image_batch_(batch.images, batch.labels, bank,
                      make_batch_position(at.epoch, first, made_on()), mine);
    if (options.transform) {
      options.transform(batch);
    }
    if (options.share.ranks == 1) {
      batch.total = batch.images.size(0);  // which a transform may have changed
    }
    return batch;
  }

  /// A batch as made, where it is asked for. On the consumer's thread, whose stream it is for.
  Batch delivered(Batch batch) const {
    batch.images = batch.images.to(options.device);
    batch.labels = batch.labels.to(options.device);
    return batch;
  }

  Position after(Position at) const {
    return at.batch + 1 < batches ? Position{at.epoch, at.batch + 1} : Position{at.epoch + 1, 0};
  }

  ImageDataset dataset;
  DataLoaderOptions options;
  std::int64_t batches = 0;
  ImageBank bank;  // on made_on()
  ImageBatchOptions batch_options;
};

/// Makes batches ahead of the consumer, on into the following epoch, up to options.prefetch of
/// them. Starts with the first batch asked for.
class DataLoader::Worker {
 public:
  explicit Worker(const Maker& maker)
      : maker_(maker), free_(static_cast<std::size_t>(maker.options.prefetch)) {}
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

  /// A child of fork() has its parent's worker, but not the thread, and perhaps a lock that nobody
  /// will open: that worker is left alone, kept, so that it is no leak.
  static void leave_if_forked(std::unique_ptr<Worker>& worker) {
    if (worker && worker->process_ != getpid()) {
      static auto* const left = new std::vector<Worker*>;
      left->push_back(worker.release());
    }
  }

  Batch take(Position wanted) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!thread_.joinable()) {
      next_made_ = wanted;
      thread_ = std::thread([this] { run(); });
    }
    const Position coming = ready_.empty() ? next_made_ : ready_.front().position;
    if (coming != wanted) {
      while (!ready_.empty()) {
        take_first();
      }
      next_made_ = wanted;
      ++generation_;  // what is being made now is not wanted any more
    }
    if (ready_.empty()) {
      failed_ = false;  // what failed before is tried again now
    }
    changed_.notify_all();
    changed_.wait(lock, [&] { return !ready_.empty(); });
    Item item = take_first();
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

  Item take_first() {
    Item item = std::exchange(ready_.front(), {});
    free_.splice(free_.begin(), ready_, ready_.begin());
    return item;
  }

  void run() {
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
        item.batch = maker_.make(item.position);
      } catch (...) {
        item.error = std::current_exception();
      }
      lock.lock();
      if (made_for != generation_) {
        continue;
      }
      failed_ = item.error != nullptr;
      next_made_ = maker_.after(item.position);
      free_.front() = std::move(item);
      ready_.splice(ready_.end(), free_, free_.begin());
      changed_.notify_all();
    }
  }

  const Maker& maker_;
  const pid_t process_ = getpid();
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Item> ready_;         // consecutive positions up to next_made_
  std::list<Item> free_;          // places for more: where memory ran out, the error has one
  Position next_made_;            // what the thread makes next, or is making
  std::uint64_t generation_ = 0;  // raised when the consumer jumps
  bool failed_ = false;  // the last item made is an exception: wait until more is asked for
  bool stopping_ = false;
};

DataLoader::DataLoader(ImageDataset dataset, DataLoaderOptions options)
    : maker_(std::make_unique<Maker>(std::move(dataset), std::move(options))) {}

DataLoader::~DataLoader() { Worker::leave_if_forked(worker_); }

const ImageDataset& DataLoader::dataset() const { return maker_->dataset; }
const DataLoaderOptions& DataLoader::options() const { return maker_->options; }
std::int64_t DataLoader::batches_per_epoch() const { return maker_->batches; }
std::int64_t DataLoader::images_per_epoch() const {
  return std::min(maker_->dataset.size(), maker_->batches * maker_->options.batch_size);
}
std::int64_t DataLoader::device_bytes() const {
  return maker_->made_on().is_cpu() ? 0 : maker_->bank_bytes();
}

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
  Worker::leave_if_forked(worker_);
  if (!worker_ && maker_->options.prefetch > 0 && maker_->made_on().is_cpu()) {
    worker_ = std::make_unique<Worker>(*maker_);
  }
  Batch batch;
  try {
    batch = worker_ ? worker_->take(wanted) : maker_->make(wanted);
  } catch (const std::system_error&) {  // no thread to be had now; the batches are the same
    worker_.reset();
    batch = maker_->make(wanted);
  }
  batch = maker_->delivered(std::move(batch));
  ++batch_;
  return batch;
}

Batch DataLoader::make_batch(std::int64_t epoch, std::int64_t batch) const {
  maker_->check("DataLoader::make_batch", {epoch, batch}, maker_->batches - 1);
  return maker_->delivered(maker_->make({epoch, batch}));
}

Tensor DataLoader::position(std::int64_t epoch, std::int64_t batch) const {
  maker_->check("DataLoader::position", {epoch, batch}, maker_->batches - 1);
  return make_batch_position(epoch, batch * maker_->options.batch_size, maker_->options.device);
}

void DataLoader::fill_batch(Tensor& images, Tensor& labels, Tensor& position,
                            std::int64_t total) const {
  if (maker_->options.transform) {
    throw Error("DataLoader::fill_batch of '" + maker_->dataset.name +
                "': the loader has a transform, a function of the host; take batches with next()");
  }
  total = total == 0 ? images.size(0) : total;
  make_image_batch_(images, labels, maker_->bank, position, maker_->options_of(total));
  advance_batch_position_(position, total, images_per_epoch());
}

DataLoader::Epoch DataLoader::epoch(std::int64_t epoch, std::int64_t first_batch) {
  seek(epoch, first_batch);
  return Epoch(this);
}

}  // namespace cks
