#!/usr/bin/env bash
# Fuzzes what reads bytes from outside, each reader for a while, after the inputs that are kept:
# with the address and undefined sanitizers, at most 512 MiB and a second for an input.
#
# usage: scripts/fuzz.sh [SECONDS [NAME...]]    10 seconds each of tests/fuzz/NAME.cpp; all of them
#
# Prints for each: executions, those since the last that found a new edge, and lines executed of
# the sources that the fuzzer covers. What it finds worth keeping goes to build/fuzzed/found/NAME, an
# input that crashes, hangs or takes too much memory to build/fuzzed/crashes; then the exit code is 1.
# FUZZ_JOBS readers run at a time (1), in front of the libraries of the build FUZZ_BUILD (build/fuzz).
# `scripts/fuzz.sh keep NAME...` adds to tests/fuzz/corpus those of the found inputs, of at most 512
# bytes and small ones first, that reach edges which the committed ones do not.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/lib.sh

build=${FUZZ_BUILD:-build/fuzz}
programs=$build/fuzz
output=build/fuzzed
export ASAN_OPTIONS=quarantine_size_mb=4:malloc_context_size=2:max_malloc_fill_size=0 UBSAN_OPTIONS=print_stacktrace=1
limits=(-rss_limit_mb=512 -timeout=1 -max_len=4096)

# facts KEY NAME: what the head of a fuzzer says behind KEY.
facts() { sed -n "s,^// $1: ,,p" "tests/fuzz/$2.cpp"; }

# fuzz NAME: the lines of its report.
fuzz() {
  local name=$1 found=$output/found/$1 log=$output/logs/$1 dictionary input status=0
  mkdir -p "$found" "$output/crashes" "$output/logs"
  dictionary=$(facts Dictionary "$name")
  LLVM_PROFILE_FILE=/dev/null "$programs/fuzz_$name" "${limits[@]}" -max_total_time="$seconds" \
    -print_final_stats=1 -artifact_prefix="$output/crashes/$name-" \
    ${dictionary:+-dict=tests/fuzz/dictionaries/$dictionary.dict} "$found" "tests/fuzz/corpus/$name" \
    >"$log" 2>&1 || status=$?
  for input in "$output/crashes/$name-timeout-"*; do  # a busy machine is no slow reader
    [ -e "$input" ] && LLVM_PROFILE_FILE=/dev/null "$programs/fuzz_$name" "${limits[@]}" "$input" >/dev/null 2>&1 || continue
    rm "$input" && status=0
  done
  LLVM_PROFILE_FILE=$output/logs/$name.profraw "$programs/fuzz_$name" "${limits[@]}" -runs=0 \
    "$found" "tests/fuzz/corpus/$name" >"$log.coverage" 2>&1 || status=$?
  llvm-profdata merge -o "$output/logs/$name.profdata" "$output/logs/$name.profraw"
  # shellcheck disable=SC2046  # several sources
  python3 tests/fuzz/report.py "$name" "$log" "$programs/fuzz_$name" "$output/logs/$name.profdata" $(facts Covers "$name")
  [ "$status" -eq 0 ] || { printf '%s: FAILED, see %s\n' "$name" "$log"; return 1; }
}

keep() {
  local name
  for name in "$@"; do
    "$programs/fuzz_$name" -merge=1 -use_counters=0 -max_len=512 "tests/fuzz/corpus/$name" "$output/found/$name" \
      >/dev/null 2>&1
  done
  du -ab --apparent-size tests/fuzz/corpus | awk -F'\t' 'system("test -f " $2) == 0 { sum += $1 }
    END { print sum " bytes of inputs are kept" }'
}

if [ "${1:-}" = keep ]; then
  shift
  LLVM_PROFILE_FILE=/dev/null keep "$@"
  exit
fi
seconds=${1:-10}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- $(sed -n '/^foreach(name/,/)$/p' tests/fuzz/CMakeLists.txt | tr -d ')' | sed 's/foreach(name//')
install_packages "${CKS_BUILD_PACKAGES[@]}" clang libclang-rt-dev llvm python3
mkdir -p "$output"
if [ -e "$build/CMakeCache.txt" ]; then
  cmake "$build" -DCKS_BUILD_FUZZERS=ON >"$output/build.log"
else
  cmake --preset fuzz -G Ninja >"$output/build.log"
fi
cmake --build "$build" --target fuzzers >>"$output/build.log" 2>&1 || { tail -40 "$output/build.log" >&2; exit 1; }
export -f fuzz facts
export programs output seconds
printf '%-14s %12s %16s %8s  %s\n' reader executions 'since a new edge' edges 'lines executed'
status=0
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-1}" -I{} bash -c "limits=(${limits[*]}); set -euo pipefail; fuzz {}" || status=1
exit $status
