#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/tensor/random.h"
#include "cks/datasets/dataset.h"
#include "cks/datasets/drawn/drawn_split.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/random/philox.h"

namespace cks {

/// The random numbers of one stream, one after the other, for files compiled without contraction of
/// a * b + c: they are then the same on every machine.
class Draws {
 public:
  Draws(RandomKey key, std::int64_t step) : key_(key), step_(static_cast<std::uint64_t>(step)) {}

  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = kernels::random_block(key_.value, step_, next_block_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  /// In [0, 1), with 24 bits.
  float uniform() { return kernels::to_unit_interval(bits()); }
  float between(float low, float high) { return low + (high - low) * uniform(); }
  /// Bell-shaped around 0, standard deviation 1, at most 3 away from 0.
  float bell() { return (uniform() + uniform() + uniform() - 1.5F) * 2.0F; }
  /// In [0, count), for small counts.
  std::uint32_t below(std::uint32_t count) {
    return static_cast<std::uint32_t>(std::uint64_t{bits()} * count >> 32);
  }

 private:
  RandomKey key_;
  std::uint64_t step_;
  std::uint64_t next_block_ = 0;
  kernels::PhiloxBlock block_{};
  std::size_t used_ = 4;
};

/// Of what is drawn ("digits"): its labels or its shapes.
inline RandomKey drawing_key(const std::string& drawn, std::uint64_t seed, DrawnSplit split,
                             const char* what) {
  const char* half = split == DrawnSplit::train ? "train" : "test";
  return make_random_key(seed, RandomPurpose::data, "drawn_" + drawn + "." + half + what);
}

/// Label of image `index`, where each ten labels from a multiple of ten on are an order of the ten
/// classes of their own. Throws Error, naming the operation, for an index below 0.
inline std::int64_t balanced_label(const char* operation, const std::string& drawn,
                                   std::uint64_t seed, DrawnSplit split, std::int64_t index) {
  if (index < 0) {
    throw Error(formatted("{}: index is {}, expected at least 0", operation, index));
  }
  Draws draws(drawing_key(drawn, seed, split, ".labels"), index / 10);
  std::array<std::int64_t, 10> labels{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (std::uint32_t left = 10; left > 1; --left) {
    std::swap(labels[left - 1], labels[draws.below(left)]);
  }
  return labels[static_cast<std::size_t>(index % 10)];
}

/// The dataset of what `draw(seed, split, index, pixels)` draws.
template <class Options, class Draw>
TrainTest draw_dataset(const std::string& drawn, const std::vector<std::string>& class_names,
                       std::int64_t side, std::int64_t channels, const Options& options,
                       Draw draw) {
  const auto half = [&](DrawnSplit split, std::int64_t count) {
    if (count < 1) {
      throw Error(formatted("drawn_{}: a count is {}, expected at least 1", drawn, count));
    }
    ImageDataset dataset;
    dataset.name = "drawn " + drawn;
    dataset.class_names = class_names;
    dataset.source.path = "drawn from seed " + std::to_string(options.seed);
    dataset.images = Tensor::empty({count, side, side, channels}, DType::uint8);
    dataset.labels = Tensor::empty({count}, DType::int64);
    auto* pixels = dataset.images.data_as<std::uint8_t>();
    auto* labels = dataset.labels.data_as<std::int64_t>();
    constexpr std::int64_t kImagesPerBlock = 256;
    kernels::parallel_for_ranges(count, kImagesPerBlock, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        labels[i] = draw(options.seed, split, i, pixels + i * side * side * channels);
      }
    });
    return dataset;
  };
  TrainTest dataset{half(DrawnSplit::train, options.train_count),
                    half(DrawnSplit::test, options.test_count)};
  set_statistics(dataset);
  return dataset;
}

}  // namespace cks
