#include "cks/kernels/image_batch/image_batch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>
#include <vector>

#include "cks/kernels/image_batch/augmentation_impl.h"
#include "cks/kernels/random/random_order.h"
#include "tests/support/run_kernel.h"

using cks::kernels::BatchPosition;
using cks::kernels::ImageBatchProblem;
using cks::kernels::ImagePlace;

namespace {

struct Source {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
  std::vector<float> tables;

  explicit Source(const ImageBatchProblem& problem)
      : tables(random_values<float>(problem.C * 256, 2)) {
    const auto elements =
        static_cast<std::size_t>(problem.images * problem.H * problem.W * problem.C);
    for (std::size_t i = 0; i < elements; ++i) {
      pixels.push_back(static_cast<std::uint8_t>(random_bits(1, i) >> 56));
    }
    for (std::int64_t i = 0; i < problem.images; ++i) {
      labels.push_back(1000 + i);  // names the image
    }
  }
};

struct Batch {
  std::vector<float> images;
  std::vector<std::int64_t> labels;
};

Batch run(const ImageBatchProblem& problem, const Source& source, BatchPosition at) {
  const std::vector<std::int64_t> position{at.epoch, at.first};
  TargetBuffer where(sizeof(BatchPosition));
  write_to(where.as<std::int64_t>(), position);
  Batch batch;
  const std::int64_t elements = problem.batch * problem.H * problem.W * problem.C;
  batch.images = run_kernel<float>(elements, [&](float* images) {
    TargetBuffer labels(static_cast<std::size_t>(problem.batch) * sizeof(std::int64_t));
    target::image_batch(problem, where.as<BatchPosition>(), on_device(source.pixels),
                        on_device(source.labels), on_device(source.tables), images,
                        labels.as<std::int64_t>());
    batch.labels = read_from<std::int64_t>(labels);
    REQUIRE(labels.intact());
  });
  CHECK(read_from<std::int64_t>(where) == position);
  return batch;
}

/// A pixel of an axis that goes on as its reflection, found in steps of one pixel.
std::int64_t bounced(std::int64_t pixel, std::int64_t extent) {
  std::int64_t at = 0;
  std::int64_t step = 1;
  for (std::int64_t i = 0; i < std::abs(pixel) && extent > 1; ++i) {
    step = at == extent - 1 ? -1 : at == 0 ? 1 : step;
    at += step;
  }
  return at;
}

/// The definition: normalise, frame with zeros or the reflection, cut out, mirror.
std::vector<float> moved(const ImageBatchProblem& problem, const Source& source,
                         const ImagePlace& place) {
  const std::int64_t P = problem.crop_padding;
  const std::int64_t width = problem.W + 2 * P;
  std::vector<float> framed(static_cast<std::size_t>((problem.H + 2 * P) * width * problem.C));
  const std::int64_t elements = problem.H * problem.W * problem.C;
  for (std::size_t f = 0; f < framed.size(); ++f) {
    const auto e = static_cast<std::int64_t>(f);
    const std::int64_t c = e % problem.C;
    const std::int64_t h = bounced(e / problem.C / width - P, problem.H);
    const std::int64_t w = bounced(e / problem.C % width - P, problem.W);
    const bool inside = h == e / problem.C / width - P && w == e / problem.C % width - P;
    if (inside || problem.reflect) {
      const auto byte = source.pixels[static_cast<std::size_t>(
          place.image * elements + (h * problem.W + w) * problem.C + c)];
      framed[f] = source.tables[static_cast<std::size_t>(c * 256 + byte)];
    }
  }
  std::vector<float> image;
  for (std::int64_t e = 0; e < elements; ++e) {
    const std::int64_t c = e % problem.C;
    const std::int64_t ow = e / problem.C % problem.W;
    const std::int64_t w = (place.mirrored ? problem.W - 1 - ow : ow) + P + place.right;
    const std::int64_t h = e / problem.C / problem.W + P + place.down;
    image.push_back(framed[static_cast<std::size_t>((h * width + w) * problem.C + c)]);
  }
  return image;
}

void check(const ImageBatchProblem& problem, BatchPosition at) {
  const Source source(problem);
  const Batch batch = run(problem, source, at);
  const auto order = cks::kernels::order_of(problem, at.epoch);
  const std::size_t elements = static_cast<std::size_t>(problem.H * problem.W * problem.C);
  for (std::int64_t i = 0; i < problem.batch; ++i) {
    CAPTURE(i);
    const ImagePlace place = cks::kernels::place_image(problem, order, at, i);
    const std::int64_t expected_image =
        problem.shuffle ? cks::kernels::order_at(order, (at.first + i) % problem.images)
                        : (at.first + i) % problem.images;
    REQUIRE(place.image == expected_image);
    REQUIRE(batch.labels[static_cast<std::size_t>(i)] == 1000 + place.image);
    const std::vector<float> expected = moved(problem, source, place);
    REQUIRE(std::equal(expected.begin(), expected.end(),
                       batch.images.begin() + i * static_cast<std::int64_t>(elements)));
  }
}

const ImageBatchProblem kPlain{.images = 37,
                               .H = 6,
                               .W = 5,
                               .C = 3,
                               .batch = 9,
                               .shuffle = true,
                               .order_key = 3,
                               .crop_padding = 0,
                               .flip = false,
                               .augment_key = 4};

}  // namespace

