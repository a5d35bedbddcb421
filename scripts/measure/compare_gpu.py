#!/usr/bin/env python3
"""Compares CKS with cuDNN and PyTorch on one GPU, in one run. See compare_gpu.sh, which also builds.

A line is one pass of one convolution, or one training step of a network. Its times are medians over
rounds in which the programs take turns; each works from tensors on the GPU inside a CUDA graph.
cuDNN and PyTorch show the better of their two memory formats. Networks are also timed without a graph
(eager) and show the peak memory of their tensors, CKS / PyTorch. A ratio is PyTorch's time / CKS's: above
1, CKS is faster; its lowest and highest round stand behind it.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time

PASSES = ("forward", "backward_data", "backward_filter")
# Their input gradients are those of first layers, which no network computes.
FIRST_LAYERS = ("r50_stem", "r18_stem3", "lenet_c1")
BATCHES = {"lenet5": 128, "resnet20": 128}
BATCH = 512  # of other networks
# mode -> the least geometric mean and the least ratio that CKS holds itself to
BARS = {"fp32": (2.0, 0.9), "tf32": (1.3, 0.8), "bf16": (1.25, 0.8)}
STEP_BARS = {"fp32": (2.2, 1.0), "tf32": (1.4, 1.0), "bf16": (1.4, 1.0)}  # of networks' graph steps
PLAN_SECONDS = "0.02"  # that bench_conv spends on a plan each time it is asked


def program(build, name):
    return os.path.join(build, "apps", name)


class BenchConv:
    """A bench_conv process that serves shapes as they are asked for."""

    def __init__(self, build, passes, mode):
        one = passes[0] if len(passes) == 1 else "all"
        self.rows = 1 if len(passes) == 1 else len(PASSES)
        self.process = subprocess.Popen(
            [program(build, "bench_conv"), "--device", "cuda", "--shapes", "-", "--pass", one,
             "--seconds", PLAN_SECONDS, "--modes", mode, "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def time(self, text):
        """pass -> row of bench_conv."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        rows = [self.process.stdout.readline() for _ in range(self.rows)]
        if not rows[-1]:
            sys.exit(f"error: bench_conv ended at {text}, exit code {self.process.wait()}")
        return {row["pass"]: row for row in map(json.loads, rows)}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def shapes_of(build, wanted):
    """name -> text of the shapes of the grid that are wanted, or of a shape given as text."""
    listed = subprocess.run([program(build, "bench_conv"), "--shapes", "anchors", "--list"],
                            check=True, text=True, stdout=subprocess.PIPE).stdout
    grid = dict(line.split() for line in listed.splitlines())
    if wanted == "anchors":
        return grid
    shapes = {}
    for name in re.split(r"[;\s]+|,(?=[a-z]+[0-9]*_)", wanted):  # a shape's text has commas too
        if name not in grid and not re.fullmatch(r"[\dx]+,\d+,k\d+,s\d+,p\d+", name):
            sys.exit(f"error: --shapes: {name!r} is neither anchors, nor one of {', '.join(grid)}, "
                     "nor a shape such as 128x32x32x16,32,k3,s2,p1")
        shapes[name] = grid.get(name, name)
    return shapes


class Comparison:
    """Samples of one line, a round after another."""

    def __init__(self, name, what, stride=0, mode="fp32"):
        self.name, self.what, self.stride, self.mode = name, what, stride, mode
        self.cks, self.cudnn, self.torch = [], [], {}

    def add_torch(self, timed):
        for layout, one in timed.items():
            self.torch.setdefault(layout, []).append(one.microseconds())

    def row(self):
        medians = {layout: statistics.median(times) for layout, times in self.torch.items()}
        layout = min(medians, key=medians.get)
        ratios = [other / cks for other, cks in zip(self.torch[layout], self.cks)]
        cks = statistics.median(self.cks)
        row = {"name": self.name, "what": self.what, "mode": self.mode, "stride": self.stride,
               "cks_us": cks,
               "torch_us": medians[layout], "torch_layout": layout,
               "ratio": medians[layout] / cks, "lowest": min(ratios), "highest": max(ratios)}
        if self.cudnn:
            row["cudnn_us"] = statistics.median(self.cudnn)
            row["cudnn_ratio"] = row["cudnn_us"] / cks
        row["best_ratio"] = min(row["ratio"], row.get("cudnn_ratio", row["ratio"]))
        return row


