#include "cks/train/checkpoint.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "cks/core/io/safetensors.h"
#include "tests/support/scratch_folder.h"
#include "tests/train/tiny.h"

namespace {

using cks::CheckpointInfo;
using cks::StateDictError;
using cks::TrainState;
using cks::testing::ScratchFolder;
using cks::testing::slurp;
using cks::testing::TinyNet;
using cks::testing::TinyRun;

struct OtherNet : cks::Module {
  cks::Conv2d conv{this, "conv", {.in_channels = 1, .out_channels = 8, .kernel_size = 5}};
  cks::Linear tail{this, "tail", {.in_features = 4, .out_features = 10}};
};

CheckpointInfo some_info() {
  return {.model = "tiny",
          .dataset = "drawn digits",
          .class_names = {"zero", "one"},
          .mean = {0.1307F},
          .std = {0.3081F},
          .height = 28,
          .width = 28,
          .channels = 1,
          .notes = {{"epoch", "3"}}};
}

TEST_CASE("weights come back with PyTorch's names and layouts, and with what predictions need") {
  const ScratchFolder scratch;
  TinyNet model;
  model.initialize(4);
  cks::save_weights(scratch / "w.safetensors", model, some_info());
  const auto file = cks::load_safetensors(scratch / "w.safetensors");
  bool found = false;
  for (const auto& [name, tensor] : file.tensors) {
    if (name == "conv.weight") {
      found = true;
      CHECK(tensor.shape() == cks::Shape{4, 1, 5, 5});  // OC, IC, FH, FW
    }
  }
  CHECK(found);

  TinyNet other;
  other.initialize(5);
  cks::load_weights(scratch / "w.safetensors", other);
  CHECK(other.conv.weight.to_vector<float>() == model.conv.weight.to_vector<float>());
  const CheckpointInfo info = cks::read_checkpoint_info(scratch / "w.safetensors");
  CHECK(info.model == "tiny");
  CHECK(info.class_names == some_info().class_names);
  CHECK(info.mean == some_info().mean);
  CHECK(info.std == some_info().std);
  CHECK(info.height == 28);
  CHECK(info.channels == 1);
  CHECK(info.notes.at("epoch") == "3");
}

TEST_CASE("texts that are not UTF-8 are refused by name") {
  const ScratchFolder scratch;
  TinyRun run;
  CheckpointInfo info = some_info();
  info.class_names[1] = "caf\xe9";
  CHECK_THROWS_WITH_AS(cks::save_weights(scratch / "w.safetensors", run.model, info),
                       doctest::Contains("class names"), cks::Error);
  CHECK_THROWS_WITH_AS(cks::save_train_state(scratch / "s.safetensors", run.model, *run.optimizer,
                                             {.identity = {{"classes", "caf\xe9"}}}),
                       doctest::Contains("identity"), cks::Error);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("a checkpoint of another model lists missing, unexpected and mis-shaped keys") {
  const ScratchFolder scratch;
  const std::string path = scratch / "w.safetensors";
  TinyNet model;
  cks::save_weights(path, model, {});
  OtherNet other;
  const auto before = other.tail.weight.to_vector<float>();
  CHECK_THROWS_WITH_AS(cks::load_weights(path, other), doctest::Contains("tail.weight"),
                       StateDictError);
  CHECK_THROWS_WITH_AS(cks::load_weights(path, other), doctest::Contains("head.weight"),
                       StateDictError);
  CHECK_THROWS_WITH_AS(cks::load_weights(path, other), doctest::Contains("conv.weight"),
                       StateDictError);
  CHECK_THROWS_WITH_AS(cks::load_weights(path, other), doctest::Contains(path.c_str()),
                       StateDictError);
  CHECK(other.tail.weight.to_vector<float>() == before);
}

TEST_CASE("a training state comes back exactly") {
  const ScratchFolder scratch;
  TinyRun run;
  const TrainState state{.epoch = 2,
                         .batch = 3,
                         .step = 13,
                         .images = 650,
                         .seconds = 1.0 / 3.0,
                         .train_seconds = 0.1,
                         .running = {.loss_sum = 1e-17 + 5.0, .correct = 7, .images = 150},
                         .test_loss = std::numeric_limits<double>::infinity(),
                         .test_accuracy = 0.3,
                         .best_test_accuracy = 0.7,
                         .best_test_loss = 0.2,
                         .best_epoch = 1,
                         .identity = {{"model", "tiny"}},
                         .conv_plans = {{"conv forward", "convv2"}}};
  const std::string path = scratch / "s.safetensors";
  cks::save_train_state(path, run.model, *run.optimizer, state);
  TinyRun other({.seed = 9});
  const TrainState got =
      cks::load_train_state(path, other.model, *other.optimizer, {{"model", "tiny"}});
  CHECK(got.epoch == 2);
  CHECK(got.batch == 3);
  CHECK(got.step == 13);
  CHECK(got.images == 650);
  CHECK(got.seconds == state.seconds);
  CHECK(got.running.loss_sum == state.running.loss_sum);
  CHECK(got.running.correct == 7);
  CHECK(got.test_loss == state.test_loss);
  CHECK(got.best_epoch == 1);
  CHECK(got.conv_plans == state.conv_plans);
  CHECK(other.model.head.weight.to_vector<float>() == run.model.head.weight.to_vector<float>());
}

TEST_CASE("a number that no field of a training state can hold is damage") {
  const std::string whole = cks::train_state_text({.step = 4711});
  for (const char* number : {"1e300", "0.5", "18446744073709551615"}) {
    std::string text = whole;
    text.replace(text.find("4711"), 4, number);
    CHECK_THROWS_WITH_AS(cks::parse_train_state(text), doctest::Contains("expected an integer"),
                         cks::IoError);
  }
}

TEST_CASE("a training state of something else changes nothing") {
  const ScratchFolder scratch;
  TinyRun run;
  const std::string path = scratch / "s.safetensors";
  cks::save_train_state(path, run.model, *run.optimizer, {.identity = {{"model", "tiny"}}});

  TinyRun other({.seed = 9});
  const auto before = other.model.head.weight.to_vector<float>();
  CHECK_THROWS_WITH_AS(
      cks::load_train_state(path, other.model, *other.optimizer, {{"model", "lenet5"}}),
      doctest::Contains("model: tiny in the checkpoint, lenet5 now"), cks::Error);
  TinyRun sgd({.optimizer = "sgd", .seed = 9});
  CHECK_THROWS_AS(cks::load_train_state(path, sgd.model, *sgd.optimizer, {{"model", "tiny"}}),
                  cks::Error);
  CHECK(sgd.model.head.weight.to_vector<float>() == before);
  CHECK(other.model.head.weight.to_vector<float>() == before);

  cks::save_weights(scratch / "w.safetensors", run.model, {});
  CHECK_THROWS_WITH_AS(
      cks::load_train_state(scratch / "w.safetensors", run.model, *run.optimizer, {}),
      doctest::Contains("not a training state"), cks::IoError);
  cks::save_safetensors(scratch / "v.safetensors", run.model.state_dict(),
                        {{"cks.state_version", "99"}, {"cks.state", "{}"}});
  CHECK_THROWS_WITH_AS(
      cks::load_train_state(scratch / "v.safetensors", run.model, *run.optimizer, {}),
      doctest::Contains("version 99"), cks::IoError);
  cks::save_safetensors(scratch / "d.safetensors", run.model.state_dict(),
                        {{"cks.state_version", "1"}, {"cks.state", "{\"epoch\": \"x\"}"}});
  CHECK_THROWS_WITH_AS(
      cks::load_train_state(scratch / "d.safetensors", run.model, *run.optimizer, {}),
      doctest::Contains("damaged"), cks::IoError);
}

TEST_CASE("a training state or weights with another bit are refused") {
  const ScratchFolder scratch;
  TinyRun run;
  const std::string state = scratch / "s.safetensors";
  const std::string weights = scratch / "w.safetensors";
  cks::save_train_state(state, run.model, *run.optimizer, {.learning_rate = 0.001});
  cks::save_weights(weights, run.model, {.model = "tiny"});
  const auto with_flipped_bits = [](const std::string& path, const auto& load) {
    const std::string bytes = slurp(path);
    constexpr std::size_t kStep = 997;  // a prime: all bits of a byte, all bytes of a word
    for (std::size_t bit = 3; bit < 8 * bytes.size(); bit += bit < 80000 ? 31 : kStep) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
      CAPTURE(bit);
      CHECK_THROWS_AS(load(), cks::Error);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    CHECK_NOTHROW(load());
  };
  with_flipped_bits(state, [&] { cks::load_train_state(state, run.model, *run.optimizer, {}); });
  // A sign, an exponent or a fraction of a number.
  const std::string bytes = slurp(weights);
  for (const std::size_t bit : {std::size_t{7}, std::size_t{23}, std::size_t{30}}) {
    std::string damaged = bytes;
    damaged[damaged.size() - 40 + bit / 8] =
        static_cast<char>(damaged[damaged.size() - 40 + bit / 8] ^ (1 << (bit % 8)));
    std::ofstream(weights, std::ios::binary | std::ios::trunc) << damaged;
    CHECK_THROWS_WITH_AS(cks::load_weights(weights, run.model), doctest::Contains("is damaged"),
                         cks::IoError);
  }
}

TEST_CASE("a truncated checkpoint is an error that names it") {
  const ScratchFolder scratch;
  const std::string path = scratch / "s.safetensors";
  TinyRun run;
  cks::save_train_state(path, run.model, *run.optimizer, {});
  const std::string bytes = slurp(path);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes.substr(0, length);
    CAPTURE(length);
    CHECK_THROWS_WITH_AS(cks::load_train_state(path, run.model, *run.optimizer, {}),
                         doctest::Contains(path.c_str()), cks::IoError);
  }
}

/// Files of this process cannot grow beyond a size: what a full disk does to a writer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("a disk that is full in the middle of a checkpoint leaves the one before") {
  const ScratchFolder scratch;
  const std::string path = scratch / "s.safetensors";
  TinyRun run;
  cks::save_train_state(path, run.model, *run.optimizer, {.step = 1});
  const std::string before = slurp(path);
  {
    const FileSizeLimit full(before.size() / 2);
    CHECK_THROWS_WITH_AS(cks::save_train_state(path, run.model, *run.optimizer, {.step = 2}),
                         doctest::Contains("s.safetensors"), cks::IoError);
  }
  CHECK(slurp(path) == before);
  CHECK(cks::load_train_state(path, run.model, *run.optimizer, {}).step == 1);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
    files += entry.exists() ? 1 : 0;
  }
  CHECK(files == 1);  // no temporary file stays
}

}  // namespace