TEST_CASE("image batch: the images of the order, normalised, moved by the definition") {
  for (const bool augments : {false, true}) {
    CAPTURE(augments);
    ImageBatchProblem problem = kPlain;
    problem.crop_padding = augments ? 2 : 0;
    problem.flip = augments;
    check(problem, {0, 0});
    check(problem, {5, 28});
    problem.shuffle = false;
    check(problem, {1, 10});
    // Whole packs of four, one channel, and images of more than a block's share.
    problem = {.images = 5,
               .H = 28,
               .W = 28,
               .C = 1,
               .batch = 5,
               .shuffle = true,
               .order_key = 1,
               .crop_padding = augments ? 4 : 0,
               .flip = augments,
               .augment_key = 9};
    check(problem, {2, 0});
    problem.H = 41;
    problem.W = 40;
    problem.C = 3;
    check(problem, {3, 0});
    problem.W = 43;
    check(problem, {3, 0});
    problem = {.images = 3,
               .H = 1,
               .W = 1,
               .C = 1,
               .batch = 2,
               .shuffle = true,
               .order_key = 1,
               .crop_padding = 0,
               .flip = augments,
               .augment_key = 9};
    check(problem, {0, 1});
  }
}

TEST_CASE("image batch: a reflecting crop fills its frame with the image") {
  ImageBatchProblem problem = kPlain;
  problem.reflect = true;
  check(problem, {0, 0});  // without a frame there is nothing to reflect
  problem.flip = true;
  for (const std::int64_t padding : {1, 2, 4}) {  // up to one less than the width
    problem.crop_padding = padding;
    check(problem, {0, 0});
    check(problem, {5, 28});
  }
  problem.H = 41;
  problem.W = 40;
  problem.crop_padding = 39;
  check(problem, {3, 0});
}

TEST_CASE("image batch: a point outside is reflected as often as it takes") {
  using cks::kernels::kOne;
  using cks::kernels::reflected;
  for (const std::int64_t extent : {1, 2, 3, 8}) {
    for (std::int64_t pixel = -30; pixel <= 30; ++pixel) {
      REQUIRE(reflected(pixel * kOne, extent) == bounced(pixel, extent) * kOne);
    }
  }
  CHECK(reflected(-kOne / 2, 4) == kOne / 2);
  CHECK(reflected(3 * kOne + 7, 4) == 3 * kOne - 7);
  CHECK(reflected(6 * kOne + 7, 4) == 7);
  CHECK(reflected(kOne / 2, 1) == 0);
}

TEST_CASE("image batch: places past the last image count from the start again") {
  check(kPlain, {1, 33});
  ImageBatchProblem problem = kPlain;
  problem.batch = 80;  // more than there are images
  check(problem, {1, 36});
  problem.batch = 0;
  CHECK(run(problem, Source(problem), {0, 0}).labels.empty());
}

TEST_CASE("image batch: an image is moved alike in every batch, and anew in each epoch") {
  ImageBatchProblem problem = kPlain;
  problem.crop_padding = 3;
  problem.flip = true;
  problem.batch = problem.images;
  const Source source(problem);
  const Batch whole = run(problem, source, {4, 0});
  const std::int64_t elements = problem.H * problem.W * problem.C;
  problem.batch = 10;
  const Batch part = run(problem, source, {4, 20});
  CHECK(std::equal(part.images.begin(), part.images.end(), whole.images.begin() + 20 * elements));
  CHECK(std::equal(part.labels.begin(), part.labels.end(), whole.labels.begin() + 20));
  problem.shuffle = false;
  CHECK(run(problem, source, {4, 0}).images != run(problem, source, {5, 0}).images);
}

