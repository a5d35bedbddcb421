// The level of instructions as a user meets it: chosen, printed, forced down, refused.
#include "cks/kernels/common/cpu_level.h"

#include <doctest/doctest.h>

#include "apps/cli/program.h"
#include "cks/config.h"
#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "tests/support/process.h"

namespace {

using namespace cks::testing;
using cks::kernels::CpuLevel;

/// train_mnist on a few drawn digits with CKS_CPU_LEVEL set.
Outcome train(const ScratchFolder& scratch, const std::string& level, const Arguments& more) {
  const Arguments arguments{"CKS_CPU_LEVEL=" + level, CKS_TRAIN_MNIST, "--dataset", "drawn",
                            "--limit-train",          "200",           "--epochs",  "1",
                            "--limit-test",           "100",           "--device",  "cpu"};
  return run_process("/usr/bin/env", scratch, joined(arguments, more));
}

TEST_CASE("every level that this processor has is printed, and is the same for any threads") {
  if (cks::kernels::cpu_level() == CpuLevel::only) {
    MESSAGE("skipped: this build has its kernels once, for ", cks::apps::instruction_set());
    return;
  }
  const ScratchFolder scratch;
  for (const CpuLevel level : {CpuLevel::v2, CpuLevel::v3, CpuLevel::v4}) {
    const std::string name = "v" + std::to_string(2 + static_cast<int>(level));
    CAPTURE(name);
    const Outcome outcome =
        train(scratch, name, {"--output-dir", scratch / name, "--threads", "1"});
    if (level > cks::kernels::cpu_level() && outcome.code == 1) {
      MESSAGE("skipped: this processor lacks ", name);
      continue;
    }
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(contains(outcome.err, "x86-64-" + name));
    REQUIRE(train(scratch, name, {"--output-dir", scratch / (name + "t"), "--threads", "3"}).code ==
            0);
    const auto one = cks::load_safetensors(scratch / name + "/last.safetensors");
    const auto three = cks::load_safetensors(scratch / (name + "t") + "/last.safetensors");
    REQUIRE(one.tensors.size() == three.tensors.size());
    for (std::size_t i = 0; i < one.tensors.size(); ++i) {
      CHECK(one.tensors[i].second.to_vector<float>() == three.tensors[i].second.to_vector<float>());
    }
  }
}

TEST_CASE("a level that there is not ends a program with a message") {
  const ScratchFolder scratch;
  const Outcome outcome = train(scratch, "v9", {"--output-dir", scratch / "run"});
  CHECK(outcome.code == 1);
  CHECK_MESSAGE(contains(outcome.err, "CKS_CPU_LEVEL=\"v9\""), outcome.err);
#if CKS_HAS_CPU_LEVELS
  CHECK_MESSAGE(contains(outcome.err, "which knows v2"), outcome.err);
#endif
}

}  // namespace
