#!/usr/bin/env bash
# Compiles the CUDA backend, warnings being errors, and runs the tests of that build that say
# something without a GPU: auto takes the CPU, a CUDA device is refused with the reason, and the core
# works as ever; then builds outside programs, an operation of one's own among them, against the
# installed package. Needs the CUDA toolkit, no GPU. usage: scripts/cuda_compile.sh [ARCHITECTURES]
# Without an argument: Hopper alone, or all architectures if kernels changed within the twelve hours
# before the newest commit. The build lies in build/cuda.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/lib.sh
[ $# -le 1 ] || { echo "usage: scripts/cuda_compile.sh [ARCHITECTURES]" >&2; exit 2; }
command -v nvcc >/dev/null || fail "nvcc is not in the PATH"

# kernels_changed: true as well in a tree that is younger than that.
kernels_changed() {
  local base
  base=$(git rev-list -1 --before="$(($(git log -1 --format=%ct) - 43200))" HEAD)
  [ -z "$base" ] || ! git diff --quiet "$base" HEAD -- kernels cmake/cuda.cmake
}

architectures=${1:-90a-real}
if [ $# -eq 0 ] && kernels_changed; then
  architectures=default
fi
say "building for CUDA architectures: $architectures (build/cuda)"
wanted=(-DCMAKE_CUDA_ARCHITECTURES="$architectures")
[ "$architectures" != default ] || wanted=(-UCMAKE_CUDA_ARCHITECTURES)
mkdir -p build
# The tests of what CUDA changes; CPU kernels for this processor alone, which need a third of the time.
build_targets='kernels/all core/all layers/all models/all datasets/all apps/all core_tests
  kernels_cuda_tests large_cuda_tests cuda_error_tests training_cuda_tests'
build_in "$root/build/cuda" -DCKS_WERROR=ON -DCKS_ENABLE_CUDA=ON -DCKS_NATIVE=ON -DCMAKE_UNITY_BUILD=ON \
  "${wanted[@]}" 2>&1 | tee build/cuda.log
# The compiler only notes that it makes products of tensor cores wait for each other.
! grep -E '\(C75(1[0-8]|20)\)' build/cuda.log || fail "products of tensor cores are serialised"

say "testing"
ctest --test-dir "$root/build/cuda" --output-on-failure --no-tests=error -R '^(core|kernels_cuda)$'
scripts/package_check.sh "$root/build/cuda"
