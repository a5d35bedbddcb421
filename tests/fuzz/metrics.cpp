// Reads metrics.csv: RunFolder::read_metrics().
// Dictionary: metrics
// Covers: apps/train/run_folder.cpp:parse_row|read_metrics|visit_columns
#include <filesystem>
#include <fstream>

#include "cks/train/run_folder.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// A run whose metrics.csv is in memory.
struct Run {
  cks::fuzz::MemoryFile file;
  cks::RunFolder folder = cks::RunFolder::create(cks::fuzz::memory_folder() + "/run");
  Run() { std::filesystem::create_symlink(file.path(), folder.metrics_file()); }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Run run;
  run.file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([&] {
    cks::fuzz::require(run.folder.read_metrics().size() <= size / 20);  // ten cells a row
  });
  return 0;
}
