#!/usr/bin/env python3
"""Runs the commands that the book's chapters show, from the root, against this build; what is named in `build/` or
`scripts/` exists; what is included is there; and every block of C++ is part of a program that the build compiles.
usage: book_commands_test.py SOURCE_DIR BUILD_DIR"""
import pathlib
import re
import shlex
import subprocess
import sys

SOURCE, BUILD = map(pathlib.Path, sys.argv[1:])
BOOK = SOURCE / "docs/book"
# Built or judged by tests of their own.
ELSEWHERE = ("cmake ", "scripts/lesson.sh check ")
# Files that are compiled, printed or drawn by programs; pictures that are drawn when the book is built; words.
KNOWN = ("{literalinclude} ", "{include} ", "{drawing} ", "{conv-picture} ", "{lenet-picture} ", "{note}", "{raw} html", "{toctree}")


def run(command):
    words = [str(BUILD / word[6:]) if word.startswith("build/") else word for word in shlex.split(command, comments=True)]
    if "--seconds" in words:  # compare, but do not time
        words[words.index("--seconds") + 1] = "0"
    ran = subprocess.run(words, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    no_gpu = "cuda" in command and ran.returncode == 1 and re.search(r"no NVIDIA|without CUDA|no CUDA", ran.stdout)
    assert ran.returncode == 0 or no_gpu, (command, ran.returncode, ran.stdout[-2000:])


def main():
    commands = set()
    blocks = 0
    for page in sorted(BOOK.glob("*.md")):
        text = page.read_text()
        for kind, body in re.findall(r"^ *(?:```+|~~~+|:::+)(.*)\n((?:.*\n)*?) *(?:```+|~~~+|:::+)\n", text + "\n", flags=re.M):
            blocks += 1
            assert kind in ("bash", "text") or kind.startswith(KNOWN), f"{page.name}: a block of {kind} that nobody compiles"
            if kind == "bash":
                commands.update(line for line in body.splitlines() if line.strip())
            if kind == "text":  # drawings; commands are for the page test, which has the files that they name
                assert page.name == "train.md" or "build/" not in body, f"{page.name}: commands that nobody runs"
        for path in re.findall(r"^```\{(?:literalinclude|include)\} (\S+)", text, flags=re.M):
            assert (BOOK / path).is_file(), f"{page.name}: no file {path}"
        for name in re.findall(r"^```\{drawing\} (\S+)", text, flags=re.M):
            assert (BOOK / f"figures/{name}.svg").is_file() and (BOOK / f"programs/{name}.cpp").is_file(), name
        for named in re.findall(r"`((?:build|scripts)/[^`]*)`", text):
            if " " in named:
                commands.add(named)
            else:
                path = named.split("/", 1)
                found = (BUILD if path[0] == "build" else SOURCE / path[0]) / path[1]
                assert found.exists(), f"{page.name}: no {named}"
        for named in re.findall(r"`((?:core|kernels|layers|models|apps|docs|tests)/[\w/.]+)`", text):
            assert (SOURCE / named).exists(), f"{page.name}: no {named}"
    for program in BOOK.glob("programs/*.cpp"):
        assert f"{program.stem}.txt" in {file.name for file in BOOK.glob("programs/printed/*.txt")}, program
        assert (BUILD / "tests" / f"book_{program.stem}").exists(), f"{program} is not built"
    ran = sorted(command for command in commands if not command.startswith(ELSEWHERE))
    for command in ran:
        run(command)
    print(f"{blocks} blocks; {len(ran)} commands ran:", *ran, sep="\n  ")


main()
