#!/usr/bin/env bash
# Builds the book, docs/book, into build/book/index.html: pages that need no network, neither to be read
# nor for their mathematics, and bring the library for browsers along; beside them the reference of all public
# headers, and fails if one of their symbols has no comment. Takes Debian's Sphinx, MyST, furo, katex and
# Doxygen, installing what is missing.
# usage: scripts/docs.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/lib.sh"

install_packages python3-sphinx python3-myst-parser furo katex fonts-katex libjs-katex doxygen
"$root/scripts/web.sh"
say "writing (build/book)"  # all of it (-E): what draws a picture is no file of its page
CKS_WEB=$root/build/web/apps/web /usr/bin/python3 -m sphinx -W --keep-going -q -E -b html -d "$root/build/book.trees" \
  "$root/docs/book" "$root/build/book"
say "writing the reference (build/book/reference)"
(cd "$root" && CKS_REFERENCE=$root/build/book doxygen docs/reference/Doxyfile >/dev/null)
/usr/bin/python3 "$root/docs/reference/check.py" "$root/build/book/reference.warnings"
say "the book: $root/build/book/index.html ($(du -sh "$root/build/book" | cut -f1))"
