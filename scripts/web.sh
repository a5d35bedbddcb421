#!/usr/bin/env bash
# Compiles the library for browsers: build/web/apps/web/cks.wasm and cks.js, which defines createCks()
# (apps/web/bindings.cpp lists what pages call). Takes Debian's Emscripten, installing it if missing;
# then checks the sizes, and in Node that a picture is computed and that LeNet-5 trains.
# usage: scripts/web.sh [jobs]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
build=$root/build/web
most_bytes=1300000 most_compressed=400000

install_packages cmake ninja-build emscripten node-acorn
export NODE_PATH=/usr/share/nodejs${NODE_PATH:+:$NODE_PATH}  # where Debian keeps node-acorn
[ -e "$build/deps" ] || { "$root/scripts/deps.sh" "$build/deps.new" && mv "$build/deps.new" "$build/deps"; }
say "compiling (build/web)"
[ -e "$build/CMakeCache.txt" ] ||
  emcmake cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCKS_DEPS_DIR="$build/deps" \
    -DCKS_BUILD_TESTS=OFF -DCKS_NATIVE=OFF >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; fail "configuration failed"; }
cmake --build "$build" -j "${1:-$(nproc)}" >"$build/build.log" 2>&1 ||
  { grep -E 'error|FAILED' "$build/build.log" | head -20 >&2; fail "the build failed; see $build/build.log"; }

pages=$build/apps/web
bytes=$(cat "$pages/cks.wasm" "$pages/cks.js" | wc -c)
compressed=$(for file in "$pages/cks.wasm" "$pages/cks.js"; do gzip -9c "$file"; done | wc -c)
say "cks.wasm and cks.js: $bytes bytes, $compressed compressed"
[ "$bytes" -le $most_bytes ] && [ "$compressed" -le $most_compressed ] ||
  fail "above $most_bytes bytes, or $most_compressed compressed"
node "$root/tests/web/bindings_test.js" "$pages/cks.js"
