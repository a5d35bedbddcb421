#!/usr/bin/env bash
# Builds the library with clang and its own standard library, libc++, warnings as errors, and runs
# apps/examples/custom_model with it; with "tests" also the tests of kernels (on a part of the convolutions) and core.
# Says at the end how many seconds that took: from nothing, on one slow core, 1,000, and 700 more with "tests".
# usage: scripts/clang_check.sh [tests]      the build lies in build/clang
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

# Of Debian 12 the newest clang: 14, its default, knows less of C++20 than the tests use (lambdas that capture
# structured bindings). Of the dependencies only headers are used: Debian's libraries of spdlog and fmt are built on
# another standard library.
install_packages "${CKS_BUILD_PACKAGES[@]}" clang-16 libc++-16-dev libc++abi-16-dev
targets=custom_model
[ "${1:-}" != tests ] || targets="custom_model kernels_tests core_tests"
mkdir -p "$root/build"
say "building (build/clang)"
build_targets=$targets build_quietly "$root/build/clang.log" "$root/build/clang" \
  -DCMAKE_CXX_COMPILER=clang++-16 -DCMAKE_CXX_FLAGS=-stdlib=libc++ -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
  -DCMAKE_BUILD_TYPE=Release -DCKS_CPU_LEVELS=OFF -DCKS_WERROR=ON
"$root/build/clang/apps/custom_model"
if [ "${1:-}" = tests ]; then
  kernels_tests "$root/build/clang/tests/kernels_tests"
  "$root/build/clang/tests/core_tests"
fi
say "took $SECONDS s"