TEST_CASE("image batch: every shift is as likely, and half of the images are mirrored") {
  ImageBatchProblem problem = kPlain;
  problem.shuffle = false;
  problem.crop_padding = 2;
  problem.flip = true;
  const auto order = cks::kernels::order_of(problem, 0);
  constexpr std::int64_t kEpochs = 1000;
  std::vector<std::int64_t> counts(50, 0);  // [down][right][mirrored]
  for (std::int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (std::int64_t i = 0; i < problem.images; ++i) {
      const ImagePlace place = cks::kernels::place_image(problem, order, {epoch, 0}, i);
      REQUIRE(std::max(std::abs(place.down), std::abs(place.right)) <= 2);
      ++counts[static_cast<std::size_t>((place.down + 2) * 10 + (place.right + 2) * 2 +
                                        (place.mirrored ? 1 : 0))];
    }
  }
  const double expected = static_cast<double>(kEpochs * problem.images) / 50.0;
  for (const std::int64_t count : counts) {
    // Five standard deviations of a binomial distribution.
    CHECK(std::abs(static_cast<double>(count) - expected) < 5.0 * std::sqrt(expected));
  }
}

/// The bytes that a problem makes of its images: the tables are the numbers 1 to 256, so that 0 is
/// the frame.
std::vector<int> bytes_of(const ImageBatchProblem& problem, Source& source, BatchPosition at) {
  for (std::size_t i = 0; i < source.tables.size(); ++i) {
    source.tables[i] = static_cast<float>(i % 256 + 1);
  }
  std::vector<int> bytes;
  for (const float value : run(problem, source, at).images) {
    bytes.push_back(static_cast<int>(value) - 1);
  }
  return bytes;
}

TEST_CASE("image batch: rotation and scale about the middle, by the definition in real numbers") {
  ImageBatchProblem problem = kPlain;
  problem.shuffle = false;
  problem.H = 24;
  problem.W = 31;
  problem.crop_padding = 2;
  problem.flip = true;
  problem.rotation = 20'000;  // 0.305 radians
  problem.scale = 16'384;     // a quarter
  SUBCASE("the frame is 0") { problem.reflect = false; }
  SUBCASE("the frame is the reflection") { problem.reflect = true; }
  Source source(problem);
  for (std::size_t i = 0; i < source.pixels.size(); ++i) {  // smooth, so that places show
    const auto at = static_cast<std::int64_t>(i) / 3;
    source.pixels[i] = static_cast<std::uint8_t>(at % 31 * 5 + at / 31 % 24 * 4);
  }
  const std::vector<int> bytes = bytes_of(problem, source, {3, 0});
  const auto order = cks::kernels::order_of(problem, 3);
  double most_turned = 0.0;
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < problem.batch; ++i) {
    const ImagePlace place = cks::kernels::place_image(problem, order, {3, 0}, i);
    const double angle =
        std::atan2(static_cast<double>(place.across), static_cast<double>(place.along));
    const double factor =
        65536.0 / std::hypot(static_cast<double>(place.along), static_cast<double>(place.across));
    CHECK(std::abs(angle) < 0.3053);
    CHECK(std::abs(factor - 1.0) < 0.2501);
    most_turned = std::max(most_turned, std::abs(angle));
    for (std::int64_t oh = 0; oh < problem.H; ++oh) {
      for (std::int64_t ow = 0; ow < problem.W; ++ow) {
        const double down = static_cast<double>(oh + place.down) - 11.5;
        const double right =
            static_cast<double>((place.mirrored ? problem.W - 1 - ow : ow) + place.right) - 15.0;
        const double row = 11.5 + (down * std::cos(angle) + right * std::sin(angle)) / factor;
        const double column = 15.0 + (right * std::cos(angle) - down * std::sin(angle)) / factor;
        const auto byte = bytes[static_cast<std::size_t>(((i * 24 + oh) * 31 + ow) * 3)];
        const double beyond = std::max({-row, row - 23.0, -column, column - 30.0});
        if (problem.reflect) {
          inside += beyond < 0.0 ? 1 : 0;
          // The triangular wave of the distance to the first pixel.
          const auto wave = [](double point, double last) {
            return last - std::abs(std::fmod(std::abs(point), 2.0 * last) - last);
          };
          REQUIRE(std::abs(byte - (5.0 * wave(column, 30.0) + 4.0 * wave(row, 23.0))) < 0.55);
        } else if (beyond > 0.51) {
          REQUIRE(byte == -1);
        } else if (beyond < 0.0) {
          ++inside;
          REQUIRE(std::abs(byte - (5.0 * column + 4.0 * row)) < 0.55);
        }
      }
    }
  }
  CHECK(most_turned > 0.15);
  CHECK(inside > 3000);
}

