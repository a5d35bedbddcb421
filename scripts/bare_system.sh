# Bare Debian 12 systems in a scratch folder, for scripts that show what CKS needs of one; sourced after
# lib.sh, never run. Bash. Leaves nothing behind.

# prepare_bare_systems SCRIPT: sets mirror and scratch. Exits with 77, which counts as skipped, where there can be
# no such system.
prepare_bare_systems() {
  [ "$(id -u)" -eq 0 ] || { echo "skipped: $1 needs root, for debootstrap and chroot" >&2; exit 77; }
  command -v apt-get >/dev/null || { echo "skipped: $1 needs Debian's apt-get" >&2; exit 77; }
  install_packages debootstrap
  mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
  [ -n "$mirror" ] || { echo "skipped: apt knows no bookworm mirror" >&2; exit 77; }
  scratch=$(mktemp -d)
  trap remove_bare_systems EXIT
}

remove_bare_systems() {
  for system in "$scratch"/*/; do
    umount -R "$system"/{proc,dev,data} 2>/dev/null || true
  done
  rm -rf --one-file-system "$scratch"
}

# new_system NAME: a bare bookworm, whose apt knows what there is.
new_system() {
  local system=$scratch/$1
  say "bare Debian 12: $1"
  debootstrap --variant=minbase bookworm "$system" "$mirror" >"$scratch/$1.log" ||
    { tail -20 "$scratch/$1.log" >&2; fail "debootstrap failed"; }
  cp /etc/resolv.conf "$system/etc/resolv.conf"
  mount -t proc proc "$system/proc"
  mount --rbind /dev "$system/dev" && mount --make-rslave "$system/dev"
  chroot "$system" apt-get update -qq
}

# install_inside NAME PACKAGE...: packages or, with a slash, files of them.
install_inside() {
  local system=$scratch/$1
  shift
  chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >"$scratch/apt.log" 2>&1 || { tail -20 "$scratch/apt.log" >&2; fail "apt-get could not install $*"; }
}

# mount_data NAME FOLDER: to be read as /data there.
mount_data() {
  mkdir -p "$scratch/$1/data"
  mount --bind -o ro "$2" "$scratch/$1/data"
}

# run_inside NAME COMMAND: a line of bash in /root, with a clean environment.
run_inside() {
  local system=$scratch/$1
  shift
  chroot "$system" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 bash -c "cd /root && $*"
}

# figure FILE KEY: a number of a summary.json.
figure() { sed -nE "s/.*\"$2\": *([0-9.eE+-]+).*/\1/p" "$1" | head -1; }

# expect NAME VALUE RELATION BOUND
expect() {
  awk -v value="$2" -v bound="$4" "BEGIN { exit !(value != \"\" && value $3 bound) }" ||
    fail "$1 is $2, must be $3 $4"
  printf 'shown: %s %s (must be %s %s)\n' "$1" "$2" "$3" "$4"
}
