// Reads a command line, one word a line, and the texts that flags take.
// Dictionary: flags
// Covers: apps/cli/flags.cpp apps/cli/image_size.cpp apps/cli/nearest_name.cpp
// Covers: core/device/device.cpp
#include "apps/cli/flags.h"

#include <array>
#include <iostream>
#include <optional>
#include <sstream>
#include <vector>

#include "apps/cli/image_size.h"
#include "cks/core/device/device.h"
#include "cks/datasets/images/image_io.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// A program with a flag of each kind.
struct Program {
  std::string model = "lenet5", data_dir, device = "cpu", text, file;
  std::optional<std::string> resume;
  std::vector<std::string> pictures;
  std::int64_t batch_size = 1;
  double lr = 0.1;
  bool quiet = false;
  cks::apps::Flags flags{"program", "reads flags\n  program --text a"};

  Program() {
    std::cout.setstate(std::ios::failbit);  // prints nothing
    std::cerr.setstate(std::ios::failbit);
    flags.group("All");
    flags.add_choice("model", model, {"lenet5", "mlp", "resnet20"}, "which");
    flags.add_path("data-dir", data_dir, "where");
    flags.add_optional("resume", resume, "which run");
    flags.add("device", device, "on what",
              [](const std::string& word) { cks::Device::parse(word); });
    flags.add("text", text, "any");
    flags.add("batch-size", batch_size, "how many", 1, 100);
    flags.add("lr", lr, "how fast", 0.0, 10.0);
    flags.add_switch("quiet", quiet, "whether");
    flags.add_positional("file", file, "which", false);
    flags.add_positional("pictures", pictures, "which");
    flags.needs("resume", "text");
    flags.excludes("lr", "data-dir");
    flags.only_with("quiet", "model", "mlp");
    flags.footer("The end.");
  }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // CLI11 remembers every option that it ever parsed: a new one after some thousand inputs.
  static std::optional<Program> made;
  static int inputs = 0;
  if (inputs++ % 4096 == 0) {
    made.emplace();
  }
  Program& program = *made;
  const std::string all(cks::fuzz::text_of(data, size));
  std::vector<std::string> words;
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    words.push_back(line.substr(0, line.find('\0')));
  }
  std::vector<const char*> line{"program"};
  for (const std::string& word : words) {
    line.push_back(word.c_str());
  }
  cks::fuzz::takes([&] {
    if (!program.flags.parse(static_cast<int>(line.size()), line.data())) {
      cks::fuzz::require(program.batch_size >= 1 && program.batch_size <= 100 &&
                         program.lr >= 0.0 && program.lr <= 10.0);
      program.flags.require_effects();
      const cks::apps::FlagValues values = program.flags.values();
      for (const auto& [name, value] : values) {
        program.flags.set(name, value);  // what it says it takes
      }
    }
  });
  if (!words.empty()) {  // as take_config() sets them
    cks::fuzz::takes([&] { program.flags.set(words.front(), words.back()); });
  }
  for (const std::string& word : words) {
    cks::fuzz::takes([&] {
      const cks::Shape read = cks::apps::parse_image_size(word);
      cks::fuzz::require(read[0] == read[1] && read[2] > 0);
    });
    cks::fuzz::takes([&] {
      const cks::Device device = cks::Device::parse(word);
      cks::fuzz::require(cks::Device::parse(device.to_string()) == device);
    });
    cks::fuzz::takes([&] { cks::parse_image_fit(word); });
  }
  return 0;
}
