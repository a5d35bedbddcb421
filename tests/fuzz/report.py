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
    counts, is_shown = {}, bool(functions)
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith("/") and line.endswith(":"):
            is_shown = line.endswith(f"/{path}:")
        elif is_shown and (match := re.match(r" +(\d+)\| +([\d.]+)", line)):
            counts[match[1]] = counts.get(match[1], False) or match[2] != "0"
    missed = " ".join(number for number, is_executed in counts.items() if not is_executed)
    texts.append(f"{path} {sum(counts.values())}/{len(counts)}" + (f" (not {missed})" if missed else ""))
print(f"{name:14} {executed:12,} {executed - last:16,} {edges:8,}  {'; '.join(texts)}", flush=True)
