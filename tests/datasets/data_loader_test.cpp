#include "cks/datasets/data_loader.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "cks/core/capture/capture.h"
#include "cks/core/error.h"
#include "tests/support/devices.h"
#include "tests/support/fill.h"

using cks::Batch;
using cks::DataLoader;
using cks::DataLoaderOptions;
using cks::ImageDataset;
using cks::Tensor;

namespace {

/// Image i has label i % 10, its first byte is i % 256.
ImageDataset numbered_dataset(std::int64_t count) {
  ImageDataset dataset;
  dataset.name = "numbered";
  dataset.images = Tensor::empty({count, 2, 3, 2}, cks::DType::uint8);
  dataset.labels = Tensor::empty({count}, cks::DType::int64);
  for (std::int64_t i = 0; i < dataset.images.numel(); ++i) {
    dataset.images.data_as<std::uint8_t>()[i] = static_cast<std::uint8_t>(
        i % 12 == 0 ? i / 12 : static_cast<std::int64_t>(cks::testing::random_bits(3, i) >> 56));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    dataset.labels.data_as<std::int64_t>()[i] = i % 10;
  }
  dataset.class_names = cks::numbered_classes(10);
  dataset.mean = {0.25F, 0.5F};
  dataset.std = {0.125F, 0.3F};
  return dataset;
}

bool same(const Batch& a, const Batch& b) {
  return a.images.to_vector<float>() == b.images.to_vector<float>() &&
         a.labels.to_vector<std::int64_t>() == b.labels.to_vector<std::int64_t>() &&
         a.count == b.count && a.epoch == b.epoch && a.index == b.index && a.indices == b.indices;
}

std::vector<Batch> batches_of(DataLoader& loader, std::int64_t epoch, std::int64_t first = 0) {
  std::vector<Batch> batches;
  for (const Batch& batch : loader.epoch(epoch, first)) {
    batches.push_back(batch);
  }
  return batches;
}

std::vector<std::int64_t> visited(const std::vector<Batch>& batches) {
  std::vector<std::int64_t> all;
  for (const Batch& batch : batches) {
    all.insert(all.end(), batch.indices.begin(), batch.indices.end());
  }
  return all;
}

std::vector<std::int64_t> counting_to(std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
  return numbers;
}

}  // namespace

TEST_CASE("data loader: images are normalised, labels and indices belong to them") {
  const ImageDataset dataset = numbered_dataset(23);
  DataLoader loader(dataset, {.batch_size = 8});
  const std::vector<std::uint8_t> bytes = dataset.images.to_vector<std::uint8_t>();
  for (const Batch& batch : loader.epoch(0)) {
    CHECK(batch.images.shape() == cks::Shape{batch.count, 2, 3, 2});
    CHECK(batch.images.dtype() == cks::DType::float32);
    const std::vector<float> values = batch.images.to_vector<float>();
    const std::vector<std::int64_t> labels = batch.labels.to_vector<std::int64_t>();
    REQUIRE(batch.indices.size() == static_cast<std::size_t>(batch.count));
    for (std::size_t i = 0; i < batch.indices.size(); ++i) {
      const auto source = static_cast<std::size_t>(batch.indices[i]);
      CHECK(labels[i] == static_cast<std::int64_t>(source % 10));
      for (std::size_t e = 0; e < 12; ++e) {
        const std::size_t c = e % 2;
        const double expected =
            (bytes[12 * source + e] / 255.0 - static_cast<double>(dataset.mean[c])) /
            static_cast<double>(dataset.std[c]);
        CHECK(values[12 * i + e] == static_cast<float>(expected));
      }
    }
  }
}

