#include "cks/datasets/mnist.h"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <set>

#include "tests/datasets/support.h"

using cks::find_mnist;
using cks::load_mnist;
using namespace cks::testing;

namespace {

const std::array<std::string, 4> kNames{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

std::string dotted(std::string name) {
  name[name.find("-idx")] = '.';
  return name;
}

std::array<Bytes, 4> small_set() {
  return {idx_images(20, 6, 5, 1), idx_labels(20), idx_images(10, 6, 5, 2), idx_labels(10)};
}

/// Writes the four files; spelling: 0 and 1 plain, 2 and 3 .gz, odd ones with a dot.
void write_set(const std::string& folder, const std::array<Bytes, 4>& files, int spelling = 0) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::string path = folder;
    path.append("/").append(spelling % 2 == 1 ? dotted(kNames[i]) : kNames[i]);
    if (spelling < 2) {
      write_file(path, files[i]);
    } else {
      write_file(path.append(".gz"), gzip(files[i]));
    }
  }
}

}  // namespace

TEST_CASE("mnist: every spelling in every folder") {
  for (const char* inside : {"", "/mnist", "/MNIST/raw"}) {
    for (int spelling = 0; spelling < 4; ++spelling) {
      CAPTURE(inside);
      CAPTURE(spelling);
      const TemporaryFolder folder;
      write_set(folder.path() + inside, small_set(), spelling);
      const cks::TrainTest data = load_mnist(folder.path());
      CHECK(data.train.images.shape() == cks::Shape{20, 6, 5, 1});
      CHECK(data.test.images.shape() == cks::Shape{10, 6, 5, 1});
      CHECK(data.train.source.path == folder.path() + inside);
      CHECK(data.train.labels.to_vector<std::int64_t>()[13] == 3);
      const Bytes file = small_set()[2];
      CHECK(data.test.images.to_vector<std::uint8_t>() == Bytes(file.begin() + 16, file.end()));
      data.train.check();
      data.test.check();
    }
  }
}

TEST_CASE("mnist: both halves carry the training half's statistics") {
  const TemporaryFolder folder;
  write_set(folder.path(), small_set());
  const cks::TrainTest data = load_mnist(folder.path());
  const cks::ChannelStatistics own = cks::channel_statistics(data.train.images);
  CHECK(data.train.mean == own.mean);
  CHECK(data.train.std == own.std);
  CHECK(data.test.mean == own.mean);
  CHECK(data.test.std == own.std);
  CHECK(data.test.mean != cks::channel_statistics(data.test.images).mean);
}

TEST_CASE("mnist: a relative folder becomes absolute, CKS_DATA_DIR and ./data are the default") {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const EnvironmentScope unset("CKS_DATA_DIR", nullptr);
  CHECK_FALSE(find_mnist().has_value());
  write_set(folder.file("data/mnist"), small_set());
  CHECK(find_mnist()->folder == folder.file("data/mnist"));
  CHECK(find_mnist("data")->folder == folder.file("data/mnist"));
  CHECK(find_mnist("./data/../data/mnist")->folder == folder.file("data/mnist"));
  {
    write_set(folder.file("other"), small_set());
    const EnvironmentScope set("CKS_DATA_DIR", folder.file("other").c_str());
    CHECK(find_mnist()->folder == folder.file("other"));
    CHECK(find_mnist("data")->folder == folder.file("data/mnist"));
    // A folder that the caller names is never replaced by another.
    CHECK_FALSE(find_mnist("nowhere").has_value());
  }
  std::filesystem::current_path(before);
}

