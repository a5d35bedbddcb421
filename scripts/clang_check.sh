#!/usr/bin/env bash
# Builds the library with clang and its own standard library, libc++, warnings as errors, hardly optimised, and runs
# the tests of kernels (on a part of the convolutions) and core.
# usage: scripts/clang_check.sh      the build lies in build/clang
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

install_packages "${CKS_BUILD_PACKAGES[@]}" clang libc++-dev libc++abi-dev
mkdir -p "$root/build"
say "building (build/clang)"
# Of the dependencies only headers are used: Debian's libraries of spdlog and fmt are built on another standard library.
build_targets="cks_train cks_models kernels_tests core_tests" build_quietly "$root/build/clang.log" "$root/build/clang" \
  -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_FLAGS=-stdlib=libc++ -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DCMAKE_BUILD_TYPE=Release \
  -DCKS_CPU_LEVELS=OFF -DCKS_BUILD_APPS=OFF -DCKS_WERROR=ON
say "testing"
kernels_tests "$root/build/clang/tests/kernels_tests"
"$root/build/clang/tests/core_tests"