TEST_CASE("data loader: an epoch visits every image once, each epoch in an order of its own") {
  DataLoader loader(numbered_dataset(1001), {.batch_size = 64, .seed = 9});
  CHECK(loader.batches_per_epoch() == 16);
  CHECK(loader.images_per_epoch() == 1001);
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<Batch> batches = batches_of(loader, epoch);
    REQUIRE(batches.size() == 16);
    CHECK(batches.back().count == 41);
    std::vector<std::int64_t> order = visited(batches);
    orders.push_back(order);
    std::sort(order.begin(), order.end());
    CHECK(order == counting_to(1001));
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
  CHECK(orders[0] != counting_to(1001));
  DataLoader other(numbered_dataset(1001), {.batch_size = 64, .seed = 10});
  CHECK(visited(batches_of(other, 0)) != orders[0]);
}

TEST_CASE("data loader: in order without shuffle, without the partial batch with drop_last") {
  DataLoader loader(numbered_dataset(30), {.batch_size = 8, .shuffle = false, .drop_last = true});
  CHECK(loader.batches_per_epoch() == 3);
  CHECK(loader.images_per_epoch() == 24);
  CHECK(visited(batches_of(loader, 4)) == counting_to(24));
  DataLoader exact(numbered_dataset(32), {.batch_size = 8, .drop_last = true});
  CHECK(exact.batches_per_epoch() == 4);
  DataLoader wide(numbered_dataset(5), {.batch_size = 100});
  CHECK(batches_of(wide, 0).front().count == 5);
}

TEST_CASE("data loader: the same batches with any prefetch, alone, and from the middle") {
  const ImageDataset dataset = numbered_dataset(100);
  DataLoader plain(dataset, {.batch_size = 7, .seed = 3, .prefetch = 0});
  std::vector<std::vector<Batch>> expected;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    expected.push_back(batches_of(plain, epoch));
  }
  for (const std::int64_t prefetch : {0, 1, 2, 50}) {
    CAPTURE(prefetch);
    DataLoader loader(dataset, {.batch_size = 7, .seed = 3, .prefetch = prefetch});
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
      const std::vector<Batch> batches = batches_of(loader, static_cast<std::int64_t>(epoch));
      REQUIRE(batches.size() == expected[epoch].size());
      for (std::size_t b = 0; b < batches.size(); ++b) {
        CHECK(same(batches[b], expected[epoch][b]));
      }
    }
    for (const std::size_t first : {0U, 1U, 14U, 15U}) {
      const std::vector<Batch> rest = batches_of(loader, 1, static_cast<std::int64_t>(first));
      REQUIRE(rest.size() == 15 - first);
      for (std::size_t b = 0; b < rest.size(); ++b) {
        CHECK(same(rest[b], expected[1][first + b]));
      }
    }
    CHECK(same(loader.make_batch(2, 5), expected[2][5]));
  }
}

TEST_CASE("data loader: next() ends each epoch once and tells its position") {
  for (const std::int64_t prefetch : {0, 2}) {
    DataLoader loader(numbered_dataset(20), {.batch_size = 8, .prefetch = prefetch});
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      for (std::int64_t index = 0; index < 3; ++index) {
        CHECK(loader.next_epoch() == epoch);
        CHECK(loader.next_batch() == index);
        const std::optional<Batch> batch = loader.next();
        REQUIRE(batch.has_value());
        CHECK(batch->epoch == epoch);
        CHECK(batch->index == index);
      }
      CHECK_FALSE(loader.next().has_value());
    }
    loader.seek(7, 3);
    CHECK_FALSE(loader.next().has_value());
    CHECK(loader.next()->epoch == 8);
    CHECK_THROWS_WITH_AS(loader.seek(0, 4), doctest::Contains("batches 0 to 2"), cks::Error);
    CHECK_THROWS_AS(loader.seek(-1), cks::Error);
    CHECK_THROWS_AS(loader.seek(0, -1), cks::Error);
    CHECK_THROWS_AS(loader.make_batch(0, 3), cks::Error);
  }
}

