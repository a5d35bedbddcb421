#!/usr/bin/env bash
# Makes the packages: two of Debian's, cks (programs) and libcks-dev (library), and an archive of both for other
# systems. They run on every x86-64 from x86-64-v2 on. Prints their sizes, which must be 25 MB at most.
# usage: scripts/packages.sh [BUILD_DIR]      build/packages by default; a Release build for every processor is made
# there or, if there is one, used. The packages lie in BUILD_DIR/packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
build=${1:-$root/build/packages}

install_packages "${CKS_BUILD_PACKAGES[@]}" dpkg-dev file
say "building ($build)"
options=(-DCKS_PACKAGED=ON)
if [ -e "$build/CMakeCache.txt" ]; then
  grep -q '^CMAKE_BUILD_TYPE:STRING=Release$' "$build/CMakeCache.txt" &&
    ! grep -qE '^(CKS_NATIVE|CKS_ENABLE_CUDA|CKS_WITH_MPI|BUILD_SHARED_LIBS)(:BOOL)?=ON$|^CKS_SANITIZE:STRING=.' \
      "$build/CMakeCache.txt" || fail "$build is no plain Release build"
else
  options+=(-DCMAKE_BUILD_TYPE=Release -DCKS_BUILD_TESTS=OFF)
fi
mkdir -p "$build"
build=$(cd "$build" && pwd)
rm -rf "$build/packages"
# pack GENERATOR [cmake options]: the layouts differ, what is compiled does not. The last one stays in BUILD_DIR.
pack() {
  local generator=$1
  shift
  build_quietly "$build/$generator.log" "$build" "${options[@]}" "$@"
  (cd "$build" && cpack -G "$generator" -B "$build/packages" >"$build/cpack.log") ||
    { tail -20 "$build/cpack.log" >&2; fail "cpack failed"; }
}
if command -v dpkg-shlibdeps >/dev/null; then
  pack DEB -DCKS_DEBIAN=ON -DCMAKE_INSTALL_PREFIX=/usr \
    -DCMAKE_INSTALL_LIBDIR="lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)"
fi
pack TGZ -DCKS_DEBIAN=OFF -DCMAKE_INSTALL_PREFIX=/usr/local -DCMAKE_INSTALL_LIBDIR=lib
rm -rf "$build/packages/_CPack_Packages"
for package in "$build"/packages/*; do
  bytes=$(stat -c %s "$package")
  printf '%6.2f MB  %s\n' "$(awk "BEGIN { print $bytes / 1e6 }")" "$package"
  [ "$bytes" -le 25000000 ] || fail "$package is larger than 25 MB"
done
