#include "apps/cli/latest_run.h"

#include <unistd.h>

#include <filesystem>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

namespace fs = std::filesystem;

fs::path latest() { return fs::path(kRunsFolder) / "latest"; }

}  // namespace

void link_latest(const std::string& run) {
  std::error_code ignored;
  const fs::path folder = fs::weakly_canonical(run, ignored);
  if (!fs::equivalent(folder.parent_path(), kRunsFolder, ignored) ||
      (fs::exists(latest(), ignored) && !fs::is_symlink(latest(), ignored))) {
    return;
  }
  const fs::path made = latest().string() + formatted(".tmp-{}", ::getpid());
  fs::create_directory_symlink(folder.filename(), made, ignored);
  fs::rename(made, latest(), ignored);  // in one step: it always leads somewhere
}

std::string latest_weights() {
  std::error_code missing;
  const fs::path run = fs::path(kRunsFolder) / fs::read_symlink(latest(), missing);
  if (missing) {
    throw IoError(formatted("--latest: there is no link {} to a run; name the file",
                            fs::absolute(latest()).string()));
  }
  for (const char* name : {"best.safetensors", "last.safetensors"}) {
    if (std::error_code ignored; fs::exists(run / name, ignored)) {
      return (run / name).string();
    }
  }
  std::string inside;
  for (const auto& entry : fs::directory_iterator(run, missing)) {
    inside += entry.is_directory() ? "\n  " + entry.path().string() : "";
  }
  throw IoError(formatted("--latest: {} has no weights yet{}{}", run.string(),
                          inside.empty() ? "" : "; name the file in one of", inside));
}

}  // namespace cks::apps