TEST_CASE("data loader: seeking anywhere at any time gives the batch of that place") {
  const ImageDataset dataset = numbered_dataset(50);
  DataLoader plain(dataset, {.batch_size = 8, .prefetch = 0});
  DataLoader loader(dataset, {.batch_size = 8, .prefetch = 3});
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::int64_t epoch = cks::testing::random_integer(1, i, 0, 3);
    const std::int64_t batch = cks::testing::random_integer(2, i, 0, 6);
    loader.seek(epoch, batch);
    CHECK(same(loader.next().value(), plain.make_batch(epoch, batch)));
  }
}

TEST_CASE("data loader: a transform changes each batch; its exception reaches the consumer") {
  for (const std::int64_t prefetch : {0, 1, 4}) {
    CAPTURE(prefetch);
    std::atomic<bool> broken{true};
    DataLoader loader(numbered_dataset(64),
                      {.batch_size = 8, .prefetch = prefetch, .transform = [&](Batch& batch) {
                         if (batch.index == 3 && broken) {
                           throw std::runtime_error("batch 3 is broken");
                         }
                         batch.images.fill_(static_cast<double>(batch.index));
                       }});
    for (int i = 0; i < 3; ++i) {
      CHECK(loader.next()->images.to_vector<float>()[0] == static_cast<float>(i));
    }
    for (int again = 0; again < 3; ++again) {
      CHECK_THROWS_WITH_AS(loader.next(), "batch 3 is broken", std::runtime_error);
      CHECK(loader.next_batch() == 3);
    }
    broken = false;
    CHECK(loader.next()->index == 3);
    CHECK(loader.next()->index == 4);
    broken = true;
    loader.seek(5, 3);
    CHECK_THROWS_AS(loader.next(), std::runtime_error);
    loader.seek(5, 4);
    CHECK(loader.next()->index == 4);
  }
}

TEST_CASE("data loader: makes at most `prefetch` batches ahead") {
  std::atomic<std::int64_t> made{0};
  DataLoader loader(numbered_dataset(1000),
                    {.batch_size = 1, .prefetch = 3, .transform = [&](Batch&) { ++made; }});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(made == 0);  // the thread starts with the first batch asked for
  for (std::int64_t taken = 1; taken <= 5; ++taken) {
    CHECK(loader.next().has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK(made >= taken);
    CHECK(made <= taken + 3);
  }
}

TEST_CASE("data loader: ends at any time, with its thread waiting, working or failing") {
  for (int i = 0; i < 200; ++i) {
    DataLoaderOptions options{.batch_size = 4, .prefetch = 1 + i % 3};
    if (i % 4 == 3) {
      options.transform = [](Batch& batch) {
        if (batch.index == 2) {
          throw std::runtime_error("no");
        }
      };
    }
    DataLoader loader(numbered_dataset(40), options);
    for (int taken = 0; taken < i % 3; ++taken) {
      CHECK(loader.next().has_value());
    }
  }
}

TEST_CASE("data loader: two loaders at once") {
  const ImageDataset dataset = numbered_dataset(300);
  DataLoader a(dataset, {.batch_size = 16, .seed = 1});
  DataLoader b(dataset, {.batch_size = 16, .seed = 1});
  while (true) {
    const std::optional<Batch> from_a = a.next();
    const std::optional<Batch> from_b = b.next();
    REQUIRE(from_a.has_value() == from_b.has_value());
    if (!from_a) {
      break;
    }
    CHECK(same(*from_a, *from_b));
  }
}

TEST_CASE("data loader: batches that were let go of are used again") {
  DataLoader loader(numbered_dataset(6400), {.batch_size = 64, .prefetch = 2});
  for (int i = 0; i < 10; ++i) {
    loader.next();
  }
  const std::int64_t reserved = cks::memory_stats().reserved;
  for (int i = 0; i < 80; ++i) {
    loader.next();
  }
  const std::int64_t batch_bytes = std::int64_t{64} * (12 * 4 + 8);
  CHECK(cks::memory_stats().reserved < reserved + 10 * batch_bytes);
}

TEST_CASE("data loader: a GPU makes the same batches, with any augmentation") {
  const ImageDataset dataset = numbered_dataset(50);
  for (const cks::Device device : cks::testing::test_devices()) {
    for (const auto& [padding, reflects] : {std::pair{0, false}, {1, false}, {1, true}}) {
      CAPTURE(device.to_string());
      const cks::ImageAugmentation augment{
          .crop_padding = padding, .reflect = reflects, .flip = padding == 1};
      DataLoader expected(dataset, {.batch_size = 8, .augment = augment, .prefetch = 0});
      DataLoader loader(dataset, {.batch_size = 8, .device = device, .augment = augment});
      CHECK(loader.device_bytes() ==
            (device.is_cpu() ? 0 : std::int64_t{50} * (12 + 8) + std::int64_t{2} * 256 * 4));
      for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
        const std::vector<Batch> batches = batches_of(loader, epoch);
        REQUIRE(batches.size() == 7);
        for (std::size_t b = 0; b < batches.size(); ++b) {
          CHECK(batches[b].images.device() == device);
          CHECK(batches[b].labels.device() == device);
          CHECK(same(batches[b], expected.make_batch(epoch, static_cast<std::int64_t>(b))));
        }
      }
    }
  }
}

