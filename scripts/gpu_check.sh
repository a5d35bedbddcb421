#!/usr/bin/env bash
# One call for a GPU machine (CUDA toolkit, compiler, CMake, ninja; CKS_DEPS_DIR made by
# scripts/deps.sh where there is no network). Ends with one line: N passed, N failed.
# usage: scripts/gpu_check.sh [PART...] [--against FILE]
#                                         default: all but ptx, which compiles the kernels once more, and gpus
#   build        build/gpu
#   tests        every test
#   ptx          the kernels' tests once more, from PTX for compute 7.5 alone
#   sanitizers   compute-sanitizer's four tools, side by side, on the kernels in small
#   lenet        LeNet-5 must learn digits (MNIST if CKS_DATA_DIR is set), and report its convolutions
#   startup      time to the first steps, against an empty program
#   gpus         several GPUs: the tests, and how an epoch scales; needs NCCL (NCCL_ROOT says where)
#   bench        convolutions and training steps; fails where a convolution is more than 5 % slower,
#                beside cuDNN, than in FILE, which an earlier run left in build/gpu_check/bench_conv.json
# CKS_CUDA_ARCHITECTURES (default native) says what to compile for; logs lie in build/gpu_check.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/lib.sh
all_parts="build tests ptx sanitizers lenet startup gpus bench"
against='' named=''
while [ $# -gt 0 ]; do
  if [ "$1" = --against ]; then
    [ -r "${2:-}" ] || fail "--against: cannot read '${2:-}'"
    against=$(realpath "$2")
    shift
  else
    named+=" $1"
  fi
  shift
done
parts=${named:-build tests sanitizers lenet startup bench}
for part in $parts; do
  [[ " $all_parts " == *" $part "* ]] || fail "no part $part; there are $all_parts"
done
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

# build_cuda DIR ARCHITECTURES [cmake options]
build_cuda() {
  build_in "$1" -DCKS_ENABLE_CUDA=ON -DCKS_WERROR=ON -DCMAKE_CUDA_ARCHITECTURES="$2" \
    ${CKS_DEPS_DIR:+-DCKS_DEPS_DIR="$CKS_DEPS_DIR"} "${@:3}"
}

ptx() {
  local build_targets=kernels_cuda_tests
  build_cuda "$root/build/gpu_ptx" 75-virtual && "$root/build/gpu_ptx/tests/kernels_cuda_tests"
}

# The small named set: tests that launch every kind of kernel on little data. What a tool cannot
# judge is left out: initcheck the tests that look at gaps nobody writes, racecheck, by far the
# slowest, the kernels without shared memory.
with_shared_memory='small:*,batch_norm: a*,batch_norm: both*,softmax: *,softmax and cross_entropy eq*'
with_shared_memory+=',global_avg_pool2d*,reduce: NaN*,reduce: an address*,sum_of_squares*,clip_factor*'
without_gaps='gemm: N*,small: conv2d*,batch_norm: *,softmax*,cross_entropy*,dropout: element*'
without_gaps+=',max_pool2d: *,avg_pool2d*,global_avg_pool2d*,reduce: NaN*,sum_of_squares*,sgd_step*'
without_gaps+=',adam_step*,clip_factor*,count_up*,unary: gradients*,binary: NaN*,accumulate*,fill*'
without_gaps+=',image batch: the*,step results: *'
small="small:*,$without_gaps,strided_copy: *,convert: *"

# sanitize TOOL SHARD TEST: one of them in a process of its own; without poison under initcheck, which
# would see nothing behind it. (A ? stands for what a filter takes for the end of a name.)
sanitize() {
  local poison=1 log=$logs/sanitizers/$1-${2%/*}-${3//[^a-zA-Z0-9]/_}.log
  [ "$1" = initcheck ] && poison=0
  CKS_TEST_POISON=$poison CKS_TEST_SHARD=$2 timeout 900 compute-sanitizer --tool "$1" --error-exitcode 9 \
    "$build/tests/kernels_cuda_tests" -tc="${3//,/?}" >"$log" 2>&1 &&
    grep -Eq 'test cases: +[1-9]' "$log" && return  # a run that matched no test has shown nothing
  printf '%s %s %s\n' "$1" "$2" "$3" && tail -20 "$log"
  return 1
}
# sanitizer_jobs TOOL TESTS: rank, tool, shard and test of each; what takes long first, and in parts.
sanitizer_jobs() {
  "$build/tests/kernels_cuda_tests" -ltc -tc="$2" | grep -v -e '^\[doctest\]' -e '^===' |
    awk -v tool="$1" -v OFS='\t' '{ parts = /^small: conv2d/ ? 8 : 1
      for (i = 0; i < parts; ++i) print (parts == 1) + 2 * (tool != "racecheck"), tool, i "/" parts, $0 }'
}
sanitizers() {
  export -f sanitize
  export build logs
  rm -rf "$logs/sanitizers" && mkdir -p "$logs/sanitizers"
  { sanitizer_jobs racecheck "$with_shared_memory" && sanitizer_jobs memcheck "$small" &&
    sanitizer_jobs initcheck "$without_gaps" && sanitizer_jobs synccheck "$small"; } |
    sort -s -n -k 1,1 | cut -f 2- | tr '\t' '\n' |
    xargs -d '\n' -n 3 -P "$(nproc)" bash -c 'sanitize "$@"' sanitize
}

lenet() {
  local data=(--dataset drawn --epochs 2)
  [ -n "${CKS_DATA_DIR:-}" ] && data=(--dataset mnist --epochs 3)
  rm -rf "$logs/lenet"
  "$build/apps/train_mnist" --device cuda "${data[@]}" --no-progress --target-acc 0.98 \
    --output-dir "$logs/lenet"
}
conv_report() {
  "$build/apps/train_mnist" --device cuda --dataset drawn --limit-train 1280 --limit-test 128 \
    --dry-run --conv-report
}

gpus() {
  local build_targets="gpus_tests core_tests bench_step"
  build_cuda "$build" "${CKS_CUDA_ARCHITECTURES:-native}" -DCKS_WITH_NCCL=ON &&
    "$build/tests/core_tests" -tc="communicator*" && "$build/tests/gpus_tests"
}
# Weak scaling, then strong: each GPU has as many images as the only one, then they share as many.
scaling() {
  local count
  count=$(nvidia-smi --list-gpus | wc -l)
  for run in "512 1" "512 $count" "$((512 / count)) $count"; do
    "$build/apps/bench_step" --device cuda:0 --model resnet18_3x3stem --mode graph --epoch \
      --batch-size "${run% *}" --gpus "${run#* }" --epoch-images $((24 * ${run% *} * ${run#* })) | tail -1
  done
}

nvidia-smi --query-gpu=name,driver_version,clocks.sm --format=csv,noheader 2>/dev/null || fail "no NVIDIA GPU"
if wants build; then
  check build build_cuda "$build" "${CKS_CUDA_ARCHITECTURES:-native}"
fi
if wants tests; then
  check tests ctest --test-dir "$build" -j 4 --output-on-failure --no-tests=error
  grep -E 'Skipped|Not Run' "$logs/tests.log"
fi
if wants ptx; then
  check ptx ptx
fi
if wants sanitizers; then
  check sanitizers sanitizers
fi
if wants lenet; then
  check lenet lenet
  check conv_report conv_report
  cat "$logs/conv_report.log"
fi
if wants startup; then
  check startup scripts/measure/startup.sh "$build"
  cat "$logs/startup.log"
fi
if wants gpus; then
  [ "$(nvidia-smi --list-gpus | wc -l)" -gt 1 ] || fail "gpus: there is one GPU"
  check gpus gpus
  check scaling scaling
  cat "$logs"/{gpus,scaling}.log
fi
if wants bench; then
  check bench_conv "$build/apps/bench_conv" --device cuda --shapes anchors --seconds 0.05 \
    --modes fp32,tf32,bf16 --json "$logs/bench_conv.json"
  [ -z "$against" ] || check guard scripts/measure/bench_guard.py "$against" "$logs/bench_conv.json"
  check bench_lenet5 "$build/apps/bench_step" --device cuda --model lenet5 --mode both --epoch
  check bench_resnet20 "$build/apps/bench_step" --device cuda --model resnet20 --mode both
  cat "$logs"/bench_{conv,lenet5,resnet20}.log
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
