#!/usr/bin/env python3
"""Changes the sources of a room in one place at a time, and counts which changes its tests notice.

usage: scripts/mutate.py [--room conv2d|autograd|optim|io ...] [--count 20] [--seed 1] [--jobs 1] [--survivors]
                         [--log FILE]

A mutant has one change: an operator (+ and -, < and <=, && and ||, ...), a bound (+ 1), a constant, or a
statement that is left out. The tests of its room are built and run, then what else runs through the room, until
something notices it; in a copy of the working tree in build/mutants, one a job: never in the tree itself. A line of
the log (build/mutants.jsonl) is a mutant:

  caught by the compiler, a test, a time-out (three times the tests' own time, and 20 s); survived; or the same
  program, byte for byte, as without it (it stands where this build compiles nothing): that one is not counted.

With the same seed the same mutants follow each other; those that the log has are not tried again, so that a
run goes on where it was stopped; survivors are with --survivors, after tests were added. Prints the
survivors, each a test that is missing, or a change that changes nothing, and the share caught. With ccache
the copy takes the objects of a build in build/cpu with
-DCMAKE_BUILD_TYPE=Release -DCKS_NATIVE=ON -DCKS_WERROR=ON."""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Sources; and the tests, each a target and which of its cases, without those of it that stand before.
Room = collections.namedtuple("Room", "sources tests")
ROOMS = {
    "conv2d": Room(["kernels/conv2d/*.cpp", "kernels/conv2d/*.h", "kernels/conv2d/cpu/*"],
                   [("kernels_tests", "*conv2d*"), ("kernels_tests", "*"), ("core_tests", "*")]),
    "autograd": Room(["core/autograd/*.cpp"],
                     [("core_tests", "*autograd*,*engine*,*backward*,*grad*,*contract*,*tape*,*hook*"),
                      ("core_tests", "*"), ("layers_tests", "*")]),
    "optim": Room(["core/optim/*.cpp"],
                  [("core_tests", "*optim*,*adam*,*sgd*,*muon*,*newton*,*schedule*,*clip*,*average*,*lr*"),
                   ("core_tests", "*")]),
    "io": Room(["core/io/*.cpp", "core/io/*.h"],
               [("core_tests", "*safetensors*,*file*,*utf8*,*UTF-8*,*Proto*"), ("core_tests", "*"),
                ("faults_tests", "*file*")]),
}

SWAPS = {" + ": [" - "], " - ": [" + "], " * ": [" + "], " / ": [" * "], " % ": [" / "], " < ": [" <= ", " > "],
         " <= ": [" < "], " > ": [" >= ", " < "], " >= ": [" > "], " == ": [" != "], " != ": [" == "],
         " && ": [" || "], " || ": [" && "], " += ": [" -= "], " -= ": [" += "], "++": ["--"], "!": [""],
         " true": [" false"], " false": [" true"], "begin()": ["end()"]}
DIGITS = re.compile(r"(?<![\w.\"])(\d+)(?![\w.\"])")
STATEMENT = re.compile(r"^\s+[^\s/#}{].*[^,{(]\);$|^\s+[\w.\[\]>()*-]+ (?:[-+*|&]?=) .*;$|^\s+(?:\+\+|--)\w+;$")


def mutants_of(path):
    """Every change of a file, as (line number, new line)."""
    found, in_text = [], False
    for number, line in enumerate(path.read_text().splitlines()):
        in_text = in_text ^ (line.count('R"') == 1 or (in_text and ')"' in line))
        code = line.split("//")[0]
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: "\0" * len(match[0]), code)  # no texts
        if in_text or not bare.strip() or bare.lstrip().startswith(("#", "using", "template", "static_assert")):
            continue
        for old, news in SWAPS.items():
            for match in re.finditer(re.escape(old), bare):
                if old == "!" and bare[match.end():match.end() + 1] == "=":
                    continue
                found += [(number, line[:match.start()] + new + line[match.end():]) for new in news]
        for match in DIGITS.finditer(bare):
            found.append((number, line[:match.start()] + str(int(match[1]) + 1) + line[match.end():]))
        if STATEMENT.match(bare) and not re.match(r"\s*(return|throw|const|auto|static|break)", bare):
            found.append((number, re.match(r"\s*", line)[0] + ";"))
    return found


