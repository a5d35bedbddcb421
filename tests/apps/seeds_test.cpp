#include <doctest/doctest.h>

#include "apps/report/profile_tables.h"
#include "apps/run/results.h"
#include "cks/core/error.h"
#include "tests/support/process.h"

namespace cks::apps {
namespace {

using cks::testing::contains;

FinishedRun run_with(std::int64_t seed, double accuracy, double seconds) {
  FinishedRun run{.seed = seed, .folder = "runs/x/seed-" + std::to_string(seed)};
  run.summary.test_accuracy = accuracy;
  run.summary.best_test_accuracy = accuracy + 0.01;
  run.summary.seconds = seconds;
  run.rows = {{.epoch = 1, .seconds = seconds / 2, .test_accuracy = accuracy - 0.1},
              {.epoch = 2, .seconds = seconds, .test_accuracy = accuracy}};
  return run;
}

TEST_CASE("mean_deviation: of a sample") {
  CHECK(mean_deviation({2.0, 4.0, 9.0}).mean == doctest::Approx(5.0));
  CHECK(mean_deviation({2.0, 4.0, 9.0}).deviation == doctest::Approx(3.605551275));
  CHECK(mean_deviation({7.0}).deviation == 0.0);
  CHECK_THROWS_AS(mean_deviation({}), Error);
}

TEST_CASE("seconds_to: the first epoch that is as good") {
  const FinishedRun run = run_with(1, 0.9, 10.0);
  CHECK(seconds_to(0.75, run.rows) == 5.0);
  CHECK(seconds_to(0.9, run.rows) == 10.0);
  CHECK(seconds_to(0.91, run.rows) < 0.0);
}

TEST_CASE("runs_table, runs_csv: one row a run; the time to a target over those that reached it") {
  const std::vector<FinishedRun> runs{run_with(1, 0.90, 10.0), run_with(2, 0.80, 12.0),
                                      run_with(3, 0.94, 14.0)};
  const std::string table = runs_table(runs, 0.9);
  CHECK(contains(table, "88.00 +- 7.21"));
  CHECK(contains(table, "12.0 +- 2.0"));
  CHECK(contains(table, "seconds to 90.00 %"));
  CHECK(contains(table, "never"));
  CHECK(contains(table, "12.0 +- 2.8"));
  CHECK(contains(table, "2 of 3 runs reached 90.00 %"));
  CHECK_FALSE(contains(runs_table(runs, 0.0), "reached"));
  CHECK(runs_csv({run_with(2, 0.75, 12.0)}, 0.8) ==
        "seed,test_acc,best_test_acc,seconds,seconds_to_target,folder\n"
        "2,0.75,0.76000000000000001,12,,\"runs/x/seed-2\"\n");
  FinishedRun run = run_with(2, 0.75, 12.0);
  run.folder = "runs/a, \"b\"/seed-2";
  CHECK(contains(runs_csv({run}, 0.0), ",\"runs/a, \"\"b\"\"/seed-2\"\n"));
}

TEST_CASE("module_time_table: milliseconds of a step, what no layer did at the end") {
  const std::string table = module_time_table({{"", 0.001, 0.001}, {"conv1", 0.004, 0.010}}, 2);
  CHECK(contains(table, "conv1"));
  CHECK(contains(table, "2.000"));
  CHECK(contains(table, "87.50 %"));
  CHECK(table.find("conv1") < table.find("(model, loss, optimiser)"));
  CHECK(contains(table, "mean of 2 steps"));
}

}  // namespace
}  // namespace cks::apps