TEST_CASE("mnist: not found lists names, folders and the command") {
  const TemporaryFolder folder;
  const std::string nothing = io_error([&] { load_mnist(folder.path()); });
  for (const std::string& part :
       {"looked in  " + folder.path() + "\n", "looked in  " + folder.file("mnist") + "\n",
        "looked in  " + folder.file("MNIST/raw") + "\n",
        std::string("train-images-idx3-ubyte[.gz] or train-images.idx3-ubyte[.gz]"),
        std::string("t10k-labels-idx1-ubyte[.gz] or t10k-labels.idx1-ubyte[.gz]"),
        "scripts/get_data.sh mnist --dir " + folder.path()}) {
    CAPTURE(nothing);
    CHECK(contains(nothing, part));
  }
  write_file(folder.file("mnist/" + kNames[0]), idx_images(2, 2, 2));
  const std::string some = io_error([&] { load_mnist(folder.path()); });
  CHECK(contains(some, folder.file("mnist") + ": has train-images-idx3-ubyte, lacks "
                                              "train-labels-idx1-ubyte t10k-images-idx3-ubyte "
                                              "t10k-labels-idx1-ubyte"));
  const std::string page = "<!DOCTYPE html><html>403 Forbidden</html>";
  write_file(folder.file("mnist/" + kNames[0] + ".gz"), Bytes(page.begin(), page.end()));
  std::filesystem::remove(folder.file("mnist/" + kNames[0]));
  CHECK(contains(io_error([&] { load_mnist(folder.path()); }),
                 "has train-images-idx3-ubyte (an HTML page, as servers send in place of a file), "
                 "lacks train-labels"));
  // A folder with a file's name is not the file.
  std::filesystem::create_directories(folder.file("mnist/" + kNames[1]));
  CHECK(contains(io_error([&] { load_mnist(folder.path()); }), "lacks train-labels"));
}

TEST_CASE("mnist: files that do not belong together") {
  const TemporaryFolder folder;
  std::array<Bytes, 4> files = small_set();
  files[1] = idx_labels(19);
  write_set(folder.path(), files);
  const std::string counts = io_error([&] { load_mnist(folder.path()); });
  CHECK(contains(counts, folder.file(kNames[0]) + "' has 20 images"));
  CHECK(contains(counts, folder.file(kNames[1]) + "' has 19 labels"));
  files = small_set();
  files[2] = idx_images(10, 5, 6);
  write_set(folder.path(), files);
  const std::string sizes = io_error([&] { load_mnist(folder.path()); });
  CHECK(contains(sizes, "[20,6,5,1]"));
  CHECK(contains(sizes, "[10,5,6,1]"));
}

TEST_CASE("mnist: classes") {
  const TemporaryFolder folder;
  std::array<Bytes, 4> files = small_set();
  files[1] = idx_labels(20, 12);
  write_set(folder.path(), files);
  CHECK(contains(io_error([&] { load_mnist(folder.path()); }), "label 10 is 10, expected 0 to 9"));
  const cks::TrainTest data = load_mnist(folder.path(), {.classes = 12});
  CHECK(data.train.classes() == 12);
  CHECK(data.train.class_names.back() == "11");
}

namespace {

/// Files of a split of EMNIST, with labels from `first` on.
void write_emnist(const std::string& folder, const std::string& split, std::uint32_t classes,
                  std::uint8_t first = 0) {
  const auto labels = [&](std::uint32_t count) {
    Bytes bytes = idx_labels(count, classes);
    for (std::size_t i = 8; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::uint8_t>(bytes[i] + first);
    }
    return bytes;
  };
  const std::string begin = folder + "/emnist-" + split + "-";
  write_file(begin + "train-images-idx3-ubyte.gz", gzip(idx_images(70, 6, 5, 1)));
  write_file(begin + "train-labels-idx1-ubyte.gz", gzip(labels(70)));
  write_file(begin + "test-images-idx3-ubyte", idx_images(65, 6, 5, 2));
  write_file(begin + "test-labels-idx1-ubyte", labels(65));
}

}  // namespace