TEST_CASE("data loader: with a transform a GPU gets batches made on the CPU") {
  for (const cks::Device device : cks::testing::test_devices()) {
    DataLoader loader(numbered_dataset(20),
                      {.batch_size = 8, .device = device, .transform = [](Batch& batch) {
                         REQUIRE(batch.images.device().is_cpu());
                         batch.images.fill_(static_cast<double>(batch.index));
                       }});
    CHECK(loader.device_bytes() == 0);
    for (const Batch& batch : loader.epoch(0)) {
      CHECK(batch.images.device() == device);
      CHECK(batch.labels.device() == device);
      CHECK(batch.images.to_vector<float>()[0] == static_cast<float>(batch.index));
    }
    CHECK(loader.make_batch(0, 2).images.device() == device);
    Tensor images = Tensor::empty({8, 2, 3, 2}, cks::DType::float32, device);
    Tensor labels = Tensor::empty({8}, cks::DType::int64, device);
    Tensor position = loader.position(0);
    CHECK_THROWS_WITH_AS(loader.fill_batch(images, labels, position),
                         doctest::Contains("has a transform"), cks::Error);
  }
}

TEST_CASE("data loader: augmentation varies images from epoch to epoch, and leaves labels alone") {
  const ImageDataset dataset = numbered_dataset(100);
  DataLoader plain(dataset, {.batch_size = 100, .shuffle = false});
  DataLoader loader(dataset, {.batch_size = 100, .shuffle = false, .augment = {.crop_padding = 1}});
  DataLoader other(
      dataset, {.batch_size = 100, .shuffle = false, .seed = 2, .augment = {.crop_padding = 1}});
  const Batch first = loader.make_batch(0, 0);
  CHECK(same(first, loader.make_batch(0, 0)));
  CHECK(first.labels.to_vector<std::int64_t>() ==
        plain.make_batch(0, 0).labels.to_vector<std::int64_t>());
  for (const Batch& varied :
       {plain.make_batch(0, 0), loader.make_batch(1, 0), other.make_batch(0, 0)}) {
    CHECK(first.images.to_vector<float>() != varied.images.to_vector<float>());
  }
}

