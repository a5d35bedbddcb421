#!/usr/bin/env bash
# Downloads a dataset, checks it and puts it where the applications look for it.
#
#   scripts/get_data.sh mnist    [--dir DIR]    into DIR/mnist
#   scripts/get_data.sh fashion  [--dir DIR]    into DIR/fashion (then: --data-dir DIR/fashion)
#   scripts/get_data.sh cifar10  [--dir DIR]    into DIR/cifar10, one archive of 162 MB
#   scripts/get_data.sh cifar100 [--dir DIR]    into DIR/cifar100, one archive of 161 MB
#
# DIR is CKS_DATA_DIR if that is set, otherwise ./data. CKS_MIRRORS, a list of base addresses with spaces
# between them, replaces the built-in mirrors. Files that are there and whole are left alone; a
# download that was cut off goes on where it stopped. A file gets its name only once its checksum is
# right. Exit status: 0 all files are there, 1 some are not, 2 wrong arguments.
set -u -o pipefail

usage() {
  echo "usage: scripts/get_data.sh mnist|fashion|cifar10|cifar100 [--dir DIR]" >&2
  exit 2
}
fail() {
  echo "error: $*" >&2
  exit 1
}

dataset=
dir=${CKS_DATA_DIR:-data}
while [ $# -gt 0 ]; do
  case $1 in
    mnist | fashion | cifar10 | cifar100)
      [ -z "$dataset" ] || usage
      dataset=$1
      ;;
    --dir)
      [ $# -ge 2 ] && [ -n "$2" ] || usage
      dir=$2
      shift
      ;;
    --dir=?*) dir=${1#--dir=} ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
    *)
      echo "error: unknown argument '$1'" >&2
      usage
      ;;
  esac
  shift
done
[ -n "$dataset" ] || usage

# name, MD5 of the uncompressed bytes, MD5 of the .gz as published ("-": not known). One is enough.
case $dataset in
  mnist)
    mirrors="https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist"
    files="train-images-idx3-ubyte 6bbc9ace898e44ae57da46a324031adb f68b3c2dcbeaaa9fbdd348bbdeb94873
train-labels-idx1-ubyte a25bea736e30d166cdddb491f175f624 d53e105ee54ea40749a09fcbcd1e9432
t10k-images-idx3-ubyte 2646ac647ad5339dbf082846283269ea 9fb629c4189551a2d022fa330f9573f3
t10k-labels-idx1-ubyte 27ae3e4e09519cfbb04c329615203637 ec29112dd5afa0611ce80d1b7f02629c"
    ;;
  fashion)
    mirrors="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
    files="train-images-idx3-ubyte - 8d4fb7e6c68d591d4c3dfef9ec88bf0d
train-labels-idx1-ubyte 9018921c3c673c538a1fc5bad174d6f9 25c81989df183df01b3e8a0aad5dffbe
t10k-images-idx3-ubyte - bef4ecab320f06d8554ea6380940ec79
t10k-labels-idx1-ubyte 15d484375f8d13e6eb1aabb0c3f46965 bb300cfdad3c16e7a12a480ee83cd310"
    ;;
  cifar10)
    mirrors="https://www.cs.toronto.edu/~kriz"
    files="cifar-10-binary.tar - c32a1d4ab5d03f1284b67883e8d87530"
    ;;
  cifar100)
    mirrors="https://www.cs.toronto.edu/~kriz"
    files="cifar-100-binary.tar - 03b5dce01913d631647c71ecec9e9cb8"
    ;;
esac
mirrors=${CKS_MIRRORS:-$mirrors}
# Tests replace the table by that of small files they serve themselves.
if [ -n "${CKS_GET_DATA_TABLE:-}" ]; then
  files=$(cat "$CKS_GET_DATA_TABLE") || fail "cannot read CKS_GET_DATA_TABLE=$CKS_GET_DATA_TABLE"
fi

for tool in md5sum gzip; do
  command -v "$tool" >/dev/null || fail "'$tool' is not installed"
done
if command -v curl >/dev/null; then
  fetcher=curl
