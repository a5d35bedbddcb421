#!/usr/bin/env bash
# One call for a GPU machine (CUDA toolkit, compiler, CMake, ninja; CKS_DEPS_DIR made by
# scripts/deps.sh where there is no network): builds, runs all tests, the four compute-sanitizer tools
# on a small named set, and the convolution benchmark. Ends with one line: N passed, N failed.
# usage: scripts/gpu_check.sh [build] [tests] [sanitizers] [bench]      default: all
# CKS_CUDA_ARCHITECTURES (default native) says what to compile for; logs lie in build/gpu_check.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/lib.sh
parts=${*:-build tests sanitizers bench}
logs=$root/build/gpu_check
mkdir -p "$logs"
build=$root/build/gpu
passed=0 failed=0

# check NAME COMMAND...: runs it with its output in a log, shows the end if it fails.
check() {
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$logs/$name.log" 2>&1; then
    passed=$((passed + 1))
    printf '%-24s passed  %4d s\n' "$name" $((SECONDS - begin))
  else
    failed=$((failed + 1))
    printf '%-24s FAILED  %4d s\n' "$name" $((SECONDS - begin))
    tail -25 "$logs/$name.log"
  fi
}
wants() { [[ " $parts " == *" $1 "* ]]; }

# The small named set: every kind of kernel once, seconds under a sanitizer. Plain allocations show
# each tensor's bounds to the tools.
sanitize() {
  CKS_ALLOCATOR=plain compute-sanitizer --tool "$1" --error-exitcode 9 \
    "$build/tests/kernels_cuda_tests" -tc="$2"
}
small='*gemm*,*batch_norm*,*softmax*,*pool*,*dropout*,*reduce*,*adam*'

nvidia-smi --query-gpu=name,driver_version,clocks.sm --format=csv,noheader || fail "no NVIDIA GPU"
if wants build; then
  check build build_in "$build" -DCKS_ENABLE_CUDA=ON -DCKS_WERROR=ON \
    -DCMAKE_CUDA_ARCHITECTURES="${CKS_CUDA_ARCHITECTURES:-native}" \
    ${CKS_DEPS_DIR:+-DCKS_DEPS_DIR="$CKS_DEPS_DIR"}
fi
if wants tests; then
  check tests ctest --test-dir "$build" --output-on-failure --no-tests=error
fi
if wants sanitizers; then
  check memcheck sanitize memcheck "$small"
  check initcheck sanitize initcheck "$small"
  check synccheck sanitize synccheck "$small"
  check racecheck sanitize racecheck '*batch_norm*,*softmax*'  # the slowest of them by far
fi
if wants bench; then
  check bench_conv "$build/apps/bench_conv" --device cuda --shapes anchors --seconds 0.05
  cat "$logs/bench_conv.log"
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