/// The batches of two epochs, each made by a repetition of a captured step: one for whole batches,
/// one for the last.
std::vector<Batch> filled_batches(const DataLoader& loader, std::int64_t first_batch) {
  const cks::Device device = loader.options().device;
  Tensor position = loader.position(0, first_batch);
  struct Step {
    Tensor images;
    Tensor labels;
    std::unique_ptr<cks::CapturedStep> captured;
  };
  const auto make_step = [&](std::int64_t count) {
    auto step = std::make_unique<Step>();
    step->images = Tensor::empty({count, 2, 3, 2}, cks::DType::float32, device);
    step->labels = Tensor::empty({count}, cks::DType::int64, device);
    Step* const self = step.get();
    step->captured = std::make_unique<cks::CapturedStep>(
        [self, &loader, &position] { loader.fill_batch(self->images, self->labels, position); },
        device);
    return step;
  };
  const auto whole = make_step(8);
  const auto tail = make_step(loader.options().drop_last ? 8 : 2);
  std::vector<Batch> batches;
  for (std::int64_t i = first_batch; i < 2 * loader.batches_per_epoch(); ++i) {
    const std::int64_t index = i % loader.batches_per_epoch();
    const Step& step = *(index + 1 < loader.batches_per_epoch() ? whole : tail);
    step.captured->run();
    batches.push_back(
        {.images = step.images.clone(), .labels = step.labels.clone(), .indices = {}});
  }
  CHECK(position.to_vector<std::int64_t>() == std::vector<std::int64_t>{2, 0});
  return batches;
}

TEST_CASE("data loader: fill_batch makes the batches of next(), in captured steps, too") {
  const ImageDataset dataset = numbered_dataset(50);
  for (const cks::Device device : cks::testing::test_devices()) {
    for (const bool drop_last : {false, true}) {
      for (const std::int64_t first : {0, 3}) {
        CAPTURE(device.to_string());
        CAPTURE(drop_last);
        const DataLoader loader(dataset, {.batch_size = 8,
                                          .seed = 4,
                                          .drop_last = drop_last,
                                          .device = device,
                                          .augment = {.crop_padding = 1, .flip = true}});
        const std::vector<Batch> filled = filled_batches(loader, first);
        for (std::size_t i = 0; i < filled.size(); ++i) {
          const std::int64_t at = static_cast<std::int64_t>(i) + first;
          const Batch made =
              loader.make_batch(at / loader.batches_per_epoch(), at % loader.batches_per_epoch());
          CHECK(filled[i].images.to_vector<float>() == made.images.to_vector<float>());
          CHECK(filled[i].labels.to_vector<std::int64_t>() ==
                made.labels.to_vector<std::int64_t>());
        }
      }
    }
  }
  const DataLoader loader(dataset, {.batch_size = 8});
  CHECK_THROWS_AS(loader.position(0, 7), cks::Error);
  CHECK_THROWS_AS(loader.position(-1), cks::Error);
}