elif command -v wget >/dev/null; then
  fetcher=wget
else
  fail "neither curl nor wget is installed (Debian: apt-get install curl)"
fi

md5_of() { md5sum | cut -d' ' -f1; }

# is_whole FILE CONTENT_MD5 GZIP_MD5: whether FILE, plain or .gz, is the published one.
is_whole() {
  [ -f "$1" ] || return 1
  [ "$(md5_of <"$1")" = "$3" ] && return 0
  [ "$2" = - ] && return 1
  if gzip -t <"$1" 2>/dev/null; then
    [ "$(gzip -dc <"$1" | md5_of)" = "$2" ]
  else
    [ "$(md5_of <"$1")" = "$2" ]
  fi
}

# fetch URL FILE: goes on with FILE if it exists. Prints the reason where it fails.
fetch() {
  if [ $fetcher = curl ]; then
    curl --fail --location --silent --show-error --connect-timeout 15 --speed-limit 1000 \
      --speed-time 30 --retry 2 --retry-delay 1 --continue-at - --output "$2" "$1" 2>&1
  else
    wget --no-verbose --timeout=30 --tries=3 --waitretry=1 --continue --output-document="$2" "$1" \
      2>&1
  fi
}

# download NAME CONTENT_MD5 GZIP_MD5: tries each mirror, and once more from nothing where a part cannot
# be gone on with.
download() {
  local part="$target/$1.gz.part" mirror url reason resumed
  for mirror in $mirrors; do
    url="${mirror%/}/$1.gz"
    while true; do
      resumed=
      [ -s "$part" ] && resumed=yes
      echo "  from $url${resumed:+ (going on after $(wc -c <"$part" | tr -d ' ') bytes)}"
      if reason=$(fetch "$url" "$part"); then
        if is_whole "$part" "$2" "$3"; then
          mv -f "$part" "$target/$1.gz" || fail "cannot rename $part to $target/$1.gz"
          return 0
        fi
        reason="checksum is wrong: MD5 $(md5_of <"$part"), published is $3"
        rm -f "$part"
      else
        reason=$(echo "$reason" | tail -n 1)
        case $reason in
          *416* | *"byte ranges"* | *"Refusing to truncate"*) rm -f "$part" ;;
          *) resumed= ;;
        esac
      fi
      echo "    failed: $reason"
      [ -n "$resumed" ] || break
    done
  done
  return 1
}

# present NAME CONTENT_MD5 GZIP_MD5: whether the file is there under one of its names.
present() {
  local name
  for name in "$1.gz" "$1" "${1/-idx/.idx}.gz" "${1/-idx/.idx}"; do
    if [ -e "$target/$name" ]; then
      is_whole "$target/$name" "$2" "$3" && return 0
      fail "$target/$name exists but is not the published file; move it away and run this again"
    fi
  done
  return 1
}

target=$dir/$dataset
mkdir -p "$target" 2>/dev/null && [ -w "$target" ] || fail "cannot write to folder $target"
target=$(cd "$target" && pwd)

missing=
while read -r name content_md5 gzip_md5; do
  if present "$name" "$content_md5" "$gzip_md5"; then
    echo "$name: already there, checksum right"
    continue
  fi
  echo "$name:"
  part="$target/$name.gz.part"
  if is_whole "$part" "$content_md5" "$gzip_md5"; then
    mv -f "$part" "$target/$name.gz" || fail "cannot rename $part"
  fi
  if [ -e "$target/$name.gz" ] || download "$name" "$content_md5" "$gzip_md5"; then
    echo "  checksum right"
  else
    missing="$missing $name.gz"
  fi
done <<<"$files"

if [ -n "$missing" ]; then
  echo "error: $dataset could not be downloaded; missing:$missing" >&2
  echo "  tried  $mirrors" >&2
  echo "  fix    check the network, or set CKS_MIRRORS to addresses, with spaces between, that have them," >&2
  echo "         or put the files into $target by hand" >&2
  exit 1
fi
echo "$dataset is complete in $target"
