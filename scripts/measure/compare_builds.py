#!/usr/bin/env python3
"""Compares two builds of CKS on one machine, in one run: is the new one as fast as the old one?

The builds take turns, round after round. A line is one pass of one convolution, or one training step
of a network (as a graph on a GPU); its figures are medians over the rounds, the ratio is old / new
(above 1 the new one is faster), with the lowest and the highest round. Fails where the geometric mean
is below 0.99, or where even the best round of a line is below 0.95.

usage: compare_builds.py OLD_BUILD NEW_BUILD [--device cuda] [--shapes anchors]
                         [--networks lenet5,resnet20] [--rounds 7]
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys

SECONDS = {"cuda": ("0.02", "0.3"), "cpu": ("0.1", "1")}  # on a plan, on a training step
SMALL = {"lenet5": 128, "resnet20": 128}


def program(build, name):
    return os.path.join(build, "apps", name)


class BenchConv:
    """A bench_conv process that serves shapes as they are asked for."""

    def __init__(self, build, device):
        self.process = subprocess.Popen(
            [program(build, "bench_conv"), "--device", device, "--shapes", "-", "--seconds",
             SECONDS[device][0], "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def times(self, text):
        """pass -> microseconds."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        rows = [self.process.stdout.readline() for _ in range(3)]
        if not rows[-1]:
            sys.exit(f"error: bench_conv ended at {text}, exit code {self.process.wait()}")
        return {row["pass"]: row["median_us"] for row in map(json.loads, rows)}


def step_time(build, args, network):
    """Microseconds."""
    mode = "graph" if args.device == "cuda" else "eager"
    batch = SMALL.get(network, args.batch_size)
    out = subprocess.run(
        [program(build, "bench_step"), "--model", network, "--batch-size", str(batch), "--device",
         args.device, "--seconds", SECONDS[args.device][1], "--mode", mode],
        check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return {f"{mode} step, batch {batch}": 1e3 * json.loads(out.splitlines()[-1])["median_ms"]}


def compare(name, args, measure):
    """Prints a line for each of measure(build)'s times; returns their ratios."""
    times = {args.old: [], args.new: []}
    for turn in range(args.rounds):
        builds = (args.old, args.new) if turn % 2 == 0 else (args.new, args.old)
        for build in builds:
            times[build].append(measure(build))
    lines = []
    for what in times[args.old][0]:
        old = [one[what] for one in times[args.old]]
        new = [one[what] for one in times[args.new]]
        rounds = [a / b for a, b in zip(old, new)]
        ratio = statistics.median(old) / statistics.median(new)
        slow = max(rounds) < 0.95
        print(f"{name:26} {what:22} {statistics.median(old):10.1f} {statistics.median(new):10.1f} "
              f"{ratio:6.3f}   {min(rounds):.3f} to {max(rounds):.3f}{'   SLOWER' if slow else ''}",
              flush=True)
        lines.append((ratio, slow))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="folder of a Release build")
    parser.add_argument("new")
    parser.add_argument("--device", choices=tuple(SECONDS), default="cuda")
    parser.add_argument("--shapes", default="", help="as of bench_conv: anchors, resnet20, ...")
    parser.add_argument("--networks", default="")
    parser.add_argument("--batch-size", type=int, default=512, help="of networks but the small ones")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if not args.shapes and not args.networks:
        parser.error("nothing to compare: give --shapes or --networks")
    print(f"{'':26} {'':22} {'old us':>10} {'new us':>10} {'ratio':>6}   spread", flush=True)
    lines = []
    if args.shapes:
        listed = subprocess.run(
            [program(args.new, "bench_conv"), "--shapes", args.shapes, "--list"], check=True,
            text=True, stdout=subprocess.PIPE).stdout
        benches = {build: BenchConv(build, args.device) for build in (args.old, args.new)}
        for name, text in (line.split() for line in listed.splitlines()):
            lines += compare(name, args, lambda build, t=text: benches[build].times(t))
        for bench in benches.values():
            bench.process.stdin.close()
    for network in filter(None, args.networks.split(",")):
        lines += compare(network, args, lambda build, n=network: step_time(build, args, n))
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio, _ in lines))
    slower = sum(slow for _, slow in lines)
    print(f"{len(lines)} lines, geometric mean {mean:.3f}, {slower} slower in every round")
    return 0 if mean >= 0.99 and slower == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
