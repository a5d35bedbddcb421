#!/usr/bin/python3
"""Fails if a public class, enumeration or function has no comment, neither of its own nor one shared with the
declarations above it. What speaks for itself: members of a documented struct, constructors, operators,
and questions without an argument such as size().
usage: check.py WARNINGS"""
import re
import sys

SILENT = [
    r"\((variable|friend|typedef)\)",
    r"Member operator",
    r"Member \w+\(\) const \(function\)",  # what a class is asked for by name
    r"Member ~?(\w+)\(.*\(function\) of (class|struct) (cks::)?(\w+::)*\1\b",  # constructors
    r"Member (Layer|WeightLayer)\(",                                           # inherited ones
    r"\(function\) of class Layer<|\(function\) of class WeightLayer<",        # once in cks::Layer itself
    r"Unsupported xml/html tag <(name|class)>",                                # in examples
]

undocumented = {}
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        if not any(re.search(pattern, line) for pattern in SILENT):
            where, _, what = line.strip().partition(": warning: ")
            undocumented.setdefault(where, what or line.strip())
for where, what in undocumented.items():
    print(f"{where}: {what}")
print(f"{len(undocumented)} public symbols without a comment")
sys.exit(1 if undocumented else 0)
