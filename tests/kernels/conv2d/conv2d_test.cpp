#include "cks/kernels/conv2d/conv2d.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>

#include "tests/kernels/conv2d/conv2d_harness.h"
#include "tests/support/sanitized.h"

// Every pass, on every problem of the list, by every plan that takes it, in float32 and float64:
// against the float64 reference, in poisoned memory between guard bands.

using cks::DType;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

struct Statistics {
  std::int64_t problems = 0;
  std::int64_t runs = 0;
  std::int64_t executed = 0;
  double largest_error[2] = {0.0, 0.0};  // float32, float64; in error units
  double largest_norm[2] = {0.0, 0.0};   // relative L2 norm of the errors, in eps * sqrt(L)
  std::string largest_at[2];
};

/// One problem of one pass with its expected results.
struct Case {
  const ListedProblem& listed;
  Conv2dPass pass;
  bool with_bias;
  Conv2dValues integers, reals;
  std::vector<double> expected_integers, expected_reals;
};

std::int64_t run_with(int threads, Conv2dMemory& memory, const Conv2dPlan& plan) {
  const ThreadsScope scope(threads);
  return memory.run(plan);
}

/// Small integers: all sums are exact, so the result must equal the reference's.
void check_integers(const Case& c, const Conv2dProblem& p, const Conv2dPlan& plan, int threads,
                    const std::string& where, Failures& failures, Statistics& statistics) {
  Conv2dMemory memory(c.pass, p, c.integers, c.with_bias, c.listed.odd_bases);
  const std::int64_t executed = run_with(threads, memory, plan);
  ++statistics.runs;
  statistics.executed += executed;
  const Extents shape = result_shape(c.pass, p);
  const Comparison same = compare(memory.result(), shape, c.expected_integers, shape);
  if (!same) {
    failures.add(where, "integers: " + same.message);
  }
  if (const std::string damage = memory.damage(); !damage.empty()) {
    failures.add(where, damage);
  }
  const std::int64_t least = counted_multiply_adds(p);
  if (plan.granule == 1 ? executed != least : executed < least) {
    failures.add(where, "executed " + std::to_string(executed) + " multiply-adds, V is " +
                            std::to_string(least));
  }
}

/// Reals: within the computed tolerance, and the same bits for any number of threads.
void check_reals(const Case& c, const Conv2dProblem& p, const Conv2dPlan& plan,
                 const std::string& where, Failures& failures, Statistics& statistics) {
  Conv2dMemory memory(c.pass, p, c.reals, c.with_bias, c.listed.odd_bases);
  const std::int64_t executed = run_with(1, memory, plan);
  const auto bytes = memory.bytes();
  const Extents shape = result_shape(c.pass, p);
  const double unit = error_unit(c.pass, p);
  Tolerance tolerance{.absolute = kErrorUnits * unit};
  if (c.expected_reals.size() >= 64) {  // the norm of a few sums may be small by chance
    tolerance.relative_l2 = unit;
  }
  const Comparison close = compare(memory.result(), shape, c.expected_reals, shape, tolerance);
  if (!close) {
    failures.add(where, "reals: " + close.message);
  }
  const std::size_t type = p.x_type == DType::float32 ? 0 : 1;
  if (c.expected_reals.size() >= 64) {
    statistics.largest_norm[type] =
        std::max(statistics.largest_norm[type], close.relative_l2 / unit);
  }
  if (close.max_error / unit > statistics.largest_error[type]) {
    statistics.largest_error[type] = close.max_error / unit;
    statistics.largest_at[type] = where;
  }
  ++statistics.runs;
  for (const int threads : {2, 5, 5}) {
    const std::int64_t again = run_with(threads, memory, plan);
    ++statistics.runs;
    if (memory.bytes() != bytes) {
      failures.add(where, "other bits with " + std::to_string(threads) + " threads than with 1");
    }
    if (again != executed) {
      failures.add(where, "other multiply-adds with " + std::to_string(threads) + " threads");
    }
  }
  if (const std::string damage = memory.damage(); !damage.empty()) {
    failures.add(where, damage);
  }
}

void check_problem(const ListedProblem& listed, Conv2dPass pass, std::uint64_t seed,
                   Failures& failures, Statistics& statistics) {
  const Conv2dProblem exact = listed.at(DType::float64);
  const bool transposed_forward = pass == Conv2dPass::backward_data && listed.transposed;
  Case c{listed,
         pass,
         transposed_forward || seed % 2 == 0,
         make_values(exact, Fill::small_integers, seed),
         make_values(exact, Fill::reals, seed),
         {},
         {}};
  for (const Fill fill : {Fill::small_integers, Fill::reals}) {
    const bool integers = fill == Fill::small_integers;
    Conv2dMemory memory(pass, exact, integers ? c.integers : c.reals, c.with_bias);
    const std::int64_t executed = memory.run_reference();
    (integers ? c.expected_integers : c.expected_reals) = memory.result();
    if (executed != counted_multiply_adds(exact) || !memory.damage().empty()) {
      failures.add(listed.name,
                   "reference: executed " + std::to_string(executed) + "; " + memory.damage());
    }
  }
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Conv2dProblem p = listed.at(dtype);
    for (const Conv2dPlan& plan :
         cks::kernels::possible_plans(pass, p, cks::kernels::describe_cpu())) {
      const std::string where = listed.name + " (" + to_string(p) + "), plan " + plan.to_string();
      try {
        const int threads[] = {1, 2, 5};
        check_integers(c, p, plan, threads[seed % 3], where, failures, statistics);
        // The expected values come from the reference, which is slow: what it does with reals as a
        // plan is checked on the many small problems.
        if (plan.kernel != "reference" || counted_multiply_adds(p) <= 50'000) {
          check_reals(c, p, plan, where, failures, statistics);
        }
      } catch (const std::exception& error) {
        failures.add(where, std::string("threw: ") + error.what());
      }
    }
  }
  ++statistics.problems;
}

void check_list(Conv2dPass pass) {
  const auto start = std::chrono::steady_clock::now();
  Statistics statistics;
  {
    Failures failures;
    const std::uint64_t step = every();
    std::uint64_t seed = 0;
    for (const ListedProblem& listed : conv2d_problems()) {
      if (seed % step == 0) {
        check_problem(listed, pass, seed, failures, statistics);
      }
      ++seed;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::ostringstream text;
  text << name_of(pass) << ": " << statistics.problems << " problems, " << statistics.runs
       << " runs, " << statistics.executed << " multiply-adds on integers, " << seconds.count()
       << " s";
  for (const std::size_t type : {0, 1}) {
    const std::string& at = statistics.largest_at[type];
    text << "; " << (type == 0 ? "float32" : "float64") << ": largest error "
         << statistics.largest_error[type] << " (bound " << kErrorUnits
         << ") eps*sqrt(L)*max|a|*max|b|" << (at.empty() ? at : " at " + at)
         << ", largest relative L2 norm " << statistics.largest_norm[type] << " eps*sqrt(L)";
  }
  MESSAGE(text.str());
}

}  // namespace

TEST_CASE("conv2d forward: every plan on the whole problem list") {
  check_list(Conv2dPass::forward);
}

TEST_CASE("conv2d backward_data: every plan on the whole problem list") {
  check_list(Conv2dPass::backward_data);
}

TEST_CASE("conv2d backward_filter: every plan on the whole problem list") {
  check_list(Conv2dPass::backward_filter);
}
