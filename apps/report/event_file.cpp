#include "apps/report/event_file.h"

#include <unistd.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <filesystem>
#include <string_view>

#include "cks/core/error.h"
#include "cks/core/io/protobuf_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

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

}  // namespace

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

void EventFile::scalars(std::int64_t step,
                        const std::vector<std::pair<std::string, double>>& values) {
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

}  // namespace cks::apps
