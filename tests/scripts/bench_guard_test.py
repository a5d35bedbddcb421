#!/usr/bin/env python3
"""bench_guard.py on files made here. usage: bench_guard_test.py bench_guard.py"""
import json
import os
import subprocess
import sys
import tempfile


def row(name, ours, theirs=None, mode="bf16"):
    line = {"name": name, "pass": "forward", "mode": mode, "median_us": ours}
    return line if theirs is None else {**line, "cudnn_us": theirs}


def guard(old, new):
    """Exit code and output for two lists of rows."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, rows in (("old", old), ("new", new)):
            paths.append(os.path.join(folder, name))
            with open(paths[-1], "w", encoding="utf-8") as file:
                file.writelines(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows)
        ran = subprocess.run([sys.executable, sys.argv[1], *paths], capture_output=True, text=True)
        return ran.returncode, ran.stdout + ran.stderr


def expect(wanted, text, old, new):
    code, said = guard(old, new)
    assert code == wanted and text in said, (code, said)


expect(0, "2 lines, 0 slower", [row("a", 10, 20), row("b", 10, 10)], [row("a", 5, 10), row("b", 10.5, 10)])
expect(1, "1 slower", [row("a", 10, 20)], [row("a", 11, 20)])
expect(0, "0 slower", [row("a", 10, 20)], [row("a", 11, 20), row("a", 10, 20)])  # the best plan
expect(1, "missing", [row("a", 10, 20), row("a", 10, 20, "tf32")], [row("a", 10, 20)])
expect(1, "no line has a time of cuDNN's", [row("a", 10)], [row("a", 10, 20)])
expect(1, "new:1: no line of bench_conv", [row("a", 10, 20)], ["not json\n"])