TEST_CASE("mnist: EMNIST by its own names, upright, with letters from 1 on") {
  for (const char* inside : {"", "/emnist", "/EMNIST/raw", "/gzip"}) {
    CAPTURE(inside);
    const TemporaryFolder folder;
    write_emnist(folder.path() + inside, "letters", 26, 1);
    const cks::TrainTest data = load_mnist(folder.path());
    CHECK(data.train.name == "emnist-letters");
    CHECK(data.train.classes() == 26);
    CHECK(data.train.class_names.front() == "A");
    CHECK(data.train.class_names.back() == "Z");
    CHECK(data.train.labels.to_vector<std::int64_t>()[27] == 1);  // 2 in the file
    CHECK(data.train.source.warning.empty());
    CHECK(data.train.images.shape() == cks::Shape{70, 5, 6, 1});
    const Bytes stored = idx_images(65, 6, 5, 2);
    const Bytes upright = data.test.images.to_vector<std::uint8_t>();
    for (std::size_t i = 0; i < 65; ++i) {
      for (std::size_t y = 0; y < 5; ++y) {
        for (std::size_t x = 0; x < 6; ++x) {
          REQUIRE(upright[(i * 5 + y) * 6 + x] == stored[16 + (i * 6 + x) * 5 + y]);
        }
      }
    }
  }
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::int64_t>> sizes{
      {"balanced", 47}, {"byclass", 62}, {"bymerge", 47}, {"digits", 10}, {"mnist", 10}};
  for (const auto& [split, classes] : sizes) {
    write_emnist(folder.path(), split, static_cast<std::uint32_t>(classes));
    const cks::TrainTest data = load_mnist(folder.path(), {.emnist = split});
    CHECK(data.train.classes() == classes);
    CHECK(std::set(data.train.class_names.begin(), data.train.class_names.end()).size() ==
          static_cast<std::size_t>(classes));
    CHECK(data.train.class_names[9] == "9");
  }
  const std::string several = io_error([&] { load_mnist(folder.path()); });
  CHECK(contains(several, "several splits of EMNIST (balanced, byclass, bymerge, digits, mnist)"));
  CHECK(contains(io_error([&] { load_mnist(folder.path(), {.emnist = "letters"}); }),
                 "emnist-letters-test-labels-idx1-ubyte"));
  CHECK_THROWS_AS(find_mnist(folder.path(), "numbers"), cks::Error);
  // MNIST's own names go before them.
  write_set(folder.path(), small_set());
  CHECK(load_mnist(folder.path()).train.name == "mnist-format");
}

TEST_CASE("mnist: labels that begin with 1") {
  const TemporaryFolder folder;
  std::array<Bytes, 4> files = small_set();
  for (const std::size_t i : {1, 3}) {
    for (std::size_t at = 8; at < files.at(i).size(); ++at) {
      ++files.at(i)[at];
    }
  }
  write_set(folder.path(), files);
  CHECK(contains(io_error([&] { load_mnist(folder.path()); }), "label 9 is 10, expected 0 to 9"));
  const cks::TrainTest data = load_mnist(folder.path(), {.first_label = 1});
  CHECK(data.train.labels.to_vector<std::int64_t>()[13] == 3);
  CHECK(contains(io_error([&] { load_mnist(folder.path(), {.first_label = 2}); }),
                 "label 0 is 1, expected 2 to 11"));
}

TEST_CASE("mnist: files that nobody published are read with a warning") {
  const TemporaryFolder folder;
  write_set(folder.path(), small_set());
  const cks::TrainTest data = load_mnist(folder.path());
  CHECK(data.train.name == "mnist-format");
  CHECK(data.train.source.checksums == cks::DataSource::Checksums::unknown);
  CHECK(contains(data.train.source.warning, folder.path()));
  CHECK(contains(data.train.source.warning, "neither those of MNIST nor of Fashion-MNIST"));
  CHECK(cks::describe(data.train.name, data.train.source) ==
        "mnist-format from " + folder.path() + " (checksums unknown)");
}

TEST_CASE("mnist: files named one by one") {
  const TemporaryFolder folder;
  write_set(folder.path(), small_set());
  const cks::TrainTest data =
      load_mnist(cks::MnistFiles{"", folder.file(kNames[0]), folder.file(kNames[1]),
                                 folder.file(kNames[0]), folder.file(kNames[1])});
  CHECK(data.test.size() == 20);
  CHECK(data.train.source.path == folder.file(kNames[0]));
}
