#!/usr/bin/env bash
# Judges the course's exercises: a file of docs/book/lessons, whose gap you fill, is compiled and compared
# with the library on many problems. Says which problem fails, where, what was expected and what came.
# usage: scripts/lesson.sh check N [FILE]     N is 1 to 6; FILE is that exercise's unless given
#        scripts/lesson.sh list
# The build folder is $CKS_BUILD, else build; what is missing in it is made.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"
lessons=$root/docs/book/lessons

usage() { sed -n 's/^# usage: /usage: /p; s/^#  \( *scripts\)/  \1/p' "$0" >&2; exit 2; }

list() {
  local file
  for file in "$lessons"/[1-9]_*.cpp; do
    printf '%s  %s\n' "${file#"$root/"}" "$(sed -n '1s/^.*: //p' "$file")"
  done
}

check() {
  local file=${2:-} build=${CKS_BUILD:-$root/build}
  [ -n "$file" ] || file=$(echo "$lessons/$1"_*.cpp)
  [ -f "$file" ] || fail "no file $file"
  if [ ! -x "$build/tests/lesson_judge" ] || [ -z "${CKS_BUILD:-}" ]; then
    mkdir -p "$build"
    build_targets=lesson_judge build_in "$build" -DCMAKE_BUILD_TYPE=Release >"$build/lesson.log" 2>&1 ||
      { tail -n 20 "$build/lesson.log" >&2; fail "the judge cannot be built; see $build/lesson.log"; }
  fi
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  say "exercise $1: ${file#"$root/"}"
  "${CXX:-c++}" -std=c++20 -O1 -Wall -Wextra -D_GLIBCXX_ASSERTIONS -DLESSON="$1" -fPIC -shared \
    -I "$build/include" -I "$lessons" "$file" -o "$scratch/lesson.so" || fail "it does not compile"
  "$build/tests/lesson_judge" "$1" "$scratch/lesson.so"
}

case "${1:-} ${2:-}" in
  "list ") list ;;
  "check "[1-6]) check "$2" "${3:-}" ;;
  *) usage ;;
esac
