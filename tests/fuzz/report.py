"""One line about a run of a fuzzer, for scripts/fuzz.sh.

usage: report.py NAME LOG PROGRAM PROFILE SOURCE...

SOURCE is a file, or a file, a colon and a pattern of its functions: those whose lines are counted."""
import re
import subprocess
import sys

name, log, program, profile, *sources = sys.argv[1:]
last = edges = executed = 0
for line in open(log, errors="replace"):
    if match := re.match(r"#(\d+)\s.*cov: (\d+)", line):
        executed = int(match[1])
        if int(match[2]) > edges:
            last, edges = executed, int(match[2])
    elif match := re.match(r"stat::number_of_executed_units: (\d+)", line):
        executed = int(match[1])
texts = []
for source in sources:
    path, _, functions = source.partition(":")
    command = ["llvm-cov", "show", program, f"-instr-profile={profile}"]
    command += [f"-name-regex={functions}"] if functions else []  # which shows them without their file
    source_lines = open(path).read().splitlines()
    counts, shown = {}, []  # a function, or a file: (number, count, text) of its lines
    is_shown = bool(functions)

    def count_shown():
        # Other sources have functions of such names, but not with these lines.
        if all(source_lines[number - 1:number] == [text] for number, _, text in shown):
            for number, count, _ in shown:
                counts[number] = counts.get(number, False) or count not in ("", "0")
        shown.clear()

    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if match := re.match(r" +(\d+)\| *([\d.kMGTE]*)\|(.*)", line):
            if is_shown and match[2]:
                shown.append((int(match[1]), match[2], match[3]))
        elif line.endswith(":") and not line.startswith(" "):  # else an instance of a template
            count_shown()
            is_shown = line.endswith(f"/{path}:") or (bool(functions) and not line.startswith("/"))
    count_shown()
    missed = " ".join(str(number) for number, is_executed in counts.items() if not is_executed)
    texts.append(f"{path} {sum(counts.values())}/{len(counts)}" + (f" (not {missed})" if missed else ""))
print(f"{name:14} {executed:12,} {executed - last:16,} {edges:8,}  {'; '.join(texts)}", flush=True)
