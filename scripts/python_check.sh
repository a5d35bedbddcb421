#!/usr/bin/env bash
# Lets ONNX Runtime, onnx.checker and TensorBoard, from PyPI, read what CKS writes for them: the tests of CTest's
# that are skipped where these packages are missing.
# usage: scripts/python_check.sh BUILD_DIR      the packages go into build/python
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
[ $# -eq 1 ] || { echo "usage: scripts/python_check.sh BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
python=$root/build/python/bin/python

install_packages python3-venv
[ -x "$python" ] || python3 -m venv "$root/build/python"
"$python" -m pip install --quiet --disable-pip-version-check -r "$root/tests/scripts/requirements.txt"
cmake --build "$build" --target onnx_exchange export predict train_autoencoder train_mnist
# Not through CTest, whose Python is the system's.
"$python" "$root/tests/scripts/onnx_test.py" "$build/tests/onnx_exchange" "$build/apps"
"$python" "$root/tests/scripts/tensorboard_test.py" "$build/apps"