def run(command, limit, **options):
    """Exit code, None if it took longer; its children end with it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                               **options)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


class Copy:
    """The working tree's copy and its build, which use the given processors."""

    def __init__(self, folder, processors):
        self.source, self.build = folder, folder / "build" / "cpu"  # at the same place relative to the sources
        self.processors = processors
        self.programs = {}  # the digest of each room's first program, as the sources are
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        names = {name for name in listed.split("\n") if name and (ROOT / name).is_file()}
        for path in folder.rglob("*") if folder.exists() else ():
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] != "build" and str(name) not in names:
                path.unlink()
        for name in names:  # with the time of now: what an object was made of may be older, or a mutant
            target = self.source / name
            if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        command = ["cmake", "-S", self.source, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                   "-DCKS_NATIVE=ON", "-DCKS_WERROR=ON"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    def make(self, *targets):
        return self.run(["cmake", "--build", self.build, "-j", str(len(self.processors)), "--target", *targets])

    def test(self, room, number, limit=None):
        target, cases = room.tests[number]
        before = [earlier for other, earlier in room.tests[:number] if other == target]
        return self.run([self.build / "tests" / target, f"-tc={cases}", "--abort-after=1",
                         *(["-tce=" + ",".join(before)] if before else [])], limit)

    def run(self, command, limit=None):
        return run(["taskset", "-c", ",".join(map(str, self.processors))] + command, limit, cwd=self.build)

    def digest(self, room):
        return hashlib.sha256((self.build / "tests" / room.tests[0][0]).read_bytes()).digest()

    def own_times(self, room):
        """Seconds that each of the room's tests takes on the sources as they are."""
        times = []
        for number, (target, cases) in enumerate(room.tests):
            if self.make(target) != 0:
                sys.exit(f"error: {target} cannot be built as it is")
            begin = time.monotonic()
            if self.test(room, number) != 0:
                sys.exit(f"error: {target} -tc={cases} fails as it is")
            times.append(time.monotonic() - begin)
        return times

    def verdict(self, mutant, own_times):
        """What the tests say of the mutant, and the line that it changed."""
        name, file, number, line = mutant
        room, path = ROOMS[name], self.source / file
        if name not in self.programs:
            self.make(room.tests[0][0])
            self.programs[name] = self.digest(room)
        before = path.read_text()
        lines = before.splitlines()
        old, lines[number] = lines[number], line
        try:
            path.write_text("\n".join(lines) + "\n")
            return self.verdict_as_it_is(name, room, own_times), old
        finally:
            path.write_text(before)

    def verdict_as_it_is(self, name, room, own_times):
        for number, (target, _) in enumerate(room.tests):
            if self.make(target) != 0:
                return "caught by the compiler"
            if number == 0 and self.digest(room) == self.programs[name]:
                return "the same program"
            status = self.test(room, number, 3 * own_times[number] + 20)
            if status != 0:
                return "caught by a time-out" if status is None else "caught by a test"
        return "survived"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in a copy of its own")
    parser.add_argument("--survivors", action="store_true", help="try those that the log has as survivors again")
    parser.add_argument("--log", type=pathlib.Path, default=ROOT / "build" / "mutants.jsonl")
    options = parser.parse_args()
    chosen = []
    for name in options.room:
        paths = sorted({path for pattern in ROOMS[name].sources for path in ROOT.glob(pattern) if path.suffix in (".cpp", ".h")})
        every = [(name, str(path.relative_to(ROOT)), number, line) for path in paths for number, line in mutants_of(path)]
        random.Random(f"{options.seed} {name}").shuffle(every)
        chosen.append(every)
    # One of each room in turn.
    order = [every[i] for i in range(max(map(len, chosen))) for every in chosen if i < len(every)][:options.count]
    done = {}
    if options.log.exists():
        for text in options.log.read_text().splitlines():
            entry = json.loads(text)
            mutant = (entry["room"], entry["file"], entry["line"] - 1, entry["new"])
            done.pop(mutant, None)  # the last word counts
            if entry["verdict"] != "survived" or not options.survivors:
                done[mutant] = entry
    print(f"{', '.join(f'{len(e)} of {r}' for r, e in zip(options.room, chosen))}: {len(order)} are tried, "
          f"{sum(mutant in done for mutant in order)} of them in {options.log} already")
    options.log.parent.mkdir(parents=True, exist_ok=True)
    waiting, lock = queue.SimpleQueue(), threading.Lock()
    for mutant in order:
        if mutant not in done:
            waiting.put(mutant)
    folder, processors = ROOT / "build" / "mutants", sorted(os.sched_getaffinity(0))
    shares = [processors[job::options.jobs] or processors for job in range(options.jobs)]
    if not waiting.empty():  # the first is built by itself: with ccache the others take its objects
        first = Copy(folder / "1", processors)
        first.make(*{target for name in options.room for target, _ in ROOMS[name].tests})
        first.processors = shares[0]
        own_times = {name: first.own_times(ROOMS[name]) for name in options.room}

    def work(job):
        copy = None
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            copy = copy or Copy(folder / str(job + 1), shares[job])
            begin = time.monotonic()
            verdict, old = copy.verdict(mutant, own_times[mutant[0]])
            name, file, number, line = mutant
            entry = {"room": name, "file": file, "line": number + 1, "old": old, "new": line, "verdict": verdict,
                     "seconds": round(time.monotonic() - begin, 1)}
            with lock:
                with options.log.open("a") as log:
                    log.write(json.dumps(entry) + "\n")
                print(f"{verdict:22} {file}:{number + 1}: {old.strip()}  ->  {line.strip()}", flush=True)
                done[mutant] = entry

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdicts = collections.Counter((mutant[0], done[mutant]["verdict"]) for mutant in order)
    for name in options.room:
        counts = {verdict: count for (room, verdict), count in verdicts.items() if room == name}
        tested = sum(counts.values()) - counts.get("caught by the compiler", 0) - counts.get("the same program", 0)
        caught = tested - counts.get("survived", 0)
        print(f"{name:9} {caught} of {tested} that compile are caught")
    for mutant in order:
        if done[mutant]["verdict"] == "survived":
            print(f"survived  {mutant[1]}:{mutant[2] + 1}: {done[mutant]['old'].strip()}  ->  {mutant[3].strip()}")


if __name__ == "__main__":
    main()