def compare_shapes(args, torch_side, emit, mode):
    torch_side.set_precision(mode)
    bench = BenchConv(args.build, args.passes, mode)
    version = None
    for name, text in args.shapes.items():
        sizes = [int(number) for number in re.findall(r"\d+", text)]
        timed = torch_side.conv_passes(sizes, args.passes, mode)
        lines = {which: Comparison(name, which, sizes[6], mode) for which in args.passes}
        for turn in range(args.rounds):
            # Who goes first changes from round to round.
            for side in ("cks", "torch") if turn % 2 == 0 else ("torch", "cks"):
                if side == "cks":
                    rows = bench.time(text)
                for which, line in lines.items():
                    if side == "torch":
                        line.add_torch(timed[which])
                        continue
                    line.cks.append(rows[which]["median_us"])
                    if "cudnn_us" in rows[which]:
                        line.cudnn.append(rows[which]["cudnn_us"])
                        version = rows[which]["cudnn_version"]
        del timed
        torch_side.torch.cuda.empty_cache()
        for which, line in lines.items():
            # Of the last round: what computes it does not change.
            emit({**line.row(), **{key: rows[which][key] for key in (
                "kernel", "tile", "arithmetic", "executed_over_exact")}})
    bench.close()
    return version


def compare_networks(args, torch_side, emit, mode):
    """Both sides in one mode."""
    torch_side.set_precision(mode)
    bench = program(args.build, "bench_step")
    for name in args.networks:
        batch = args.batch_size or BATCHES.get(name, BATCH)
        for queued, timed in zip(("eager", "graph"),
                                 torch_side.training_steps(name, batch, args.compiled, mode)):
            line = Comparison(f"{name} {batch}", f"{queued} step", mode=mode)
            for _ in range(args.rounds):
                out = subprocess.run(
                    [bench, "--model", name, "--batch-size", str(batch), "--device", "cuda",
                     "--precision", mode, "--seconds", "0.5", "--mode", queued], check=True, text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
                step = json.loads(out.splitlines()[-1])
                line.cks.append(1e3 * step["median_ms"])
                line.add_torch(timed)
            row = line.row()
            row["cks_peak_mib"] = step["peak_mib"]
            row["torch_peak_mib"] = timed[row["torch_layout"]].peak_mib
            emit(row)
            del timed
        torch_side.torch.cuda.empty_cache()


def text_of(row):
    cudnn = (f"{row['cudnn_us']:10.1f} {row['cudnn_ratio']:7.2f}" if "cudnn_us" in row
             else f"{'-':>10} {'-':>7}")
    peaks = (f"   {row['cks_peak_mib']:.0f} / {row['torch_peak_mib']:.0f} MiB"
             if "cks_peak_mib" in row else "")
    plan = (f"   {row['arithmetic']} {row['kernel']} {row['tile']}, "
            f"{row['executed_over_exact']:.2f} V" if "kernel" in row else "")
    return (f"{row['name']:20} {row['what']:15} {row['mode']:4} {row['cks_us']:10.1f} {cudnn} "
            f"{row['torch_us']:10.1f} {row['torch_layout']:>8} {row['ratio']:7.2f}   "
            f"{row['lowest']:.2f} to {row['highest']:.2f}{peaks}{plan}")


def summary(rows):
    """Lines on the figures that CKS holds itself to; those without rows are left out."""
    lines = []

    def bar(text, met):
        lines.append(f"{'met    ' if met else 'NOT met'}  {text}")

    convs = [row for row in rows if row["what"] in PASSES
             and not (row["name"] in FIRST_LAYERS and row["what"] == "backward_data")]
    for mode, (mean_bar, low_bar) in BARS.items():
        chosen = [row for row in convs if row["mode"] == mode and not row["name"].startswith("lenet")]
        if not chosen:
            continue
        mean = math.exp(statistics.fmean(math.log(row["best_ratio"]) for row in chosen))
        low = min(chosen, key=lambda row: row["best_ratio"])
        lines.append(f"{mode}: the better of PyTorch and cuDNN / CKS over {len(chosen)} passes, without "
                     f"LeNet's and the input gradients of first layers: geometric mean {mean:.3f}, "
                     f"lowest {low['best_ratio']:.2f} ({low['name']} {low['what']})")
        bar(f"{mode}: geometric mean at least {mean_bar}: {mean:.3f}", mean >= mean_bar)
        bar(f"{mode}: none below {low_bar}: {low['best_ratio']:.2f}", low["best_ratio"] >= low_bar)
    for text, chosen in (
        ("vgg_2x2x512 faster in every pass", [r for r in convs if r["name"] == "vgg_2x2x512"]),
        ("stride-2 input gradients faster",
         [r for r in convs if r["stride"] == 2 and r["what"] == "backward_data"]),
    ):
        slow = [f"{r['name']} {r['what']} {r['ratio']:.2f}" for r in chosen if not r["ratio"] > 1]
        if chosen:
            bar(f"{text}: {len(chosen) - len(slow)} of {len(chosen)}"
                + (", not " + ", ".join(slow) if slow else ""), not slow)
    steps = [row for row in rows if row["what"] == "graph step"]
    for mode, (mean_bar, low_bar) in STEP_BARS.items():
        chosen = [row for row in steps if row["mode"] == mode and not row["name"].startswith("lenet")]
        if chosen:
            mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in chosen))
            low = min(chosen, key=lambda row: row["ratio"])
            bar(f"{mode}: steps of {len(chosen)} networks, PyTorch's best / CKS, geometric mean at least "
                f"{mean_bar}: {mean:.3f}", mean >= mean_bar)
            bar(f"{mode}: none below {low_bar}: {low['ratio']:.2f} ({low['name']})",
                low["ratio"] >= low_bar)
    for row in steps:
        if row["name"] == "lenet5 128":
            bar(f"a LeNet-5 step in {row['mode']} in at most 70 us: {row['cks_us']:.0f}",
                row["cks_us"] <= 70)
    return lines


