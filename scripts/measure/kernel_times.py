#!/usr/bin/env python3
"""Where the time of a training step goes, kernel by kernel: runs bench_step under Nsight Compute (ncu)
and adds up the kernels of one step by name.

usage: scripts/measure/kernel_times.py BUILD [--models resnet18,vgg16] [--batch-size 512] [--precision bf16]
                                       [--most 12]
Needs a GPU on which ncu may read counters. Times are those of kernels that run alone, one after the
other, so that their sum differs a little from the step's own time. Beside each kernel stands what it
reaches of the two roofs: the bytes that it moves a second, in percent of what --copy says a copy moves
(reads and writes), and the share of the time in which the tensor cores are busy.
"""
import argparse
import collections
import csv
import os
import re
import subprocess
import sys

STEPS = 2  # bench_step runs as many to warm up, which are left out
METRICS = {"time": "gpu__time_duration.sum", "bytes": "dram__bytes.sum",
           "tensor": "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed"}
SCALE = {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1.0, "us": 1.0, "msecond": 1e3, "ms": 1e3,
         "byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "%": 1.0}


def short_name(kernel):
    """'void cks::...::trimmed_correlation_kernel<Tile<128, 64, ...>, 0, 4>(...)' without all but the
    name, and the tile's extents where there is one."""
    name = re.search(r"(\w+?)(_kernel)?\s*[<(]", re.sub(r".*?([\w]+_kernel\b)", r"\1", kernel)).group(1)
    tile = re.search(r"Tile<(?:\(int\))?(\d+), (?:\(int\))?(\d+)", kernel)
    return f"{name} {tile.group(1)}x{tile.group(2)}" if tile else name


def kernels_of(build, model, batch, precision):
    """Of every kernel of a run, in order: its name, and microseconds, bytes and percent as METRICS."""
    command = ["ncu", "--clock-control", "none", "--cache-control", "none",
               "--metrics", ",".join(METRICS.values()), "--csv",
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
    number, name, metric, value, unit = (rows[0].index(key) for key in (
        "ID", "Kernel Name", "Metric Name", "Metric Value", "Metric Unit"))
    keys = {wanted: key for key, wanted in METRICS.items()}
    kernels = {}
    for row in rows[1:]:
        kernel = kernels.setdefault(row[number], {"name": short_name(row[name])})
        kernel[keys[row[metric]]] = float(row[value].replace(",", "")) * SCALE[row[unit]]
    return list(kernels.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--models", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--precision", default="fp32", help="fp32, tf32 or bf16")
    parser.add_argument("--most", type=int, default=12, help="rows of a model; the rest is one row")
    parser.add_argument("--copy", type=float, default=4270, help="GB/s that a copy reads and writes")
    args = parser.parse_args()
    for model in args.models.split(","):
        kernels = kernels_of(args.build, model, args.batch_size, args.precision)
        # Steps are alike; whatever ran before the first ran once.
        names = [kernel["name"] for kernel in kernels]
        per_step = max((n for n in range(1, len(names) // (2 * STEPS) + 1)
                        if names[-n:] == names[-2 * n:-n]), default=0)
        if per_step == 0:
            sys.exit(f"error: {model}: the last two steps did not run the same kernels")
        of_name = collections.defaultdict(list)
        for kernel in kernels[-STEPS * per_step:]:
            of_name[kernel["name"]].append(kernel)

        def time_of(group):
            return sum(kernel["time"] for kernel in group) / STEPS

        groups = sorted(of_name.items(), key=lambda item: -time_of(item[1]))
        rest = [kernel for _, group in groups[args.most:] for kernel in group]
        total = sum(time_of(group) for _, group in groups)
        print(f"\n{model}, batch {args.batch_size}, {args.precision}: {per_step} kernels, {total / 1e3:.2f} ms")
        print(f"  {'kernel':40} {'launches':>8} {'us':>9} {'share':>7} {'of a copy':>10} {'tensor':>7}")
        for name, group in groups[:args.most] + ([("others", rest)] if rest else []):
            time = time_of(group)
            moved = sum(kernel["bytes"] for kernel in group) / STEPS / time / 1e3  # GB/s
            busy = sum(kernel["tensor"] * kernel["time"] for kernel in group) / STEPS / time
            print(f"  {name:40} {len(group) / STEPS:8.1f} {time:9.1f} {100 * time / total:6.1f}% "
                  f"{100 * moved / args.copy:9.1f}% {busy:6.1f}%")


if __name__ == "__main__":
    main()
