#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/datasets/images/image_io.h"

namespace cks {

/// Where images come from, for run headers and reports.
struct DataSource {
  /// What the files' checksums say: `verified` are known published files; `unknown` are readable
  /// files that are not among them; `none` has no files.
  enum class Checksums : std::uint8_t { none, verified, unknown };

  std::string path;  // absolute folder, or how the images were drawn
  Checksums checksums = Checksums::none;
  /// For people, where checksums are unknown, images were left out, or folders do not look like
  /// classes; otherwise empty.
  std::string warning;
  /// Broken images that were left out on request, each with its path and what is wrong with it.
  std::vector<std::string> skipped = {};
  /// How the test half was made, where the data have none of their own: "cut by seed, 20 % for
  /// testing"; otherwise empty.
  std::string split = {};
};

/// Name and source in one line: "mnist from /data/mnist (checksums verified)", "image folder,
/// /data/cats, cut by seed, 20 % for testing".
std::string describe(const std::string& name, const DataSource& source);

/// Mean and standard deviation of each channel, in units of x / 255.
struct ChannelStatistics {
  std::vector<float> mean;
  std::vector<float> std;
};

/// Of all pixels of uint8 [N,H,W,C], from exact integer sums (population standard deviation). A
/// channel of one value gets std 1, so that normalising it gives zeros. Throws ShapeError,
/// DtypeError.
ChannelStatistics channel_statistics(const Tensor& images);

/// Labelled images on the CPU, as bytes. A batch turns them into (x / 255 - mean) / std.
///
/// Copies share the elements.
struct ImageDataset {
  std::string name;
  Tensor images;  // uint8 [N,H,W,C]
  /// int64 [N], each in [0, class_names.size()); or masks [N,H,W], one for each pixel.
  Tensor labels;
  std::vector<std::string> class_names;
  std::vector<float> mean;  // of each channel; a test set carries its training set's
  std::vector<float> std;
  DataSource source;
  ImageFit fit = ImageFit::stretch;  // how pictures of other sizes became what they are
  /// Label of pixels that nobody has named, where masks have such.
  std::optional<std::int64_t> ignore_index = {};

  std::int64_t size() const { return images.size(0); }
  std::int64_t height() const { return images.size(1); }
  std::int64_t width() const { return images.size(2); }
  std::int64_t channels() const { return images.size(3); }
  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }

  /// Throws ShapeError, DtypeError or Error, naming the dataset and the member, unless all of the
  /// above holds, there is an image, and every std is positive and finite.
  void check() const;
  /// Images [begin, end), sharing memory. Throws ShapeError unless 0 <= begin < end <= size().
  ImageDataset subset(std::int64_t begin, std::int64_t end) const;
  /// Whether each pixel has a label. What counts labels, below, then counts pixels.
  bool has_masks() const { return labels.rank() == 3; }
  /// Names of the classes of which it has none.
  std::vector<std::string> classes_without_images() const;
  /// For each class images / (classes * its images), so that all classes count alike and an image 1
  /// in the mean; 0 for a class without one, and "classes" are those with one.
  std::vector<double> balanced_class_weights() const;
  /// Copies of the images at these places. Throws ShapeError for one that there is not.
  ImageDataset select(const std::vector<std::int64_t>& places) const;
  /// The first `count` images, or all if there are fewer. Throws ShapeError if count < 1.
  ImageDataset limit(std::int64_t count) const;
};

/// "0", "1", ..., as class names.
std::vector<std::string> numbered_classes(std::int64_t count);

/// The halves of a dataset; all normalise with the training half's statistics.
struct TrainTest {
  ImageDataset train;
  ImageDataset test;
  /// To choose the best epoch on; see cut_validation().
  std::optional<ImageDataset> val{};
};

/// Sets mean and std of all halves from the training half's images. Throws as
/// channel_statistics().
void set_statistics(TrainTest& data);

}  // namespace cks
