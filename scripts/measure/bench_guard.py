#!/usr/bin/env python3
"""Whether convolutions kept their speed: compares two files of `bench_conv --json FILE`, made with cuDNN.

A line's ratio is cuDNN's time / CKS's, both of one run; fails, with the lines, where one is more than
5 % lower in NEW than in OLD, or where NEW lacks one. Machines of one kind can be compared, and versions.

usage: bench_guard.py OLD NEW
"""
import json
import sys

LEAST = 0.95


def ratios(path):
    """(name, pass, mode) -> the ratio of the fastest plan."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                key = (row["name"], row["pass"], row["mode"])
                if "cudnn_us" in row:
                    ratio = row["cudnn_us"] / row["median_us"]
                    found[key] = max(ratio, found.get(key, 0.0))
            except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
                sys.exit(f"error: {path}:{number}: no line of bench_conv --json: {error!r}")
    if not found:
        sys.exit(f"error: {path}: no line has a time of cuDNN's")
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    old, new = ratios(sys.argv[1]), ratios(sys.argv[2])
    slower = 0
    for key, before in old.items():
        after = new.get(key, 0.0)
        if after < LEAST * before:
            slower += 1
            print(f"{' '.join(key):44} {before:6.2f} -> {after:6.2f}" + ("" if after else "  missing"))
    print(f"{len(old)} lines, {slower} slower")
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
