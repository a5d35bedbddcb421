#!/usr/bin/env bash
# Shows that one build runs on every processor: the tests of the kernels on each level of instructions
# of x86-64 that this machine knows, a network trained on emulated processors (QEMU's Nehalem, Haswell
# and, cross-compiled, 64-bit ARM), and the message where a processor is too old.
# usage: scripts/processors.sh [BUILD_DIR]      build/test by default; ARM is built in build/arm64
# Ends with one line: N passed, N failed, N skipped. Installs what is missing (Debian).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/lib.sh
build=${1:-build/test}
arm=build/arm64
[ "$(uname -m)" = x86_64 ] || fail "this script runs on x86-64"
passed=0 failed=0 skipped=0
declare -A flag=([v2]=sse4_2 [v3]=avx2 [v4]=avx512vl)
has_level() { grep -qw "${flag[$1]}" /proc/cpuinfo; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check NAME COMMAND...: counts it; shows the errors and the end of its output if it fails.
check() {
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
    say "$name: passed in $((SECONDS - begin)) s"
  else
    failed=$((failed + 1))
    say "$name: FAILED in $((SECONDS - begin)) s"
    grep -m 5 -B 4 -A 4 'ERROR' "$scratch/log" >&2 || true
    tail -n 10 "$scratch/log" >&2
  fi
}

# A level's object may offer the linker its own functions alone, and nothing in it may run unasked.
sealed() {
  local object=$build/kernels/cks_kernels_$1.o
  ! nm --extern-only --defined-only "$object" | grep -v " _ZN3cks7kernels6cpu_$1" &&
    ! objdump --section-headers "$object" | grep -E 'init_array|ctors'
}

# trains LEVEL COMMAND...: an epoch of LeNet-5 on 1,000 drawn digits; the run must say that it used
# the level and learn something (guessing is 10 %).
trains() {
  local level=$1
  shift
  rm -rf "$scratch/run"
  "$@" --dataset drawn --limit-train 1000 --limit-test 200 --batch-size 20 --epochs 1 --threads 2 \
       --log-interval 0 --device cpu --output-dir "$scratch/run" 2>&1 | tee "$scratch/run.txt"
  grep -q "Release build, $level" "$scratch/run.txt" &&
    awk '/^done/ { for (i = 1; i < NF; i++) if ($i == "accuracy") { found = $(i + 1) > 40; exit } }
         END { exit !found }' "$scratch/run.txt"
}

# emulates CPU LEVEL: the same on a processor that QEMU plays, with the figures that this one has when
# it is held down to the level.
emulates() {
  local figures='s/^\(epoch .*%\) .*/\1/p'
  trains "x86-64-$2" qemu-x86_64 -cpu "$1" "$program" &&
    sed -n "$figures" "$scratch/run.txt" >"$scratch/emulated.txt" && [ -s "$scratch/emulated.txt" ] || return 1
  ! has_level "$2" || {
    trains "x86-64-$2" env CKS_CPU_LEVEL="$2" "$program" &&
      sed -n "$figures" "$scratch/run.txt" | diff "$scratch/emulated.txt" -
  }
}

# refuses TEXT COMMAND...: ends with exit code 1 and a message that contains the text.
refuses() {
  local text=$1 code=0
  shift
  "$@" >"$scratch/refused.txt" 2>&1 || code=$?
  cat "$scratch/refused.txt"
  [ "$code" -eq 1 ] && grep -q "$text" "$scratch/refused.txt"
}

# A program that was compiled for AVX-512 alone, whose static initialiser already needs it.
compile_for_v4() {
  cat >"$scratch/wide.cpp" <<'EOF'
#include <cstdio>
typedef float Wide __attribute__((vector_size(64)));
volatile float one = 1;
Wide numbers;
struct Early {
  Early() { numbers = (numbers + one) * one; }
} early;
int main() { std::printf("ran to %g\n", static_cast<double>(numbers[0])); }
EOF
  local compile=(g++ -std=c++20 -O3 -I"$build/include")
  "${compile[@]}" -march=x86-64 -c kernels/common/cpu_check/cpu_check.cpp -o "$scratch/check.o" &&
    "${compile[@]}" -march=x86-64-v4 "$scratch/wide.cpp" kernels/common/cpu_check/cpu_features.cpp \
      "$scratch/check.o" -o "$scratch/wide"
}

# zlib for ARM from Debian's archive, without making ARM one of this system's architectures; the other
# dependencies are headers.
arm_dependencies() {
  [ ! -e "$arm/deps/done" ] || return 0
  scripts/deps.sh "$arm/deps"
  mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/cache/archives/partial"
  local options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
                 -o Dir::State::Lists="$scratch/apt/lists" -o Dir::State::Status=/dev/null
                 -o Dir::Cache="$scratch/apt/cache" -o Acquire::Retries=3)
  (cd "$scratch/apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download zlib1g-dev) &&
    dpkg -x "$scratch"/apt/zlib1g-dev_*.deb "$scratch/apt/zlib" &&
    cp "$scratch/apt/zlib/usr/lib/aarch64-linux-gnu/libz.a" "$arm/deps/zlib/" &&
    touch "$arm/deps/done"
}

build_for_arm() {
  arm_dependencies &&
    build_targets='train_mnist kernels_tests' build_in "$arm" \
      -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
      -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCKS_WERROR=ON -DCKS_DEPS_DIR="$PWD/$arm/deps"
}

install_packages "${CKS_BUILD_PACKAGES[@]}" qemu-user g++-aarch64-linux-gnu
mkdir -p build
say "building ($build)"
build_targets='train_mnist kernels_tests' build_quietly build/processors.log "$build" -DCKS_WERROR=ON

for level in v2 v3 v4; do
  check "$level keeps its symbols to itself" sealed $level
  if has_level $level; then
    check "tests of the kernels, $level" kernels_tests CKS_CPU_LEVEL=$level "$build/tests/kernels_tests"
  else
    skipped=$((skipped + 1))
    say "tests of the kernels, $level: skipped, this processor lacks it"
  fi
done
program=$build/apps/train_mnist
arm_run=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
check "LeNet-5 on this processor" trains x86-64- "$program"
check "LeNet-5 on a Nehalem" emulates Nehalem v2
check "LeNet-5 on a Haswell" emulates Haswell v3
check "a Core 2 is refused" refuses 'lacks instructions of v2' qemu-x86_64 -cpu Conroe "$program" --dataset drawn
check "a program compiled for AVX-512" compile_for_v4
check "a Haswell refuses it" refuses 'lacks avx512f' qemu-x86_64 -cpu Haswell "$scratch/wide"
# It is in the library that the programs share.
check "every program has that check" grep -q cks_check_processor \
  <(nm "$program" $(ldd "$program" | awk '/libcks/ { print $3 }'))
check "ARM: build" build_for_arm
every=150 check "ARM: tests of the kernels" kernels_tests "${arm_run[@]}" "$arm/tests/kernels_tests"
check "ARM: LeNet-5" trains NEON "${arm_run[@]}" "$arm/apps/train_mnist"
printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
