#!/usr/bin/env bash
# Times CKS, cuDNN and PyTorch side by side on the GPU of this machine, in one run, and prints the
# ratios. Builds CKS first (build/gpu). Needs the CUDA toolkit and a PyTorch with CUDA.
# usage: scripts/measure/compare_gpu.sh [options of scripts/measure/compare_gpu.py, see --help]
#   scripts/measure/compare_gpu.sh --shapes anchors --networks lenet5,resnet20
#   scripts/measure/compare_gpu.sh --shapes vgg_2x2x512,r18_4x4x512 --passes backward_data
# Environment: CKS_BUILD_DIR names a build that is ready; PYTHON the interpreter that has PyTorch;
# CUDNN_ROOT where cuDNN lies, otherwise PyTorch's own is taken.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
. scripts/lib.sh
python=${PYTHON:-python3}
"$python" -c 'import torch' 2>/dev/null || fail "$python has no PyTorch; name another one in PYTHON"

# The folder of the cuDNN that PyTorch brings along, if it does.
cudnn_of_torch() {
  "$python" -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])' 2>/dev/null || true
}

build=${CKS_BUILD_DIR:-}
if [ -z "$build" ]; then
  build=$root/build/gpu
  export CUDNN_ROOT=${CUDNN_ROOT:-$(cudnn_of_torch)}
  say "building (build/gpu)"
  cmake -S "$root" -B "$build" -G Ninja -DCKS_ENABLE_CUDA=ON \
    -DCMAKE_CUDA_ARCHITECTURES="${CKS_CUDA_ARCHITECTURES:-native}" \
    ${CKS_DEPS_DIR:+-DCKS_DEPS_DIR="$CKS_DEPS_DIR"} >/dev/null
  cmake --build "$build" --target bench_conv bench_step >&2
fi
exec "$python" scripts/measure/compare_gpu.py "$build" "$@"
