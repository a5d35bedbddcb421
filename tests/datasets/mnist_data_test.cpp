// Reads the MNIST that CKS_DATA_DIR points to. CTest counts it as skipped where that is not set.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

#include "cks/datasets/mnist.h"
#include "tests/datasets/support.h"

namespace {

bool has_data() {
  const char* dir = std::getenv("CKS_DATA_DIR");
  const bool found = dir != nullptr && *dir != '\0';
  if (!found) {
    std::cout << "skipped: CKS_DATA_DIR is not set\n";
  }
  return found;
}

}  // namespace

TEST_CASE("mnist data: the published files are verified and have the published statistics") {
  if (!has_data()) {
    return;
  }
  const cks::TrainTest data = cks::load_mnist();
  CHECK(data.train.name == "mnist");
  CHECK(data.train.source.checksums == cks::DataSource::Checksums::verified);
  CHECK(data.train.source.warning.empty());
  CHECK(data.train.images.shape() == cks::Shape{60000, 28, 28, 1});
  CHECK(data.test.images.shape() == cks::Shape{10000, 28, 28, 1});
  CHECK(data.train.mean[0] == doctest::Approx(0.1307).epsilon(0.001));
  CHECK(data.train.std[0] == doctest::Approx(0.3081).epsilon(0.001));
  // The first labels of both halves, as in every tutorial.
  CHECK(data.train.labels.slice(0, 5).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{5, 0, 4, 1, 9});
  CHECK(data.test.labels.slice(0, 5).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{7, 2, 1, 0, 4});
  data.train.check();
  data.test.check();
}

TEST_CASE("mnist data: a file of the right name and size with a wrong sum is only a warning") {
  if (!has_data()) {
    return;
  }
  const cks::testing::TemporaryFolder folder;
  cks::MnistFiles files = cks::find_mnist().value();
  cks::testing::Bytes labels = cks::testing::idx_labels(10000);
  files.test_labels = folder.file("t10k-labels-idx1-ubyte");
  cks::testing::write_file(files.test_labels, labels);
  const cks::TrainTest data = cks::load_mnist(files);
  CHECK(data.test.source.checksums == cks::DataSource::Checksums::unknown);
  CHECK(cks::testing::contains(data.test.source.warning, "published as mnist"));
  CHECK(cks::testing::contains(data.test.source.warning, files.test_labels));
  CHECK_FALSE(cks::testing::contains(data.test.source.warning, files.train_images));
  CHECK(data.test.labels.to_vector<std::int64_t>()[17] == 7);
}
