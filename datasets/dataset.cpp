#include "cks/datasets/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "cks/core/memory/reserve_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

std::string describe(const std::string& name, const DataSource& source) {
  if (source.checksums != DataSource::Checksums::none) {
    const bool verified = source.checksums == DataSource::Checksums::verified;
    return formatted("{} from {} (checksums {})", name, source.path,
                     verified ? "verified" : "unknown");
  }
  return name + ", " + source.path + (source.split.empty() ? "" : ", " + source.split);
}

ChannelStatistics channel_statistics(const Tensor& images) {
  if (images.rank() != 4 || images.numel() == 0) {
    throw ShapeError(formatted(
        "channel_statistics: images are {}, expected [N,H,W,C] without a zero", images.shape()));
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
  const std::string shapes = formatted(" (images {}, labels {})", images.shape(), labels.shape());
  if (images.dtype() != DType::uint8 || labels.dtype() != DType::int64) {
    throw DtypeError(formatted("{}images are {} and labels {}, expected uint8 and int64{}", op,
                               images.dtype(), labels.dtype(), shapes));
  }
  if (!images.device().is_cpu() || !labels.device().is_cpu()) {
    throw DeviceError(formatted("{}images are on {} and labels on {}, expected cpu{}", op,
                                images.device(), labels.device(), shapes));
  }
  if (images.rank() != 4 || images.numel() == 0) {
    throw ShapeError(op + "images must be [N,H,W,C] without a zero" + shapes);
  }
  if (labels.shape() != Shape{size()} && labels.shape() != Shape{size(), height(), width()}) {
    throw ShapeError(op + "there must be one label for each " +
                     (labels.rank() == 3 ? "pixel" : "image") + shapes);
  }
  const auto channel_count = static_cast<std::size_t>(channels());
  if (mean.size() != channel_count || std.size() != channel_count) {
    throw ShapeError(formatted("{}mean has {} and std {} values, expected one for each channel{}",
                               op, mean.size(), std.size(), shapes));
  }
  for (std::size_t c = 0; c < channel_count; ++c) {
    if (!std::isfinite(mean[c]) || !std::isfinite(std[c]) || !(std[c] > 0.0F)) {
      throw Error(
          formatted("{}channel {} has mean {} and std {}, expected finite numbers and std > 0", op,
                    c, mean[c], std[c]));
    }
  }
  const std::int64_t* label = labels.data_as<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    if ((label[i] < 0 || label[i] >= classes()) && label[i] != ignore_index) {
      throw Error(formatted("{}label {} is {}, expected 0 to {}", op, i, label[i], classes() - 1));
    }
  }
}

ImageDataset ImageDataset::subset(std::int64_t begin, std::int64_t end) const {
  if (begin < 0 || end <= begin || end > size()) {
    throw ShapeError(formatted("dataset '{}': subset [{},{}) is empty or outside of its {} images",
                               name, begin, end, size()));
  }
  ImageDataset part = *this;
  part.images = images.slice(begin, end);
  part.labels = labels.slice(begin, end);
  return part;
}

ImageDataset ImageDataset::select(const std::vector<std::int64_t>& places) const {
  ImageDataset chosen = *this;
  const auto count = static_cast<std::int64_t>(places.size());
  chosen.images = Tensor::empty(images.shape().with(0, count), DType::uint8);
  chosen.labels = Tensor::empty(labels.shape().with(0, count), DType::int64);
  const std::int64_t bytes = size() == 0 ? 0 : images.numel() / size();
  const std::int64_t labels_of_one = size() == 0 ? 0 : labels.numel() / size();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t place = places[static_cast<std::size_t>(i)];
    if (place < 0 || place >= size()) {
      throw ShapeError(
          formatted("dataset '{}': there is no image {} of its {}", name, place, size()));
    }
    std::copy_n(images.data_as<std::uint8_t>() + place * bytes, bytes,
                chosen.images.data_as<std::uint8_t>() + i * bytes);
    std::copy_n(labels.data_as<std::int64_t>() + place * labels_of_one, labels_of_one,
                chosen.labels.data_as<std::int64_t>() + i * labels_of_one);
  }
  return chosen;
}

std::vector<std::string> ImageDataset::classes_without_images() const {
  const std::vector<std::int64_t> given = labels.to_vector<std::int64_t>();
  const std::set<std::int64_t> present(given.begin(), given.end());
  std::vector<std::string> missing;
  for (std::int64_t label = 0; label < classes(); ++label) {
    if (!present.contains(label)) {
      missing.push_back(class_names[static_cast<std::size_t>(label)]);
    }
  }
  return missing;
}

std::vector<double> ImageDataset::balanced_class_weights() const {
  std::vector<double> counts(class_names.size());
  for (const std::int64_t label : labels.to_vector<std::int64_t>()) {
    if (label != ignore_index) {
      ++counts.at(static_cast<std::size_t>(label));
    }
  }
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  const auto present = std::count_if(counts.begin(), counts.end(), [](double n) { return n > 0; });
  std::vector<double> weights(counts.size());
  std::transform(counts.begin(), counts.end(), weights.begin(), [&](double count) {
    return count > 0 ? all / (static_cast<double>(present) * count) : 0.0;
  });
  return weights;
}

ImageDataset ImageDataset::limit(std::int64_t count) const {
  if (count < 1) {
    throw ShapeError(formatted("dataset '{}': limit is {}, expected at least 1", name, count));
  }
  return subset(0, std::min(count, size()));
}

std::vector<std::string> numbered_classes(std::int64_t count) {
  std::vector<std::string> names;
  reserve("numbered_classes", names, std::max<std::int64_t>(count, 0));
  for (std::int64_t i = 0; i < count; ++i) {
    names.push_back(std::to_string(i));
  }
  return names;
}

void set_statistics(TrainTest& data) {
  const ChannelStatistics statistics = channel_statistics(data.train.images);
  data.train.mean = data.test.mean = statistics.mean;
  data.train.std = data.test.std = statistics.std;
  if (data.val) {
    data.val->mean = statistics.mean;
    data.val->std = statistics.std;
  }
}

}  // namespace cks
