// Reads config.json, of a run that goes on and as --config: RunFolder::read_config(),
// take_config().
// Dictionary: json
// Covers: apps/cli/recipes.cpp:read_object|9text_of|read_flags|take_config
// Covers: core/io/json_impl.h:parse_json
#include <filesystem>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/recipes.h"
#include "cks/train/run_folder.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// The folder of a run whose config.json is in memory, and a program with a flag of each kind.
struct Program {
  cks::fuzz::MemoryFile file;
  cks::RunFolder folder = cks::RunFolder::create(cks::fuzz::memory_folder() + "/run");
  std::string config, model = "lenet5", data_dir, text;
  std::optional<std::string> resume;
  std::int64_t epochs = 1;
  double lr = 0.1;
  bool flip = false;
  cks::apps::Flags flags{"program", "reads flags"};

  Program() {
    std::filesystem::create_symlink(file.path(), folder.config_file());
    cks::apps::add_config_flag(flags, config);
    flags.add_choice("model", model, {"lenet5", "mlp"}, "which");
    flags.add_path("data-dir", data_dir, "where");
    flags.add_optional("resume", resume, "which run");
    flags.add("text", text, "any");
    flags.add("epochs", epochs, "how many", 1, 100);
    flags.add("lr", lr, "how fast", 0.0, 10.0);
    flags.add_switch("flip", flip, "whether");
    const std::string path = "--config=" + file.path();
    const std::array<const char*, 2> words{"program", path.c_str()};
    cks::fuzz::require(!flags.parse(1, words.data()) && cks::apps::take_config(flags, "").empty());
    cks::fuzz::require(!flags.parse(static_cast<int>(words.size()), words.data()));
    cks::fuzz::require(
        !cks::fuzz::takes([&] { cks::apps::take_config(flags, file.path() + "/missing"); }));
    // With --resume, and then as the inputs are read.
    const std::array<const char*, 3> resuming{"program", path.c_str(), "--resume=x"};
    cks::fuzz::require(!flags.parse(static_cast<int>(resuming.size()), resuming.data()) &&
                       !cks::fuzz::takes([&] { cks::apps::take_config(flags, file.path()); }));
    cks::fuzz::require(!flags.parse(static_cast<int>(words.size()), words.data()));
  }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Program program;
  program.file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] { program.folder.read_config(); });
  cks::fuzz::takes([] {
    cks::apps::take_config(program.flags, program.config);
    cks::fuzz::require(program.epochs >= 1 && program.epochs <= 100 && program.lr >= 0.0 &&
                       program.lr <= 10.0);
  });
  return 0;
}
