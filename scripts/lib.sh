# Shared by the scripts of this folder; sourced, never run. Bash.

say() { printf '\n== %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Debian packages that a build needs, all from the distribution's own archive.
CKS_BUILD_PACKAGES=(g++ cmake ninja-build libeigen3-dev libspdlog-dev libfmt-dev nlohmann-json3-dev
                    libcli11-dev doctest-dev zlib1g-dev libstb-dev)

# install_packages NAME...: installs those that are missing, through sudo unless root. Asks nothing.
install_packages() {
  command -v dpkg-query >/dev/null || return 0  # not Debian: CMake finds or fetches what it needs
  local name missing=()
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
      missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      fail "these packages are missing and need root to install: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  # A slow mirror is retried; a machine without a network fails here with apt's own words.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 \
      install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install ${missing[*]}"
}

# kernels_tests COMMAND...: what scripts/test.sh runs, on a fiftieth of the listed convolutions (`every`), without
# what takes minutes there (by definition, all passes of all problems) or asks for processes of its own,
# which under an emulator are the emulator's.
kernels_tests() {
  env CKS_TEST_EVERY="${every:-50}" "$@" \
    -tce='*every epilogue*,*are adjoint*,*boxes: every listed*,*scatters*,*forked after*,where the system*,a process ends*'
}

# outside_project DIR: makes a project of somebody else, who knows CKS only as an installed package: tests/package
# with apps/examples/custom_model.cpp and the programs that the README and docs/training_runs.md show.
outside_project() {
  cp -r "$root/tests/package" "$1"
  cp "$root/apps/examples/custom_model.cpp" "$1/"
  sed -n '/^```cpp$/,/^```$/{//!p}' "$root/README.md" >"$1/readme.cpp"
  sed -n '/^```cpp$/,/^```$/{//!p}' "$root/docs/training_runs.md" >"$1/training_run.cpp"
}

# build_in DIR [cmake options]: configures and builds build_targets, or all if that is not set; keeps
# an earlier build's objects, and the generator it was configured for.
build_in() {
  local dir=$1 generator=(-G Ninja)
  shift
  mkdir -p "$dir"
  [ ! -e "$dir/CMakeCache.txt" ] || generator=()
  cmake -S "$root" -B "$dir" "${generator[@]}" "$@" >"$dir/configure.log" 2>&1 ||
    { cat "$dir/configure.log" >&2; echo "error: configuration failed" >&2; return 1; }
  cmake --build "$dir" -j "$(nproc)" ${build_targets:+--target $build_targets}
}

# build_quietly LOG DIR [cmake options]: build_in, of which stderr shows how far it has come, and the
# end of its output, which is in LOG, if it fails.
build_quietly() {
  local log=$1
  shift
  if build_in "$@" 2>&1 | tee "$log" | show_percent; then
    return 0
  fi
  tail -n 40 "$log" >&2
  return 1
}

# Reads a build's output; Ninja begins a line with [7/150], make with [ 4%].
show_percent() {
  local line percent last=0
  while IFS= read -r line; do
    [[ $line =~ ^\[\ *([0-9]+)(/([0-9]+)|%)\] ]] || continue
    percent=$((${BASH_REMATCH[3]:+100 *} BASH_REMATCH[1] ${BASH_REMATCH[3]:+/ BASH_REMATCH[3]}))
    if [ -t 2 ]; then
      printf '\r   %3d %%' "$percent" >&2
    elif [ $((percent / 25)) -gt $((last / 25)) ]; then
      echo "   $percent %" >&2
    fi
    last=$percent
  done
  [ ! -t 2 ] || echo >&2
}
