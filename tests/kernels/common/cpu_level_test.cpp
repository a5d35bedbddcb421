#include "cks/kernels/common/cpu_level.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "cks/kernels/common/error.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/reduce/reduce.h"

namespace cks::kernels {
namespace {

TEST_CASE("cpu level: its name, its vectors and what is asked for agree") {
  const CpuLevel level = cpu_level();
  const std::string name = cpu_level_name();
  const int bytes = describe_cpu().simd_bytes;
  MESSAGE("kernels use ", name);
  if (level != CpuLevel::only) {
    CHECK(bytes == 16 << static_cast<int>(level));
    CHECK(name.substr(0, 9) == "x86-64-v" + std::to_string(2 + static_cast<int>(level)));
    const char* const wanted = std::getenv("CKS_CPU_LEVEL");
    if (wanted != nullptr) {
      CHECK(name.substr(7, 2) == wanted);
    }
  } else {
    CHECK(bytes == (name == "AVX-512" ? 64 : name == "AVX" || name == "AVX2" ? 32 : 16));
  }
}

TEST_CASE("cpu level: an exception of a level keeps its type on the way out") {
  double value = 0.0;
  CHECK_THROWS_AS(cpu::sum_of_squares(DType::int32, 1, &value, &value, &value), DtypeError);
  CHECK_THROWS_AS(cpu::sum_of_squares(DType::int32, 1, &value, &value, &value), std::runtime_error);
}

}  // namespace
}  // namespace cks::kernels
