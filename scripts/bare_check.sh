#!/usr/bin/env bash
# Proves the README's two commands on a bare Debian 12: debootstraps bookworm into a scratch folder,
# clones this repository into it, and runs there, from nothing,
#   1. scripts/demo.sh with real MNIST        last test accuracy >= 98.8 %, training < 180 s
#   2. scripts/demo.sh without data and network (unshare -n), drawn digits       >= 97 %
#   3. scripts/test.sh in a second bare system                          green in < 15 minutes
# Needs root (without: exit code 77); CKS_DATA_DIR must name a folder with MNIST.
# usage: CKS_DATA_DIR=DIR scripts/bare_check.sh [demo] [offline] [test]      default: all three
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
parts=${*:-demo offline test}
. "$root/scripts/bare_system.sh"
prepare_bare_systems bare_check.sh

# new_clone NAME: a bare bookworm with git and a clone of HEAD in /root/cks.
new_clone() {
  new_system "$1"
  install_inside "$1" git ca-certificates
  git clone -q --no-hardlinks "$root" "$scratch/$1/root/cks"
}

# inside NAME COMMAND: runs it in the clone, with a clean environment.
inside() {
  local name=$1
  shift
  run_inside "$name" "cd cks && $*"
}

if [[ " $parts " == *" demo "* ]]; then
  [ -d "${CKS_DATA_DIR:-}" ] || fail "CKS_DATA_DIR must name a folder with MNIST"
  new_clone demo
  mount_data demo "$CKS_DATA_DIR"
  inside demo CKS_DATA_DIR=/data scripts/demo.sh --output-dir /root/run
  expect "demo test accuracy" "$(figure "$scratch/demo/root/run/summary.json" test_accuracy)" ">=" 0.988
  expect "demo epochs" "$(figure "$scratch/demo/root/run/summary.json" epochs)" "<=" 5
  expect "demo training seconds" "$(figure "$scratch/demo/root/run/summary.json" seconds)" "<" 180
fi

if [[ " $parts " == *" offline "* ]]; then
  if [ ! -d "$scratch/demo" ]; then
    new_clone demo
    inside demo '. scripts/lib.sh && install_packages "${CKS_BUILD_PACKAGES[@]}"'
  fi
  umount "$scratch/demo/data" 2>/dev/null || true
  say "demo.sh without data and network"
  unshare -n chroot "$scratch/demo" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c 'cd /root/cks && scripts/demo.sh --output-dir /root/offline'
  expect "offline test accuracy" "$(figure "$scratch/demo/root/offline/summary.json" test_accuracy)" ">=" 0.97
fi

if [[ " $parts " == *" test "* ]]; then
  new_clone test
  begin=$SECONDS
  inside test scripts/test.sh
  expect "test.sh seconds from nothing" "$((SECONDS - begin))" "<" 900
fi
say "bare_check: all shown"
