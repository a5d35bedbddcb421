// A run of an earlier version (tests/fixtures/README.md) still loads and goes on.
#include <doctest/doctest.h>
#include <zlib.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/classify/classifier.h"
#include "apps/cli/program.h"
#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"
#include "tests/support/process.h"

namespace {

using namespace cks::testing;

#ifdef CKS_RELEASE_FLAGS
constexpr bool kReleaseFlags = true;
#else
constexpr bool kReleaseFlags = false;
#endif

const std::string kOldRun = CKS_FIXTURES "/run_a6ca860";

/// Of the bytes of all weights, in the order of their names: metadata may change.
std::uint32_t weights_checksum(const std::string& path) {
  std::map<std::string, cks::Tensor> weights;
  for (const auto& [name, tensor] : cks::load_safetensors(path).tensors) {
    weights.emplace(name, tensor);
  }
  uLong sum = crc32(0, nullptr, 0);
  for (auto& [name, tensor] : weights) {
    const auto bytes = static_cast<std::size_t>(tensor.numel()) * sizeof(float);
    sum = crc32_z(sum, static_cast<const Bytef*>(tensor.data()), bytes);
  }
  return static_cast<std::uint32_t>(sum);
}

TEST_CASE("weights of an earlier version classify as they did, and inspect shows them") {
  const std::string path = kOldRun + "/best.safetensors";
  const auto classifier = cks::apps::load_classifier(path, {}, cks::Device::cpu());
  CHECK(classifier.info.model == "lenet5");
  const auto digits = cks::drawn_digits({.train_count = 1, .test_count = 200}).test;
  const auto probabilities = cks::apps::class_probabilities(classifier, digits.images);
  CHECK(cks::count_in_top(probabilities, digits.labels, 1) == 161);  // 80.5 %, as its metrics.csv

  const ScratchFolder scratch;
  const Outcome outcome = run_process(CKS_INSPECT, scratch, {path});
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.out, "61,706"));
}

TEST_CASE("a run of an earlier version goes on to the end that it would have had") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  std::filesystem::copy(kOldRun, folder);
  const Outcome outcome = run_process(CKS_TRAIN_MNIST, scratch, {"--resume", folder});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const auto rows = cks::RunFolder::open(folder).read_metrics();
  REQUIRE(rows.size() == 3);
  CHECK(rows.back().step == 120);
  const auto summary = nlohmann::json::parse(cks::read_file(folder + "/summary.json"));
  CHECK(summary.at("interrupted") == false);
  CHECK(summary.at("test_loss").get<double>() == doctest::Approx(0.800458550453186).epsilon(1e-3));
  // Sums are cut as the widest vectors are, and a compiler that optimises less contracts fewer
  // products into their sums: the last bits hold for the same instructions and the release flags
  // alone.
  if (kReleaseFlags && contains(cks::apps::instruction_set(), "AVX-512")) {
    CHECK(weights_checksum(folder + "/last.safetensors") == 0x91208df3);
  }
}

}  // namespace
