#!/usr/bin/env bash
# Builds CKS without CUDA and runs every test. From a bare Debian 12: installs what is missing.
# usage: scripts/test.sh [ctest options]      the build lies in build/test
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

# curl, python3: the tests of scripts/get_data.sh run it against a local server.
install_packages "${CKS_BUILD_PACKAGES[@]}" curl ca-certificates python3
mkdir -p "$root/build"
# Several sources at a time: the whole takes half as long, which a change of one file does not.
say "building (build/test)"
build_in "$root/build/test" -DCKS_WERROR=ON -DCMAKE_UNITY_BUILD=ON
say "testing"
ctest --test-dir "$root/build/test" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
