#include "cks/datasets/dataset.h"

#include <algorithm>
#include <cmath>

namespace cks {

std::string describe(const std::string& name, const DataSource& source) {
  switch (source.checksums) {
    case DataSource::Checksums::verified:
      return name + " from " + source.path + " (checksums verified)";
    case DataSource::Checksums::unknown:
      return name + " from " + source.path + " (checksums unknown)";
    case DataSource::Checksums::none:
      break;
  }
  return name + ", " + source.path + (source.split.empty() ? "" : ", " + source.split);
}

ChannelStatistics channel_statistics(const Tensor& images) {
  if (images.rank() != 4 || images.numel() == 0) {
    throw ShapeError("channel_statistics: images are " + images.shape().to_string() +
                     ", expected [N,H,W,C] without a zero");
  }
  const std::uint8_t* bytes = images.data_as<std::uint8_t>();
  const std::int64_t channels = images.size(3);
  const std::int64_t pixels = images.numel() / channels;
  ChannelStatistics result;
  for (std::int64_t c = 0; c < channels; ++c) {
    std::uint64_t sum = 0;
    std::uint64_t squares = 0;
    std::uint64_t least = 255;
    std::uint64_t greatest = 0;
    for (std::int64_t p = 0; p < pixels; ++p) {
      const std::uint64_t value = bytes[p * channels + c];
      sum += value;
      squares += value * value;
      least = std::min(least, value);
      greatest = std::max(greatest, value);
    }
    const double mean = static_cast<double>(sum) / static_cast<double>(pixels);
    const double variance =
        static_cast<double>(squares) / static_cast<double>(pixels) - mean * mean;
    result.mean.push_back(static_cast<float>(mean / 255.0));
    result.std.push_back(least == greatest ? 1.0F
                                           : static_cast<float>(std::sqrt(variance) / 255.0));
  }
  return result;
}

void ImageDataset::check() const {
  const std::string op = "dataset '" + name + "': ";
  if (!images.defined() || !labels.defined()) {
    throw Error(op + "images or labels are undefined");
  }
  const std::string shapes =
      " (images " + images.shape().to_string() + ", labels " + labels.shape().to_string() + ")";
  if (images.dtype() != DType::uint8 || labels.dtype() != DType::int64) {
    throw DtypeError(op + "images are " + name_of(images.dtype()) + " and labels " +
                     name_of(labels.dtype()) + ", expected uint8 and int64" + shapes);
  }
  if (!images.device().is_cpu() || !labels.device().is_cpu()) {
    throw DeviceError(op + "images are on " + images.device().to_string() + " and labels on " +
                      labels.device().to_string() + ", expected cpu" + shapes);
  }
  if (images.rank() != 4 || images.numel() == 0) {
    throw ShapeError(op + "images must be [N,H,W,C] without a zero" + shapes);
  }
  if (labels.rank() != 1 || labels.size(0) != images.size(0)) {
    throw ShapeError(op + "there must be one label for each image" + shapes);
  }
  const auto channel_count = static_cast<std::size_t>(channels());
  if (mean.size() != channel_count || std.size() != channel_count) {
    throw ShapeError(op + "mean has " + std::to_string(mean.size()) + " and std " +
                     std::to_string(std.size()) + " values, expected one for each channel" +
                     shapes);
  }
  for (std::size_t c = 0; c < channel_count; ++c) {
    if (!std::isfinite(mean[c]) || !std::isfinite(std[c]) || !(std[c] > 0.0F)) {
      throw Error(op + "channel " + std::to_string(c) + " has mean " + std::to_string(mean[c]) +
                  " and std " + std::to_string(std[c]) + ", expected finite numbers and std > 0");
    }
  }
  const std::int64_t* label = labels.data_as<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    if (label[i] < 0 || label[i] >= classes()) {
      throw Error(op + "label " + std::to_string(i) + " is " + std::to_string(label[i]) +
                  ", expected 0 to " + std::to_string(classes() - 1));
    }
  }
}

ImageDataset ImageDataset::subset(std::int64_t begin, std::int64_t end) const {
  if (begin < 0 || end <= begin || end > size()) {
    throw ShapeError("dataset '" + name + "': subset [" + std::to_string(begin) + "," +
                     std::to_string(end) + ") is empty or outside of its " +
                     std::to_string(size()) + " images");
  }
  ImageDataset part = *this;
  part.images = images.slice(begin, end);
  part.labels = labels.slice(begin, end);
  return part;
}

ImageDataset ImageDataset::limit(std::int64_t count) const {
  if (count < 1) {
    throw ShapeError("dataset '" + name + "': limit is " + std::to_string(count) +
                     ", expected at least 1");
  }
  return subset(0, std::min(count, size()));
}

std::vector<std::string> numbered_classes(std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) {
    names.push_back(std::to_string(i));
  }
  return names;
}

void set_statistics(TrainTest& data) {
  const ChannelStatistics statistics = channel_statistics(data.train.images);
  data.train.mean = data.test.mean = statistics.mean;
  data.train.std = data.test.std = statistics.std;
}

}  // namespace cks
