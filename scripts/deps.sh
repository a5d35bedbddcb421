#!/usr/bin/env bash
# Gathers all dependencies (headers, and zlib's static library) for a machine without a network:
# build there with -DCKS_DEPS_DIR=DIR. Takes them from Debian's packages, installing those that are missing.
# usage: scripts/deps.sh DIR
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
[ $# -eq 1 ] || { echo "usage: scripts/deps.sh DIR" >&2; exit 2; }

install_packages libeigen3-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libcli11-dev doctest-dev \
                 zlib1g-dev libstb-dev
mkdir -p "$1"/{eigen,spdlog,json,cli11,doctest,zlib,stb}
cp -rL /usr/include/eigen3/Eigen "$1/eigen/"
cp -rL /usr/include/spdlog /usr/include/fmt "$1/spdlog/"
cp -rL /usr/include/nlohmann "$1/json/"
cp -rL /usr/include/CLI "$1/cli11/"
cp -rL /usr/include/doctest "$1/doctest/"
cp -L /usr/include/zlib.h /usr/include/zconf.h "$(dpkg -L zlib1g-dev | grep '/libz\.a$')" "$1/zlib/"
cp -L /usr/include/stb/stb_image.h /usr/include/stb/stb_image_write.h "$1/stb/"
say "headers are in $1 ($(du -sh "$1" | cut -f1)); configure with -DCKS_DEPS_DIR=$1"
