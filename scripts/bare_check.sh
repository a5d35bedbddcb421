#!/usr/bin/env bash
# Proves the README's two commands on a bare Debian 12: debootstraps bookworm into a scratch folder,
# clones this repository into it, and runs there, from nothing,
#   1. scripts/demo.sh with real MNIST        last test accuracy >= 98.8 %, training < 180 s
#   2. scripts/demo.sh without data and network (unshare -n), drawn digits       >= 97 %
#   3. scripts/test.sh in a second bare system                          green in < 15 minutes
# Needs root and debootstrap; CKS_DATA_DIR must name a folder with MNIST.
# usage: CKS_DATA_DIR=DIR scripts/bare_check.sh [demo] [offline] [test]      default: all three
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
parts=${*:-demo offline test}
[ "$(id -u)" -eq 0 ] || fail "bare_check.sh needs root, for debootstrap and chroot"
install_packages debootstrap git
mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || fail "apt knows no bookworm mirror"
scratch=$(mktemp -d)

cleanup() {
  for system in "$scratch"/*/; do
    umount -R "$system"/{proc,dev,data} 2>/dev/null || true
  done
  rm -rf --one-file-system "$scratch"
}
trap cleanup EXIT

# new_system NAME: a bare bookworm with git and a clone of HEAD in /root/cks.
new_system() {
  local system=$scratch/$1
  say "bare Debian 12: $1"
  debootstrap --variant=minbase bookworm "$system" "$mirror" >"$scratch/$1.log" ||
    { tail -20 "$scratch/$1.log" >&2; fail "debootstrap failed"; }
  cp /etc/resolv.conf "$system/etc/resolv.conf"
  mount -t proc proc "$system/proc"
  mount --rbind /dev "$system/dev" && mount --make-rslave "$system/dev"
  chroot "$system" apt-get update -qq
  chroot "$system" apt-get install -y -qq --no-install-recommends git ca-certificates >/dev/null 2>&1
  git clone -q --no-hardlinks "$root" "$system/root/cks"
}

# inside NAME COMMAND: runs it in the clone, with a clean environment.
inside() {
  local system=$scratch/$1
  shift
  chroot "$system" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    bash -c "cd /root/cks && $*"
}

# figure FILE KEY: a number of a summary.json.
figure() { sed -nE "s/.*\"$2\": *([0-9.eE+-]+).*/\1/p" "$1" | head -1; }

# expect NAME VALUE RELATION BOUND
expect() {
  awk -v value="$2" -v bound="$4" "BEGIN { exit !(value != \"\" && value $3 bound) }" ||
    fail "$1 is $2, must be $3 $4"
  printf 'shown: %s %s (must be %s %s)\n' "$1" "$2" "$3" "$4"
}

if [[ " $parts " == *" demo "* ]]; then
  [ -d "${CKS_DATA_DIR:-}" ] || fail "CKS_DATA_DIR must name a folder with MNIST"
  new_system demo
  mkdir "$scratch/demo/data"
  mount --bind -o ro "$CKS_DATA_DIR" "$scratch/demo/data"
  inside demo CKS_DATA_DIR=/data scripts/demo.sh --output-dir /root/run
  expect "demo test accuracy" "$(figure "$scratch/demo/root/run/summary.json" test_accuracy)" ">=" 0.988
  expect "demo epochs" "$(figure "$scratch/demo/root/run/summary.json" epochs)" "<=" 5
  expect "demo training seconds" "$(figure "$scratch/demo/root/run/summary.json" seconds)" "<" 180
fi

if [[ " $parts " == *" offline "* ]]; then
  if [ ! -d "$scratch/demo" ]; then
    new_system demo
    inside demo '. scripts/lib.sh && install_packages "${CKS_BUILD_PACKAGES[@]}"'
  fi
  umount "$scratch/demo/data" 2>/dev/null || true
  say "demo.sh without data and network"
  unshare -n chroot "$scratch/demo" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c 'cd /root/cks && scripts/demo.sh --output-dir /root/offline'
  expect "offline test accuracy" "$(figure "$scratch/demo/root/offline/summary.json" test_accuracy)" ">=" 0.97
fi

if [[ " $parts " == *" test "* ]]; then
  new_system test
  begin=$SECONDS
  inside test scripts/test.sh
  expect "test.sh seconds from nothing" "$((SECONDS - begin))" "<" 900
fi
say "bare_check: all shown"
