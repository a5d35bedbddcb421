#!/usr/bin/env bash
# Builds the book, docs/book, into build/book/index.html: pages that need no network, neither to be read
# nor for their mathematics, and bring the library for browsers along. Takes Debian's Sphinx, MyST, furo
# and katex, installing what is missing.
# usage: scripts/docs.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

install_packages python3-sphinx python3-myst-parser furo katex fonts-katex libjs-katex
"$root/scripts/web.sh"
say "writing (build/book)"
CKS_WEB=$root/build/web/apps/web /usr/bin/python3 -m sphinx -W --keep-going -q -b html -d "$root/build/book.trees" \
  "$root/docs/book" "$root/build/book"
say "the book: $root/build/book/index.html ($(du -sh "$root/build/book" | cut -f1))"