TEST_CASE("image batch: a cutout is a square of nothing around a pixel") {
  ImageBatchProblem problem = kPlain;
  problem.H = problem.W = 12;
  problem.cutout = 5;
  Source source(problem);
  const std::vector<int> bytes = bytes_of(problem, source, {2, 0});
  problem.cutout = 0;
  const std::vector<int> whole = bytes_of(problem, source, {2, 0});
  problem.cutout = 5;
  const auto order = cks::kernels::order_of(problem, 2);
  std::int64_t cut = 0;
  for (std::int64_t i = 0; i < problem.batch; ++i) {
    const ImagePlace place = cks::kernels::place_image(problem, order, {2, 0}, i);
    REQUIRE(place.cut_row + 2 >= 0);
    REQUIRE(place.cut_row + 2 < 12);
    for (std::int64_t e = 0; e < 12 * 12 * 3; ++e) {
      const std::int64_t row = e / 36 - place.cut_row;
      const std::int64_t column = e / 3 % 12 - place.cut_column;
      const bool is_cut = row >= 0 && row < 5 && column >= 0 && column < 5;
      const auto at = static_cast<std::size_t>(i * 12 * 12 * 3 + e);
      REQUIRE(bytes[at] == (is_cut ? -1 : whole[at]));
      cut += is_cut ? 1 : 0;
    }
  }
  CHECK(cut > problem.batch * 3 * 9);
}

