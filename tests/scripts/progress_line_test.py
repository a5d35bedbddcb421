#!/usr/bin/env python3
"""Watches the progress line of train_mnist in terminals of several widths, and while they change.

usage: progress_line_test.py PATH_OF_TRAIN_MNIST   (needs tmux)
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

TRAIN_MNIST = pathlib.Path(sys.argv.pop(1)).resolve()
PROGRESS = re.compile(r"epoch +\d+/\d+ (\[[=> ]*\] )?\d+/\d+")
DONE = "the program has ended"


class Terminal:
    """A terminal of its own in which a shell runs a command."""

    def __init__(self, columns, command, folder):
        self.server = ["tmux", "-f", "/dev/null", "-S", str(folder / "socket")]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen"}
        environment.pop("TMUX", None)
        subprocess.run([*self.server, "new-session", "-d", "-x", str(columns), "-y", "50",
                        f"cd {folder}; {command}; echo {DONE}; sleep 600"],
                       check=True, env=environment)

    def tmux(self, *arguments):
        return subprocess.run([*self.server, *arguments], check=True, capture_output=True,
                              text=True).stdout

    def resize(self, columns):
        self.tmux("resize-window", "-x", str(columns))

    def rows(self):
        """What is shown and what went off the top, with lines that were wrapped in pieces."""
        return self.tmux("capture-pane", "-p", "-S", "-").splitlines()

    def lines(self):
        """Likewise, with wrapped lines whole again."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").splitlines()

    def wait(self, holds, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError("waited in vain; the terminal shows:\n" + "\n".join(self.rows()))

    def close(self):
        subprocess.run([*self.server, "kill-server"], capture_output=True)


class ProgressLineTest(unittest.TestCase):
    def start(self, columns):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        terminal = Terminal(columns, f"{TRAIN_MNIST} --dataset drawn --limit-train 6000 "
                            f"--limit-test 100 --batch-size 20 --threads 1 --device cpu "
                            "--epochs 10000 --output-dir run", pathlib.Path(scratch.name))
        self.addCleanup(terminal.close)
        return terminal

    def progress(self, terminal):
        return [line.rstrip() for line in terminal.lines() if PROGRESS.match(line)]

    def next_step(self, terminal):
        """The line of a step later than the one that is shown: there is never a second one."""
        before = self.progress(terminal)
        shown = []

        def is_new():
            shown[:] = self.progress(terminal)
            return shown and shown != before

        terminal.wait(is_new)
        self.assertEqual(len(shown), 1, shown)
        return shown[0]

    def check_end(self, terminal):
        """Once an epoch has ended, ends the program: no progress line is left, and none went up."""
        def epochs():
            return sum(bool(re.match(r"epoch +\d+/\d+  train", line)) for line in terminal.lines())

        terminal.wait(lambda: epochs() > 0)
        terminal.tmux("send-keys", "C-c")
        terminal.wait(lambda: any(DONE in line for line in terminal.lines()))
        self.assertEqual([line for line in self.progress(terminal) if "^C" not in line], [])

    def test_one_line_at_every_width(self):
        for columns in (40, 60, 80, 100, 200):
            with self.subTest(columns=columns):
                terminal = self.start(columns)
                for _ in range(4):
                    line = self.next_step(terminal)
                    self.assertLess(len(line), columns)
                    self.assertIn("loss", line)
                    self.assertEqual("lr" in line, columns >= 100, line)
                self.check_end(terminal)

    def test_one_line_while_the_terminal_is_resized(self):
        terminal = self.start(120)
        self.next_step(terminal)
        for columns in (40, 100, 60, 200, 41, 80, 33, 90):
            terminal.resize(columns)
            time.sleep(0.5)  # tmux tells the program a quarter of a second later
            self.next_step(terminal)
            self.assertLess(len(self.next_step(terminal)), columns)
        self.check_end(terminal)


if __name__ == "__main__":
    unittest.main()
