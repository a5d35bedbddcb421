#!/usr/bin/env bash
# How long a program of CKS needs on a GPU from its start to its first training steps, against an
# empty program that only creates a CUDA context: both in turn, medians of nine runs. The program of
# CKS is bench_step: LeNet-5 with random data, and its ten steps and its end count as well, which is
# more than the first step. Fails if it takes over 0.4 s longer. Needs nvcc and a GPU.
# usage: scripts/measure/startup.sh [BUILD]       default: build/gpu, with apps/bench_step in it
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/scripts/lib.sh"
build=${1:-$root/build/gpu}
bench=$build/apps/bench_step
rounds=9
limit_us=400000
[ -x "$bench" ] || fail "$bench is not there; build it, or name another build"
command -v nvcc >/dev/null || fail "nvcc is not in the PATH"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/context.cu" <<'END'
int main() { return cudaFree(nullptr) == cudaSuccess ? 0 : 1; }
END
nvcc -o "$folder/context" "$folder/context.cu"

# microseconds COMMAND...: prints how long it ran.
microseconds() {
  local begin=${EPOCHREALTIME/./}
  "$@" >/dev/null
  echo $((${EPOCHREALTIME/./} - begin))
}
median() { sort -n "$1" | sed -n "$((rounds / 2 + 1))p"; }

step() { "$bench" --model lenet5 --batch-size 128 --device cuda --seconds 0; }
step >/dev/null && "$folder/context" # both come from the disk once
for ((round = 0; round < rounds; ++round)); do
  microseconds "$folder/context" >>"$folder/context.us"
  microseconds step >>"$folder/step.us"
done
context=$(median "$folder/context.us")
step=$(median "$folder/step.us")
printf 'empty program %d ms, LeNet-5 steps %d ms, longer by %d ms (at most %d)\n' \
  $((context / 1000)) $((step / 1000)) $(((step - context) / 1000)) $((limit_us / 1000))
[ $((step - context)) -le "$limit_us" ]
