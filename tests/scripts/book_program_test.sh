#!/bin/sh
# A program of the book: it finds itself right, prints what its chapter shows, and draws the figure that the
# chapter shows, if it draws one. REDRAW=1 in the environment replaces both by what came.
# usage: book_program_test.sh build/tests/book_NAME docs/book
set -eu
name=${1##*/book_} book=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" "$scratch/figure.svg" >"$scratch/printed" || { cat "$scratch/printed"; echo "$name: finds itself wrong"; exit 1; }
if [ -n "${REDRAW:-}" ]; then
  cp "$scratch/printed" "$book/programs/printed/$name.txt"
  [ ! -e "$scratch/figure.svg" ] || cp "$scratch/figure.svg" "$book/figures/$name.svg"
fi
diff "$book/programs/printed/$name.txt" "$scratch/printed"
if [ -e "$scratch/figure.svg" ] || [ -e "$book/figures/$name.svg" ]; then
  diff "$book/figures/$name.svg" "$scratch/figure.svg"
fi
