#!/usr/bin/env python3
"""Kills small training runs with SIGKILL at random moments, and takes the disk away from others; each is
resumed until it ends, with the bits of a run that nothing happened to.

usage: scripts/kill_runs.py BUILD [--kills 1000] [--seed 1]

What happens, a share each:
  any moment     SIGKILL after a random time
  while writing  SIGKILL as soon as a file with a temporary name is there
  full disk      a tmpfs that is too small, where that can be mounted
  file limit     such a limit
  read-only      the folder's permission to be written is taken away while the run goes on
The last three must end with exit code 1 and an error that names the folder. Prints a line for each."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

# Of a process: not the numbers of its clock and its memory.
TIMED = {"seconds", "images_per_s", "images_per_second", "peak_mib", "peak_resident_bytes",
         "peak_tensor_bytes", "train_seconds"}
FLAGS = ("--dataset drawn --limit-train 160 --limit-test 50 --batch-size 16 --epochs 3 --save-every-steps 2"
         " --keep 1 --threads 1 --seed 7 --quiet --device cpu").split()
KINDS = ("any moment", "while writing", "full disk", "file limit", "read-only")


def results(folder):
    """All that a run computed, by file."""
    found = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    state = found["last.state.safetensors"]
    begin = 8 + struct.unpack("<Q", state[:8])[0]
    header = json.loads(state[8:begin])
    about = json.loads(header.pop("__metadata__")["cks.state"])
    found["last.state.safetensors"] = state[begin:]
    found["state"] = (header, {key: value for key, value in about.items() if key not in TIMED})
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(rows[0]) if name not in TIMED]
    found["metrics"] = [[row[i] for i in kept] for row in rows]
    summary = json.loads((folder / "summary.json").read_text())
    found["summary"] = {key: value for key, value in summary.items() if key not in TIMED}
    return found


class Run:
    """One run in a folder of its own, until it has ended."""

    def __init__(self, program, scratch, name, seconds, seed):
        self.program, self.seconds = program, seconds
        self.random = random.Random(seed)
        self.disk = scratch / name
        self.disk.mkdir()
        self.folder = self.disk / "run"
        self.user = "nobody" if os.geteuid() == 0 else None  # root may write everywhere
        if self.user:
            shutil.chown(self.disk, self.user)

    def start(self, before=None):
        """The run from its begin, or from where it was stopped."""
        flags = ["--resume", str(self.folder), "--quiet"]
        if not (self.folder / "config.json").exists():
            # Nothing is lost: such a run says itself that it saved nothing.
            assert not (self.folder / "last.state.safetensors").exists(), "a state without its flags"
            shutil.rmtree(self.folder, ignore_errors=True)
            flags = [*FLAGS, "--output-dir", str(self.folder)]
        return subprocess.Popen([self.program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                preexec_fn=before, user=self.user, cwd=self.disk)

    def wait_for_writing(self, process):
        while process.poll() is None:
            with contextlib.suppress(OSError):
                if any(".tmp-" in name for name in os.listdir(self.folder)):
                    return time.sleep(self.random.random() * 0.001)

    def kill(self, is_writing):
        process = self.start()
        if is_writing:
            time.sleep(self.random.random() * self.seconds / 2)
            self.wait_for_writing(process)
        else:
            time.sleep(self.random.random() * self.seconds)
        process.send_signal(signal.SIGKILL)
        error = process.communicate()[1]
        assert process.returncode in (0, -signal.SIGKILL), error.decode()
        return process.returncode != 0

    def fail(self, process):
        """Ends with its own error, or before it came to the fault."""
        error = process.communicate(timeout=120)[1].decode()
        assert process.returncode in (0, 1), f"exit code {process.returncode}: {error}"
        if process.returncode == 1:
            assert "error: " in error and str(self.folder) in error, error
        return process.returncode == 1

    def fill_disk(self):
        """On a disk that has room for a part of what the run writes."""
        used = sum(path.stat().st_size for path in self.folder.iterdir()) if self.folder.exists() else 0
        size = used // 1024 + 64 + self.random.randint(0, 1500)
        saved = self.disk.with_name(self.disk.name + ".saved")

        def move(source, target):
            if source.exists():
                shutil.copytree(source, target)
                shutil.rmtree(source)
                for path in (target, *target.iterdir()):
                    shutil.chown(path, self.user)

        move(self.folder, saved)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=777", "none", str(self.disk)], check=True)
        try:
            move(saved, self.folder)
            failed = self.fail(self.start())
            move(self.folder, saved)
        finally:
            subprocess.run(["umount", str(self.disk)], check=True)
        move(saved, self.folder)
        return failed

    def limit_files(self):
        size = int(2 ** self.random.uniform(0, 20))

        def before():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # write() says so instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return self.fail(self.start(before))

    def take_permission(self):
        process = self.start()
        time.sleep(self.random.random() * self.seconds / 2)
        if not self.folder.exists():
            process.communicate()
            return False
        self.folder.chmod(0o555)
        try:
            return self.fail(process)
        finally:
            self.folder.chmod(0o755)

    def go(self, kind):
        """Whether something happened to the run, which has ended since."""
        return {"any moment": lambda: self.kill(False), "while writing": lambda: self.kill(True),
                "full disk": self.fill_disk, "file limit": self.limit_files,
                "read-only": self.take_permission}[kind]()

    def finish(self):
        process = self.start()
        error = process.communicate(timeout=300)[1].decode()
        assert process.returncode == 0, error
        left = [name for name in os.listdir(self.folder) if ".tmp-" in name]
        assert not left, f"temporary files are left: {left}"
        return results(self.folder)


def can_mount(folder):
    point = folder / "mount"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(point)]
    if os.geteuid() != 0 or subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
        return False
    return subprocess.run(["umount", str(point)]).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program = options.build.resolve() / "apps" / "train_mnist"
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=in_memory) as scratch_name:
        scratch = pathlib.Path(scratch_name)
        scratch.chmod(0o755)
        begin = time.monotonic()
        expected = Run(program, scratch, "whole", 0, 0).finish()
        seconds = time.monotonic() - begin
        assert Run(program, scratch, "again", 0, 0).finish() == expected, "two runs differ: nothing can be said"
        kinds_here = [kind for kind in KINDS if kind != "full disk" or can_mount(scratch)]
        happened = dict.fromkeys(kinds_here, 0)
        lock, numbers, wrong = threading.Lock(), iter(range(10**9)), []

        def work():
            while not wrong:
                with lock:
                    number = next(numbers)
                    if sum(happened.values()) >= options.kills:
                        return
                run = Run(program, scratch, str(number), seconds, options.seed * 10**6 + number)
                kinds = []
                try:
                    for _ in range(run.random.randint(1, 6)):
                        kind = min(kinds_here, key=lambda one: (happened[one], run.random.random()))
                        kinds.append(kind)
                        if run.go(kind):
                            with lock:
                                happened[kind] += 1
                    found = run.finish()
                    differing = [name for name in expected if found.get(name) != expected[name]]
                    assert not differing and len(found) == len(expected), f"other bits: {differing}, {sorted(found)}"
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    wrong.append(f"run {number} ({', '.join(kinds)}): {error}")
                shutil.rmtree(run.disk, ignore_errors=True)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda _: work(), range(os.cpu_count())))
    for kind in KINDS:
        print(f"{kind:14} {happened.get(kind, 'cannot be tried here'):5}")
    for line in wrong:
        print("error: " + line, file=sys.stderr)
    print(f"{sum(happened.values())} times a run was stopped; all ended with the same bits" if not wrong else
          f"{len(wrong)} runs did not end as they should")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
