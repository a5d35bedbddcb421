#!/usr/bin/env bash
# Installs a finished build into a scratch prefix, builds apps/examples/custom_model.cpp and the programs of the
# README and of docs/training_runs.md against it with find_package(cks), and runs them.
# usage: scripts/package_check.sh BUILD_DIR
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
[ $# -eq 1 ] || { echo "usage: scripts/package_check.sh BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
# Away from the tree, so that a header missing from the package shows.
cp -r "$root/tests/package" "$scratch/source"
cp "$root/apps/examples/custom_model.cpp" "$scratch/source/"
program_of() { sed -n '/^```cpp$/,/^```$/{//!p}' "$1"; }
program_of "$root/README.md" >"$scratch/source/readme.cpp"
program_of "$root/docs/training_runs.md" >"$scratch/source/training_run.cpp"
cmake -S "$scratch/source" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/build" >/dev/null
"$scratch/build/custom_model"
"$scratch/build/readme" | tee "$scratch/readme.txt"
# A wrong program would come to 10 %.
awk '/^test accuracy/ { found = $3 > 50 } END { exit !found }' "$scratch/readme.txt" ||
  fail "the README's program does not learn"

cd "$scratch"  # where the run makes its folder
build/training_run 1
build/training_run 3 | tee resumed.txt
grep -q '^resumed .* after 1 epoch$' resumed.txt && grep -q '^epoch 3: ' resumed.txt &&
  ! grep -q '^epoch 1: ' resumed.txt || fail "the program of docs/training_runs.md does not resume"
