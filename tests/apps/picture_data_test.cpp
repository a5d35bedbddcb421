#include <doctest/doctest.h>

#include <filesystem>

#include "apps/cli/program.h"
#include "apps/cli/recipes.h"
#include "apps/run/data.h"
#include "apps/run/train_flags.h"
#include "cks/core/io/file.h"
#include "cks/datasets/images/image_write.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks::apps {
namespace {

using cks::testing::contains;
using testing::message_of;

/// `count` pictures of a class, the i-th of them filled with the byte 10 * i.
void write_class(const std::string& folder, int count, std::int64_t side) {
  std::filesystem::create_directories(folder);
  for (int i = 0; i < count; ++i) {
    write_png(folder + "/" + std::to_string(i) + ".png",
              Tensor::full({side, side, 3}, 10 * i, DType::uint8));
  }
}

TEST_CASE("load_pictures: a limit takes a folder's classes evenly") {
  const testing::ScratchFolder scratch;
  for (const char* half : {"train", "test"}) {
    write_class(scratch / half + "/cat", 6, 8);
    write_class(scratch / half + "/dog", 6, 8);
  }
  const TrainTest data = load_pictures(
      {.dataset = "folder", .data_dir = scratch.path(), .limit_train = 4, .limit_test = 100});
  CHECK(data.train.labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 0, 1, 1});
  const auto pixels = data.train.images.to_vector<std::uint8_t>();
  CHECK(pixels[0] == 0);
  CHECK(pixels[8 * 8 * 3] == 30);
  CHECK(data.test.size() == 12);
  CHECK(load_pictures({.dataset = "folder", .data_dir = scratch.path(), .image_size = 5})
            .train.height() == 5);
}

TEST_CASE("load_pictures: errors name the flag that helps") {
  const testing::ScratchFolder scratch;
  write_class(scratch / "cat", 3, 8);
  write_class(scratch / "dog", 3, 9);
  const PictureData folder{.dataset = "folder", .data_dir = scratch.path()};
  CHECK(contains(message_of<ShapeError>([&] { load_pictures(folder); }), "--image-size"));
  write_file_atomically(scratch / "dog/x.png", "no picture");
  CHECK(contains(message_of<IoError>([&] {
                   load_pictures(
                       {.dataset = "folder", .data_dir = scratch.path(), .image_size = 8});
                 }),
                 "--skip-broken"));
  const TrainTest data = load_pictures({.dataset = "folder",
                                        .data_dir = scratch.path(),
                                        .image_size = 8,
                                        .folder = {.skip_broken = true}});
  CHECK(data.train.size() + data.test.size() == 6);
  const std::string missing =
      message_of<IoError>([&] { load_pictures({.data_dir = scratch / "nothing"}); });
  CHECK(contains(missing, "get_data.sh"));
  CHECK(contains(missing, "--dataset drawn"));
  CHECK(contains(missing, "--dataset folder"));
  // A folder too high: what holds the classes looks like a class.
  write_class(scratch / "above/pictures/cat", 3, 8);
  write_class(scratch / "above/pictures/dog", 3, 8);
  CHECK(contains(message_of<Error>(
                     [&] { load_pictures({.dataset = "folder", .data_dir = scratch / "above"}); }),
                 "above has one class, 'pictures', which leaves nothing to tell apart"));
  CHECK_THROWS_AS(load_pictures({.dataset = "folder"}), UsageError);
  CHECK_THROWS_AS(load_pictures({.dataset = "drawn", .image_size = 16}), UsageError);
  CHECK_THROWS_AS(load_pictures({.dataset = "drawn", .folder = {.skip_broken = true}}), UsageError);
}

TEST_CASE("load_pictures: a test share is for a folder without halves alone") {
  const testing::ScratchFolder scratch;
  for (const char* half : {"train", "test"}) {
    write_class(scratch / half + "/cat", 4, 8);
    write_class(scratch / half + "/dog", 4, 8);
  }
  PictureData data{.dataset = "folder", .data_dir = scratch.path(), .folder = {.test_share = 0.5}};
  CHECK(load_pictures(data).test.size() == 8);  // from a file of flags
  data.test_share_given = true;
  CHECK(contains(message_of<UsageError>([&] { load_pictures(data); }), scratch.path()));
  data.data_dir = scratch / "train";
  CHECK(load_pictures(data).test.size() == 4);
  CHECK_THROWS_AS(load_pictures({.dataset = "drawn", .test_share_given = true}), UsageError);
}

TEST_CASE("load_pictures: draws no more than the limits ask for") {
  const TrainTest data = load_pictures({.dataset = "drawn", .limit_train = 30, .limit_test = 20});
  CHECK(data.train.size() == 30);
  CHECK(data.test.size() == 20);
}

TEST_CASE("presets fill in what was not given, with flags that exist") {
  for (const Preset& preset : cifar_presets()) {
    CAPTURE(preset.name);
    TrainFlags values;
    values.model = "mlp";
    bool augment = false;
    Flags flags("program", "");
    add_train_flags(flags, values);
    flags.add_switch("augment", augment, "");
    const std::vector<const char*> arguments{"program", "--epochs", "3", "--seed", "9"};
    REQUIRE_FALSE(flags.parse(static_cast<int>(arguments.size()), arguments.data()));
    fill_in(flags, cifar_preset(preset.name).flags);
    CHECK(values.epochs == 3);
    CHECK(values.seed == 9);
    CHECK(values.model != "mlp");
    constexpr std::int64_t kSteps = 97;
    CHECK_NOTHROW(make_lr_factor(values, kSteps));
    CHECK(static_cast<bool>(make_momentum(values, kSteps)) == (preset.name == "resnet18-30"));
  }
  CHECK(contains(message_of<Error>([] { cifar_preset("fast"); }), "paper, resnet18-30, resnet20"));
}

TEST_CASE("--cycle-momentum needs a momentum and the cycle") {
  TrainFlags flags;
  flags.cycle_momentum = true;
  CHECK_THROWS_AS(make_momentum(flags, 10), UsageError);  // Adam, constant
  flags.lr_scheduler = "onecycle";
  flags.optimizer = "sgd";
  const MomentumCurve curve = make_momentum(flags, 10);
  CHECK(curve(0) == 0.95);
  CHECK(curve(29) == doctest::Approx(0.85));  // 0.3 of 100 steps
  CHECK(contains(describe_optimizer(flags), "0.95 to 0.85 and back"));
  flags.momentum = 0.0;
  CHECK_THROWS_AS(make_momentum(flags, 10), UsageError);
}

}  // namespace
}  // namespace cks::apps
