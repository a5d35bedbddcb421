#pragma once
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace cks::apps {

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
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  /// The bytes of a PNG file, of any size.
  void png(std::int64_t step, const std::string& tag, const std::string& bytes);

 private:
  /// An event whose field of this number is a text or a message.
  void record(std::int64_t step, int field, const std::string& content);

  std::string path_;
  std::ofstream out_;
};

}  // namespace cks::apps
