#!/usr/bin/env bash
# Trains LeNet-5 on MNIST from nothing: installs what is missing (Debian), builds Release into
# build/, finds MNIST or draws digits, trains, and shows a few predictions.
# usage: scripts/demo.sh [flags of train_mnist, such as --epochs 2]
# MNIST is looked for in $CKS_DATA_DIR and ./data, then downloaded into ./data.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

has_mnist() {
  local folder spelling
  for folder in "$1" "$1/mnist" "$1/MNIST/raw"; do
    for spelling in train-images-idx3-ubyte train-images.idx3-ubyte; do
      if [ -e "$folder/$spelling" ] || [ -e "$folder/$spelling.gz" ]; then
        return 0
      fi
    done
  done
  return 1
}

# In a shell of its own, because install_packages ends the shell where there is no network.
fetcher_is_there() {
  command -v curl >/dev/null || command -v wget >/dev/null ||
    (install_packages curl ca-certificates)
}

# Sets `data` to flags of train_mnist.
find_data() {
  local folder
  for folder in ${CKS_DATA_DIR:+"$CKS_DATA_DIR"} "$PWD/data" "$root/data"; do
    if has_mnist "$folder"; then
      data=(--dataset mnist --data-dir "$folder")
      return
    fi
  done
  say "MNIST is neither in CKS_DATA_DIR nor in ./data: trying to download it"
  if fetcher_is_there && "$root/scripts/get_data.sh" mnist --dir "$root/data" && has_mnist "$root/data"; then
    data=(--dataset mnist --data-dir "$root/data")
    return
  fi
  say "NO MNIST: it could not be downloaded. TRAINING ON DRAWN DIGITS INSTEAD."
  say "The accuracy below says nothing about MNIST. To train on it, put its four files into ./data."
  data=(--dataset drawn)
}

install_packages "${CKS_BUILD_PACKAGES[@]}"
mkdir -p "$root/build"
say "building (build/), minutes the first time"
# One program of a build that holds all of them, so that it can be gone on with.
build_targets=train_mnist
build_quietly "$root/build/demo.log" "$root/build" -DCMAKE_BUILD_TYPE=Release -DCKS_BUILD_APPS=ON ||
  fail "the build failed; all it printed is in build/demo.log"

case " $* " in
  *" --dataset"* | *" --data-dir"* | *" --resume"* | *" --help "* | *" -h "*) data=() ;;
  *) find_data ;;
esac

say "training"
exec "$root/build/apps/train_mnist" --model lenet5 --epochs 5 --lr 3e-3 --lr-scheduler onecycle \
  --show-digits 5 --output-dir "$root/runs/demo-$(date +%Y%m%d-%H%M%S)" "${data[@]}" "$@"
