#!/usr/bin/env bash
# Shows that the packages of scripts/packages.sh, which it makes if there are none, work in a bare Debian 12:
#   1. cks installs alone, trains without a network, completes its flags, and purged leaves no file behind
#   2. libcks-dev serves an outside project through find_package and through pkg-config; purged, no file is left
#   3. the archive serves both from a folder with a blank in its name
#   4. the two share no file, and lintian finds nothing wrong
# MNIST in CKS_DATA_DIR is trained on if there is any, drawn digits otherwise. Needs root; without, or without a
# mirror of Debian, exit code 77: skipped.
# usage: scripts/debian_check.sh [PACKAGES_DIR]      build/packages/packages by default
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
. "$root/scripts/bare_system.sh"
prepare_bare_systems debian_check.sh
packages=${1:-$root/build/packages/packages}
compgen -G "$packages/*.deb" >/dev/null || "$root/scripts/packages.sh"
ls -l "$packages"

say "lintian"
install_packages lintian
# The tag does not fit what is no part of Debian: no bug asked for the package.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$packages"/*.deb
files_of() { dpkg-deb -c "$packages"/"$1"_*.deb | awk '{ print $6 }' | grep -v '/$' | sort; }
shared=$(comm -12 <(files_of cks) <(files_of libcks-dev))
[ -z "$shared" ] || fail "both packages have $shared"
echo "shown: $(files_of cks | wc -l) and $(files_of libcks-dev | wc -l) files, none of them in both packages"

new_system debian
cp "$packages"/*.deb "$packages"/*.tar.gz "$scratch/debian/root/"
# files NAME: what lies in the system, but for what apt, dpkg and the linker note of their own work.
files() {
  (cd "$scratch/debian" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./root -o -path ./data -o -path ./var/lib/apt \
    -o -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log -o -path ./tmp \) -prune -o -print | sort) >"$scratch/$1"
}
# purge PACKAGE: with what was installed for it alone.
purge() {
  chroot "$scratch/debian" apt-get purge -y -qq --autoremove "$1" >"$scratch/apt.log" 2>&1 ||
    { cat "$scratch/apt.log" >&2; fail "apt-get could not purge $1"; }
  files after
  diff "$scratch/before" "$scratch/after" >&2 || fail "purged, $1 leaves files behind, or took others along"
  echo "shown: purged, $1 leaves nothing"
}
# trains NAME PROGRAM: a run without a network must learn.
trains() {
  local flags="--dataset drawn --limit-train 2000 --limit-test 500 --epochs 2"
  [ ! -e "$scratch/debian/data" ] || flags="--data-dir /data --limit-train 6000 --limit-test 1000 --epochs 2"
  unshare -n chroot "$scratch/debian" env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 bash -c "cd /root &&
    $2 $flags --batch-size 20 --device cpu --log-interval 0 --output-dir '/root/$1'"
  expect "$1: test accuracy" "$(figure "$scratch/debian/root/$1/summary.json" test_accuracy)" ">=" 0.9
}
[ ! -d "${CKS_DATA_DIR:-}" ] || mount_data debian "$CKS_DATA_DIR"

say "cks"
files before
install_inside debian "/root/$(basename "$packages"/cks_*.deb)"
trains cks cks-train_mnist
for program in $(files_of cks | sed -n 's|^\./usr/bin/||p'); do
  run_inside debian "$program --version && gzip -dc /usr/share/man/man1/$program.1.gz | grep -q '^.TH' &&
    . /usr/share/bash-completion/completions/$program && complete -p $program >/dev/null"
done
run_inside debian "cks-predict --weights cks/best.safetensors cks/nothing.png 2>&1 | grep -q nothing.png"
purge cks

say "libcks-dev"
install_inside debian g++ cmake make pkgconf
files before
install_inside debian "/root/$(basename "$packages"/libcks-dev_*.deb)"
outside_project "$scratch/debian/root/outside"
# builds NAME PREFIX: the outside project with what lies in PREFIX, or in the system.
builds() {
  run_inside debian "cmake -S outside -B '$1' -DCMAKE_BUILD_TYPE=Release ${2:+-DCMAKE_PREFIX_PATH='$2'} >/dev/null &&
    cmake --build '$1' >/dev/null && '$1/custom_model' && '$1/readme' | tee '$1/readme.txt'"
  expect "$1: test accuracy of the README's program" \
    "$(awk '/^test accuracy/ { print $3 }' "$scratch/debian/root/$1/readme.txt")" ">" 50
  run_inside debian "${2:+PKG_CONFIG_PATH='$2/lib/pkgconfig'} eval \"c++ -std=c++20 outside/readme.cpp -o '$1/pkg_config' \
    \$(${2:+PKG_CONFIG_PATH='$2/lib/pkgconfig'} pkg-config --cflags --libs cks)\" && cmp <('$1/pkg_config') '$1/readme.txt'"
  echo "shown: $1: with pkg-config the same program prints the same"
}
builds packaged
purge libcks-dev

say "the archive"
install_inside debian zlib1g-dev
run_inside debian "mkdir 'of one' && tar -C 'of one' -xf /root/cks-*.tar.gz"
folder=$(basename "$(ls -d "$scratch/debian/root/of one"/*)")
builds unpacked "/root/of one/$folder"
trains "run of the archive" "'/root/of one/$folder/bin/cks-train_mnist'"
say "debian_check: all shown"
