#!/usr/bin/env bash
# Installs a finished build into a scratch prefix, builds apps/examples/custom_model.cpp and the programs of the
# README and of docs/training_runs.md against it with find_package(cks), one also with pkg-config, and runs them; with
# CUDA apps/examples/custom_op as well. The prefix has a blank in it and was moved after the installation. Times how long cks/cks.h takes to compile.
# usage: scripts/package_check.sh BUILD_DIR
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
[ $# -eq 1 ] || { echo "usage: scripts/package_check.sh BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/first" >/dev/null
prefix="$scratch/the prefix"
mv "$scratch/first" "$prefix"
# Away from the tree, so that a header missing from the package shows.
outside_project "$scratch/source"
cmake -S "$scratch/source" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$scratch/build" >"$scratch/build.log" || { cat "$scratch/build.log" >&2; exit 1; }
install_packages pkgconf
if command -v pkg-config >/dev/null; then
  # eval: pkg-config escapes the blank of its folder for a shell.
  export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name cks.pc)")
  eval "${CXX:-c++} -std=c++20 -O1 $scratch/source/readme.cpp -o $scratch/build/readme_pkg_config" \
    "$(pkg-config --cflags --libs cks)"
  diff <("$scratch/build/readme") <("$scratch/build/readme_pkg_config")
fi

# compile_seconds TEXT [OPTION...]: of a source of that text, the least of three, in processor time, which other
# work on the machine hardly changes.
compile_seconds() {
  echo "$1" >"$scratch/all.cpp"
  shift
  for _ in 1 2 3; do
    TIMEFORMAT=%U
    { time "${CXX:-c++}" -std=c++20 -fsyntax-only "$@" "$scratch/all.cpp"; } 2>&1
  done | sort -n | head -1
}
# A second, where <regex> takes 0.36; more on a slower machine.
seconds=$(compile_seconds '#include "cks/cks.h"' -I"$prefix/include")
yardstick=$(compile_seconds '#include <regex>')
say "cks/cks.h compiles in $seconds s, <regex> in $yardstick s"
awk -v s="$seconds" -v y="$yardstick" 'BEGIN { exit !(s > 0 && (s <= 1.0 || s <= 2.8 * y)) }' ||
  fail "cks/cks.h takes more than a second to compile"

# All headers: what it includes is installed too, and an old name finds its new one.
(cd "$prefix/include" && find cks -name '*.h' | sort) | while IFS= read -r header; do
  echo "#include \"$header\""
done >"$scratch/each.cpp"
"${CXX:-c++}" -std=c++20 -fsyntax-only -I"$prefix/include" "$scratch/each.cpp"

if grep -q '^CKS_ENABLE_CUDA:BOOL=ON$' "$build/CMakeCache.txt"; then
  architectures=$(sed -n 's/^CMAKE_CUDA_ARCHITECTURES:[A-Z]*=//p' "$build/CMakeCache.txt")
  cmake -S "$root/apps/examples/custom_op" -B "$scratch/custom_op" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CUDA_ARCHITECTURES="${architectures:-90}" >/dev/null
  cmake --build "$scratch/custom_op" >/dev/null
  "$scratch/custom_op/custom_op"
fi
"$scratch/build/custom_model"
! "$scratch/build/custom_model" >/dev/full 2>&1 || fail "custom_model does not notice a full disk"
"$scratch/build/readme" | tee "$scratch/readme.txt"
# A wrong program would come to 10 %.
awk '/^test accuracy/ { found = $3 > 50 } END { exit !found }' "$scratch/readme.txt" ||
  fail "the README's program does not learn"

cd "$scratch"  # where the run makes its folder
build/training_run 1
build/training_run 3 | tee resumed.txt
grep -q '^resumed .* after 1 epoch$' resumed.txt && grep -q '^epoch 3: ' resumed.txt &&
  ! grep -q '^epoch 1: ' resumed.txt || fail "the program of docs/training_runs.md does not resume"