TEST_CASE("data loader: the shares of several ranks are the batches of one, cut up") {
  const ImageDataset dataset = numbered_dataset(50);
  for (const cks::Device device : cks::testing::test_devices()) {
    DataLoaderOptions options{.batch_size = 12,
                              .seed = 4,
                              .device = device,
                              .augment = {.crop_padding = 1, .flip = true}};
    const DataLoader whole(dataset, options);
    std::vector<std::unique_ptr<DataLoader>> parts;
    std::vector<Tensor> positions;
    constexpr std::int64_t kRanks = 2;
    for (std::int64_t rank = 0; rank < kRanks; ++rank) {
      options.share = {rank, kRanks};
      parts.push_back(std::make_unique<DataLoader>(dataset, options));
      positions.push_back(parts.back()->position(0));
    }
    for (std::int64_t at = 0; at < 2 * whole.batches_per_epoch(); ++at) {  // the last has 2 images
      CAPTURE(at);
      const Batch all =
          whole.make_batch(at / whole.batches_per_epoch(), at % whole.batches_per_epoch());
      CHECK(all.total == all.count);
      std::int64_t first = 0;
      for (std::size_t rank = 0; rank < parts.size(); ++rank) {
        const Batch mine = parts[rank]->make_batch(all.epoch, all.index);
        CHECK(mine.total == all.count);
        const std::vector<float> expected =
            all.images.slice(first, first + mine.count).to_vector<float>();
        CHECK(mine.images.to_vector<float>() == expected);
        CHECK(mine.labels.to_vector<std::int64_t>() ==
              all.labels.slice(first, first + mine.count).to_vector<std::int64_t>());
        CHECK(mine.indices[0] == all.indices[static_cast<std::size_t>(first)]);
        Tensor images = Tensor::empty(mine.images.shape(), cks::DType::float32, device);
        Tensor labels = Tensor::empty({mine.count}, cks::DType::int64, device);
        parts[rank]->fill_batch(images, labels, positions[rank], all.count);
        CHECK(images.to_vector<float>() == expected);
        first += mine.count;
      }
      CHECK(first == all.count);
    }
  }
  CHECK_THROWS_WITH_AS(DataLoader(dataset, {.batch_size = 10, .share = {3, 3}}),
                       doctest::Contains("share is rank 3 of 3"), cks::Error);
  CHECK_THROWS_WITH_AS(
      DataLoader(dataset, {.batch_size = 2, .share = {0, 3}}),
      doctest::Contains("a batch of 2 images does not divide among 3 ranks; 3 would"), cks::Error);
  CHECK_THROWS_WITH_AS(DataLoader(dataset, {.batch_size = 12, .share = {0, 3}}),
                       doctest::Contains("drop_last leaves out an epoch's last"), cks::Error);
}

TEST_CASE("data loader: a dataset that does not fit on the GPU says how large it is") {
  if (!cks::testing::has_gpu()) {
    return;
  }
  const cks::Device gpu = cks::Device::cuda();
  cks::set_memory_limit(cks::memory_stats(gpu).in_use + 4096, gpu);
  std::string message;
  try {
    const DataLoader loader(numbered_dataset(1000), {.device = gpu});
  } catch (const cks::OutOfMemoryError& error) {
    message = error.what();
  }
  cks::set_memory_limit(0, gpu);
  CHECK(message.find("1000 images, 22048 bytes, do not fit on cuda:0") != std::string::npos);
}

TEST_CASE("data loader: wrong options and datasets") {
  CHECK_THROWS_WITH_AS(DataLoader(numbered_dataset(4), {.batch_size = 0}),
                       doctest::Contains("batch_size is 0"), cks::Error);
  CHECK_THROWS_WITH_AS(DataLoader(numbered_dataset(4), {.prefetch = -1}),
                       doctest::Contains("prefetch is -1"), cks::Error);
  CHECK_THROWS_WITH_AS(DataLoader(numbered_dataset(4), {.batch_size = 5, .drop_last = true}),
                       doctest::Contains("drop_last leaves nothing of 4"), cks::Error);
  for (const std::int64_t padding : {-1, 2}) {
    CHECK_THROWS_WITH_AS(DataLoader(numbered_dataset(4), {.augment = {.crop_padding = padding}}),
                         doctest::Contains("crop_padding is "), cks::Error);
  }
  ImageDataset broken = numbered_dataset(4);
  broken.std[0] = 0.0F;
  CHECK_THROWS_WITH_AS(DataLoader(broken, {}), doctest::Contains("'numbered'"), cks::Error);
}

TEST_CASE("data loader: a child of fork() makes its batches without its parent's thread") {
  auto loader = std::make_unique<DataLoader>(numbered_dataset(40),
                                             DataLoaderOptions{.batch_size = 4, .seed = 1});
  REQUIRE(loader->next().has_value());  // by a thread that goes on
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    std::int64_t batches = 0;
    for (const Batch& batch : loader->epoch(1)) {
      batches += batch.indices == loader->make_batch(1, batch.index).indices ? 1 : 0;
    }
    loader.reset();
    _exit(batches == 10 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(loader->next()->index == 1);
}
