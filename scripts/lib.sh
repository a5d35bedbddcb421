# Shared by the scripts of this folder; sourced, never run. Bash.

say() { printf '\n== %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Debian packages that a build needs, all from the distribution's own archive.
CKS_BUILD_PACKAGES=(g++ cmake ninja-build libeigen3-dev libspdlog-dev nlohmann-json3-dev
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

# build_in DIR [cmake options]: configures and builds build_targets, or all if that is not set; keeps
# an earlier build's objects.
build_in() {
  local dir=$1
  shift
  mkdir -p "$dir"
  cmake -S "$root" -B "$dir" -G Ninja "$@" >"$dir/configure.log" 2>&1 ||
    { cat "$dir/configure.log" >&2; fail "configuration failed"; }
  cmake --build "$dir" ${build_targets:+--target $build_targets}
}
