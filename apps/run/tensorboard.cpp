#include "apps/run/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>

#include "apps/report/figures.h"
#include "cks/core/error.h"
#include "cks/core/io/protobuf_impl.h"
#include "cks/core/ops/rearrange.h"
#include "cks/datasets/images/image_write.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

using Scalars = std::vector<std::pair<std::string, double>>;

/// CRC-32C (Castagnoli) of the bytes, masked as in a record.
std::uint32_t masked_checksum(std::string_view bytes) {
  constexpr std::uint32_t kPolynomial = 0x82f63b78;  // its bits reversed
  std::uint32_t sum = ~0U;
  for (const char byte : bytes) {
    sum ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? kPolynomial : 0U);
    }
  }
  return std::rotr(~sum, 15) + 0xa282ead8U;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Height and width of a PNG file, which stand behind its signature and the head of its first part.
std::pair<std::int64_t, std::int64_t> png_size(const std::string& bytes) {
  const auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      value = value * 256 + static_cast<unsigned char>(bytes.at(at + i));
    }
    return value;
  };
  return {number(20), number(16)};
}

/// A file of events that TensorBoard shows, also while it grows: `tensorboard --logdir runs`.
///
/// Each record is its length, that number's checksum, an Event message and its checksum; checksums
/// are CRC-32C, turned by 15 bits and moved by a constant.
/// Source
/// https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h
///         and core/util/event.proto, core/framework/summary.proto
/// Throws  IoError, naming the file, if it cannot be written.
class EventFile {
 public:
  /// A new one in the folder; its name begins with "events.out.tfevents.".
  explicit EventFile(const std::string& folder);

  /// Says that the program starts, or goes on, before this step: later events of an earlier file no
  /// longer hold.
  void start(std::int64_t step);
  void scalars(std::int64_t step, const Scalars& values);
  /// The bytes of a PNG file, of any size.
  void png(std::int64_t step, const std::string& tag, const std::string& bytes);

 private:
  /// An event whose field of this number is a text or a message.
  void record(std::int64_t step, int field, const std::string& content);

  std::string path_;
  std::ofstream out_;
};

EventFile::EventFile(const std::string& folder) {
  static std::atomic<int> made =
      0;  // files of one second in their order, as TensorBoard reads them
  path_ = (std::filesystem::path(folder) /
           formatted("events.out.tfevents.{:.0f}.{}.{}", wall_time(), ::getpid(), ++made))
              .string();
  out_.open(path_, std::ios::binary | std::ios::trunc);
  record(0, 3, "brain.Event:2");
}

void EventFile::record(std::int64_t step, int field, const std::string& content) {
  ProtoMessage event;
  event.real64(1, wall_time());
  event.integer(2, step);
  event.text(field, content);
  const std::string& message = event.bytes();
  std::string bytes;
  append_little_endian(bytes, static_cast<std::uint64_t>(message.size()));
  append_little_endian(bytes, masked_checksum(bytes));
  bytes += message;
  append_little_endian(bytes, masked_checksum(message));
  out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out_.flush();
  if (!out_) {
    throw IoError(path_ + ": cannot be written");
  }
}

void EventFile::start(std::int64_t step) {
  constexpr std::int64_t kStart = 1;
  ProtoMessage log;
  log.integer(1, kStart);
  record(step, 7, log.bytes());
}

void EventFile::scalars(std::int64_t step, const Scalars& values) {
  ProtoMessage summary;
  for (const auto& [tag, number] : values) {
    ProtoMessage value;
    value.text(1, tag);
    value.real32(2, static_cast<float>(number));
    summary.message(1, value);
  }
  record(step, 5, summary.bytes());
}

void EventFile::png(std::int64_t step, const std::string& tag, const std::string& bytes) {
  const auto [height, width] = png_size(bytes);
  ProtoMessage image;
  image.integer(1, height);
  image.integer(2, width);
  image.text(4, bytes);
  ProtoMessage value;
  value.text(1, tag);
  value.message(4, image);
  ProtoMessage summary;
  summary.message(1, value);
  record(step, 5, summary.bytes());
}

/// A square of pixels for each pair, brighter the larger its share of the row's images.
Tensor confusion_picture(const ConfusionMatrix& confusion) {
  const std::int64_t classes = confusion.classes();
  Tensor pixels = Tensor::empty({1, classes, classes, 1}, DType::uint8);
  auto* pixel = pixels.data_as<std::uint8_t>();
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    const auto images = static_cast<double>(std::max<std::int64_t>(1, confusion.images_of(truth)));
    for (std::int64_t predicted = 0; predicted < classes; ++predicted) {
      const double share = static_cast<double>(confusion.at(truth, predicted)) / images;
      *pixel++ = static_cast<std::uint8_t>(std::lround(255.0 * share));
    }
  }
  return upsample_nearest(pixels, std::max<std::int64_t>(1, 240 / classes))[0];
}

}  // namespace

void send_to_tensorboard(const RunFolder& folder, bool has_accuracy, TrainCallbacks& callbacks) {
  const auto file = std::make_shared<EventFile>(folder.path());
  callbacks.on_step = [file, has_accuracy, next = callbacks.on_step,
                       has_started = false](const StepEvent& event) mutable {
    if (!std::exchange(has_started, true)) {
      file->start(event.global_step);
    }
    Scalars values{{"train/loss", event.batch_loss},
                   {"train/learning_rate", event.learning_rate},
                   {"train/gradient_norm", event.gradient_norm},
                   {"train/images_per_second", event.images_per_second}};
    if (has_accuracy) {
      values.emplace_back("train/accuracy", event.accuracy);
    }
    file->scalars(event.global_step, values);
    next(event);
  };
  callbacks.on_epoch = [file, has_accuracy, next = callbacks.on_epoch](const EpochEvent& event) {
    const EpochMetrics& row = event.metrics;
    const std::string half = row.on_validation ? "validation/" : "test/";
    Scalars values{{"epoch/train_loss", row.train_loss}, {half + "loss", row.test_loss}};
    if (has_accuracy) {
      values.emplace_back("epoch/train_accuracy", row.train_accuracy);
      values.emplace_back(half + "accuracy", row.test_accuracy);
    }
    file->scalars(row.step, values);
    next(event);
  };
}

void send_pictures_to_tensorboard(const RunFolder& folder, const RunReport& report) {
  EventFile file(folder.path());
  const std::int64_t step = report.summary.steps;
  if (report.filters.defined()) {
    file.png(step, "filters", encode_png(filter_picture(report.filters)));
  }
  if (report.confusion) {
    file.png(step, "confusion", encode_png(confusion_picture(*report.confusion)));
  }
  for (const PictureSheet& sheet : report.sheets) {
    for (std::size_t i = 0; i < sheet.pictures.size(); ++i) {
      file.png(step, sheet.title + "/" + std::to_string(i), sheet.pictures[i].png);
    }
  }
}

}  // namespace cks::apps
