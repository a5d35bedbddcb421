#!/usr/bin/env python3
"""Where the time of a training step goes, kernel by kernel: runs bench_step under Nsight Compute (ncu)
and adds up the kernels of one step by name.

usage: scripts/measure/kernel_times.py BUILD [--models resnet18,vgg16] [--batch-size 512] [--precision bf16]
                                       [--most 12]
Needs a GPU on which ncu may read counters. Times are those of kernels that run alone, one after the
other, so that their sum differs a little from the step's own time.
"""
import argparse
import collections
import csv
import os
import re
import subprocess
import sys

STEPS = 2  # bench_step runs as many to warm up, which are left out


def short_name(kernel):
    """'void cks::...::trimmed_correlation_kernel<Tile<128, 64, ...>, 0, 4>(...)' without all but the
    name, and the tile's extents where there is one."""
    name = re.search(r"(\w+?)(_kernel)?\s*[<(]", re.sub(r".*?([\w]+_kernel\b)", r"\1", kernel)).group(1)
    tile = re.search(r"Tile<(?:\(int\))?(\d+), (?:\(int\))?(\d+)", kernel)
    return f"{name} {tile.group(1)}x{tile.group(2)}" if tile else name


def kernels_of(build, model, batch, precision):
    """(name, microseconds) of every kernel of a run, in order."""
    command = ["ncu", "--clock-control", "none", "--cache-control", "none",
               "--metrics", "gpu__time_duration.sum", "--csv",
               os.path.join(build, "apps", "bench_step"), "--model", model, "--batch-size", str(batch),
               "--device", "cuda", "--precision", precision, "--steps", str(STEPS)]
    try:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        sys.exit(f"error: ncu: {error}")
    rows = list(csv.reader(done.stdout.splitlines()))
    header = next((i for i, row in enumerate(rows) if "Kernel Name" in row), len(rows))
    rows = [row for row in rows[header:] if len(row) == len(rows[header])]  # not what bench_step says
    if done.returncode != 0 or len(rows) < 2:
        sys.exit(f"error: {' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    name, value, unit = (rows[0].index(key) for key in ("Kernel Name", "Metric Value", "Metric Unit"))
    scale = {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1.0, "us": 1.0, "msecond": 1e3, "ms": 1e3}
    return [(short_name(row[name]), float(row[value].replace(",", "")) * scale[row[unit]])
            for row in rows[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--models", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--precision", default="fp32", help="fp32, tf32 or bf16")
    parser.add_argument("--most", type=int, default=12, help="rows of a model; the rest is one row")
    args = parser.parse_args()
    for model in args.models.split(","):
        kernels = kernels_of(args.build, model, args.batch_size, args.precision)
        # Steps are alike; whatever ran before the first ran once.
        names = [name for name, _ in kernels]
        per_step = max((n for n in range(1, len(names) // (2 * STEPS) + 1)
                        if names[-n:] == names[-2 * n:-n]), default=0)
        if per_step == 0:
            sys.exit(f"error: {model}: the last two steps did not run the same kernels")
        measured = kernels[-STEPS * per_step:]
        times, counts = collections.Counter(), collections.Counter()
        for name, microseconds in measured:
            times[name] += microseconds / STEPS
            counts[name] += 1 / STEPS
        total = sum(times.values())
        print(f"\n{model}, batch {args.batch_size}: {per_step} kernels, {total / 1e3:.2f} ms")
        shown = times.most_common(args.most)
        rest = total - sum(time for _, time in shown)
        for name, time in [*shown, ("others", rest)]:
            launches = counts[name] if name in counts else per_step - sum(counts[n] for n, _ in shown)
            print(f"  {name:44} {launches:7.1f} {time:10.1f} us {100 * time / total:6.1f} %")


if __name__ == "__main__":
    main()