def output_of(*command):
    try:
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def listed(choices):
    def parse(text):
        names = text.split(",")
        for name in names:
            if choices and name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(choices)}")
        return names
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="folder of a Release build with CUDA")
    parser.add_argument("--shapes", help="anchors, or names of its shapes, or NxIHxIWxIC,OC,k3,s1,p1; "
                        "several are joined by commas (names) or semicolons")
    parser.add_argument("--networks", type=listed(()), help="lenet5,resnet20,...")
    parser.add_argument("--passes", type=listed(PASSES), default=list(PASSES))
    parser.add_argument("--modes", type=listed(tuple(BARS)), default=["fp32"],
                        help="fp32 (strict), tf32, bf16; both sides of a line compute in the same")
    parser.add_argument("--compiled", action="store_true",
                        help="let PyTorch also run networks through torch.compile (slow to start)")
    parser.add_argument("--batch-size", type=int, help="of the networks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="PREFIX of the result files PREFIX.txt and PREFIX.json; "
                        "default: compare_gpu in the build's folder")
    args = parser.parse_args()
    if args.rounds < 1 or (args.batch_size is not None and args.batch_size < 1):
        parser.error("--rounds and --batch-size must be at least 1")
    if not args.shapes and not args.networks:
        args.shapes, args.networks = "anchors", ["lenet5", "resnet20"]
    try:
        import torch_cuda as torch_side
    except ImportError as error:
        sys.exit(f"error: needs PyTorch: {error}")
    torch = torch_side.torch
    if not torch.cuda.is_available():
        sys.exit("error: PyTorch sees no GPU")

    for name in args.networks or ():
        if name not in torch_side.MODELS:
            sys.exit(f"error: --networks: {name!r} is not one of {', '.join(torch_side.MODELS)}")
    if args.shapes:
        args.shapes = shapes_of(args.build, args.shapes)

    begin, report, rows = time.time(), [], []

    def say(text):
        print(text, flush=True)
        report.append(text)

    def emit(row):
        rows.append(row)
        say(text_of(row))

    root = os.path.dirname(os.path.abspath(__file__))
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "scripts/measure/compare_gpu.sh " + " ".join(sys.argv[2:]),
        "device": torch.cuda.get_device_name(),
        "driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cks": output_of("git", "-C", root, "describe", "--always", "--dirty"),
        "torch": torch.__version__, "torch_cudnn": torch.backends.cudnn.version(),
        "modes": ",".join(args.modes), "rounds": args.rounds,
    }
    for key, value in facts.items():
        say(f"{key:12} {value}")
    say(f"\n{'what':20} {'':15} {'mode':4} {'CKS us':>10} {'cuDNN us':>10} {'/ CKS':>7} {'PyTorch us':>10} "
        f"{'format':>8} {'ratio':>7}   spread")
    if args.shapes:
        for mode in args.modes:
            facts["cudnn"] = compare_shapes(args, torch_side, emit, mode)
    if args.networks:
        for mode in args.modes:
            compare_networks(args, torch_side, emit, mode)
    say("")
    if args.shapes:
        say(f"cuDNN of its own column: {facts['cudnn'] or 'not built into bench_conv'}")
    for line in summary(rows):
        say(line)
    say(f"{time.time() - begin:.0f} s")

    prefix = args.out or os.path.join(args.build, "compare_gpu")
    for suffix, content in ((".txt", "\n".join(report) + "\n"),
                            (".json", json.dumps({**facts, "rows": rows}, indent=1) + "\n")):
        with open(prefix + suffix + ".part", "w") as file:
            file.write(content)
        os.replace(prefix + suffix + ".part", prefix + suffix)
    print(f"written: {prefix}.txt, {prefix}.json")


if __name__ == "__main__":
    main()