TEST_CASE("image batch: brightness, contrast and saturation are the formulas, cut to bytes") {
  ImageBatchProblem problem = kPlain;
  Source source(problem);
  const std::vector<int> plain = bytes_of(problem, source, {1, 0});
  problem.brightness = 30'000;
  problem.contrast = 40'000;
  problem.saturation = 50'000;
  const std::vector<int> bytes = bytes_of(problem, source, {1, 0});
  const auto order = cks::kernels::order_of(problem, 1);
  const auto cut = [](double value) { return std::clamp(value, 0.0, 255.0); };
  for (std::int64_t i = 0; i < problem.batch; ++i) {
    const ImagePlace place = cks::kernels::place_image(problem, order, {1, 0}, i);
    const double brightness = static_cast<double>(place.brightness) / 65536.0;
    const double contrast = static_cast<double>(place.contrast) / 65536.0;
    const double saturation = static_cast<double>(place.saturation) / 65536.0;
    for (std::int64_t pixel = 0; pixel < 30; ++pixel) {
      const auto first = static_cast<std::size_t>((i * 30 + pixel) * 3);
      const auto toned = [&](double value) {
        return cut(128.0 + (cut(value * brightness) - 128.0) * contrast);
      };
      const double grey =
          toned(0.299 * plain[first] + 0.587 * plain[first + 1] + 0.114 * plain[first + 2]);
      for (std::size_t c = 0; c < 3; ++c) {
        const double expected = cut(grey + (toned(plain[first + c]) - grey) * saturation);
        // Each of three steps rounds, which the next ones enlarge.
        REQUIRE(std::abs(bytes[first + c] - expected) < 5.0);
      }
    }
  }
  // One colour alone, exactly.
  CHECK(cks::kernels::away_from(0, 200, 98'304) == 255);
  CHECK(cks::kernels::away_from(128, 100, 32'768) == 114);
  CHECK(cks::kernels::away_from(128, 100, 131'072) == 72);
  CHECK(cks::kernels::away_from(128, 3, 131'072) == 0);
}

TEST_CASE("image batch: masks go where their pixels go") {
  for (const auto& [turns, reflects] :
       {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    ImageBatchProblem problem = kPlain;
    problem.C = 1;
    problem.reflect = reflects;
    problem.crop_padding = 2;
    problem.flip = true;
    problem.rotation = turns ? 30'000 : 0;
    problem.label_pixels = true;
    problem.frame_label = -5;
    Source source(problem);
    source.labels.clear();
    for (const std::uint8_t byte : source.pixels) {
      source.labels.push_back(byte);
    }
    const std::vector<std::int64_t> position{2, 5};
    TargetBuffer where(sizeof(BatchPosition));
    write_to(where.as<std::int64_t>(), position);
    const std::int64_t elements = problem.batch * problem.H * problem.W;
    const auto labels = run_kernel<std::int64_t>(elements, [&](std::int64_t* out) {
      TargetBuffer images(static_cast<std::size_t>(elements) * sizeof(float));
      target::image_batch(problem, where.as<BatchPosition>(), on_device(source.pixels),
                          on_device(source.labels), on_device(source.tables), images.as<float>(),
                          out);
      REQUIRE(images.intact());
    });
    const auto order = cks::kernels::order_of(problem, 2);
    std::int64_t framed = 0;
    for (std::int64_t i = 0; i < problem.batch; ++i) {
      const ImagePlace place = cks::kernels::place_image(problem, order, {2, 5}, i);
      for (std::int64_t p = 0; p < 30; ++p) {
        const std::int64_t from = cks::kernels::source_pixel(problem, place, p / 5, p % 5);
        framed += from < 0 ? 1 : 0;
        REQUIRE(labels[static_cast<std::size_t>(i * 30 + p)] ==
                (from < 0 ? -5 : source.labels[static_cast<std::size_t>(place.image * 30 + from)]));
      }
    }
    CHECK((framed > 0) == !reflects);
  }
}

TEST_CASE("image batch: sine and cosine of small angles, in whole numbers") {
  for (std::int64_t angle = -51472; angle <= 51472; angle += 97) {
    const auto [sine, cosine] = cks::kernels::turn_of(angle);
    const double radians = static_cast<double>(angle) / 65536.0;
    REQUIRE(std::abs(static_cast<double>(sine) / 65536.0 - std::sin(radians)) < 1e-4);
    REQUIRE(std::abs(static_cast<double>(cosine) / 65536.0 - std::cos(radians)) < 1e-4);
    REQUIRE(cks::kernels::turn_of(-angle).sine == -sine);
  }
}

TEST_CASE("image batch: the alternating flip shows both sides of every image in two epochs") {
  ImageBatchProblem problem = kPlain;
  problem.shuffle = false;
  problem.crop_padding = 1;
  problem.flip = true;
  problem.images = 1000;
  problem.batch = 1000;
  const auto mirrored = [&](std::int64_t epoch, std::int64_t i) {
    return cks::kernels::place_image(problem, {}, {epoch, 0}, i).mirrored;
  };
  std::vector<bool> random;
  for (std::int64_t i = 0; i < problem.images; ++i) {
    random.push_back(mirrored(0, i));
  }
  problem.alternate_flip = true;
  for (std::int64_t i = 0; i < problem.images; ++i) {
    for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
      REQUIRE(mirrored(epoch, i) == (random[static_cast<std::size_t>(i)] != (epoch % 2 == 1)));
    }
  }
  const auto half = std::count(random.begin(), random.end(), true);
  CHECK(std::abs(half - 500) < 80);  // five standard deviations
  problem.images = kPlain.images;
  problem.batch = 9;
  check(problem, {0, 0});
  check(problem, {1, 0});
}

TEST_CASE("advance_position: on by a batch, to the next epoch behind the last") {
  TargetBuffer where(sizeof(BatchPosition));
  const auto after = [&](BatchPosition at, std::int64_t count, std::int64_t end) {
    write_to(where.as<std::int64_t>(), std::vector<std::int64_t>{at.epoch, at.first});
    target::advance_position(where.as<BatchPosition>(), count, end);
    return read_from<std::int64_t>(where);
  };
  CHECK(after({3, 0}, 4, 10) == std::vector<std::int64_t>{3, 4});
  CHECK(after({3, 4}, 4, 10) == std::vector<std::int64_t>{3, 8});
  CHECK(after({3, 8}, 2, 10) == std::vector<std::int64_t>{4, 0});
  CHECK(after({3, 8}, 4, 10) == std::vector<std::int64_t>{4, 0});
  CHECK(where.intact());
}
