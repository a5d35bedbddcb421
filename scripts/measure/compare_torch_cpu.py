#!/usr/bin/env python3
"""Compares CKS with PyTorch on the CPU: same cores, same run, ratios of medians.

Prints step times (forward, loss, backward, Adam) of LeNet-5 and ResNet-20 at batch 128, and the times
of each pass of ten convolutions with maps from 2 to 32. A ratio is CKS / PyTorch: below 1, CKS is
faster. PyTorch's figure is the better of its two memory formats; both sides run alternately, in
several rounds, and the spread of the rounds is printed.

usage: compare_torch_cpu.py BUILD_DIR [--threads 2] [--rounds 5] [--only steps|convs] [--csv FILE]
"""
import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time

# name, N, IH, IW, IC, OC, filter, stride, padding
CONVS = [
    ("lenet_c1", 128, 28, 28, 1, 6, 5, 1, 2),
    ("lenet_c2", 128, 14, 14, 6, 16, 5, 1, 0),
    ("r20_32x32x16", 128, 32, 32, 16, 16, 3, 1, 1),
    ("r20_32x32x16_s2", 128, 32, 32, 16, 32, 3, 2, 1),
    ("r20_16x16x32", 128, 16, 16, 32, 32, 3, 1, 1),
    ("r20_16x16x32_s2", 128, 16, 16, 32, 64, 3, 2, 1),
    ("r20_8x8x64", 128, 8, 8, 64, 64, 3, 1, 1),
    ("r18_4x4x512", 32, 4, 4, 512, 512, 3, 1, 1),
    ("r18_4x4x256_s2", 64, 4, 4, 256, 512, 3, 2, 1),
    ("vgg_2x2x512", 64, 2, 2, 512, 512, 3, 1, 1),
]
PASSES = ("forward", "backward_data", "backward_filter")


def lenet(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
        nn.ReLU(), nn.Linear(84, 10))


def resnet20(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(o)
            self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(o)
            self.stride, self.grow = stride, o - i

        def forward(self, x):
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.grow:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow // 2, self.grow // 2))
            return functional.relu(y + x)

    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage, width in enumerate((16, 32, 64)):
        for block in range(3):
            layers.append(Block(channels, width, 2 if stage and not block else 1))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETS = {"lenet5": (lenet, 1, 28), "resnet20": (resnet20, 3, 32)}


def median_seconds(body, seconds=1.0):
    """Median time of one call, over at least seven calls and about `seconds`."""
    for _ in range(2):
        body()
    times, begin = [], time.perf_counter()
    while len(times) < 7 or (time.perf_counter() - begin < seconds and len(times) < 1000):
        t = time.perf_counter()
        body()
        times.append(time.perf_counter() - t)
    return statistics.median(times)


def torch_step(torch, name, batch):
    make, channels, size = NETS[name]
    best = None
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        net = make(torch).to(memory_format=layout).train()
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        x = torch.randn(batch, channels, size, size).contiguous(memory_format=layout)
        y = torch.randint(0, 10, (batch,))

        def step():
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

        seconds = median_seconds(step)
        best = seconds if best is None else min(best, seconds)
    return best


def torch_conv(torch, shape):
    _, n, ih, iw, ic, oc, k, s, p = shape
    best = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(n, ic, ih, iw).contiguous(memory_format=layout)
        w = torch.randn(oc, ic, k, k).contiguous(memory_format=layout)
        y = torch.nn.functional.conv2d(x, w, stride=s, padding=p)
        dy = torch.randn_like(y)

        def backward(mask):
            return torch.ops.aten.convolution_backward(
                dy, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], 1, mask)

        for name, body in (
            ("forward", lambda: torch.nn.functional.conv2d(x, w, stride=s, padding=p)),
            ("backward_data", lambda: backward([True, False, False])),
            ("backward_filter", lambda: backward([False, True, False])),
        ):
            with torch.no_grad():
                seconds = median_seconds(body, 0.4)
            best[name] = min(best.get(name, seconds), seconds)
    return best


def run_cks(build, program, *flags):
    """The JSON lines that a CKS benchmark prints."""
    out = subprocess.run([os.path.join(build, "apps", program), *flags], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="folder of a Release build, with apps/bench_step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("steps", "convs"))
    parser.add_argument("--csv", help="also write the table here")
    args = parser.parse_args()
    try:
        # Children inherit the mask, so both sides share these cores.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    except (AttributeError, OSError) as error:
        print(f"cores not pinned: {error}", file=sys.stderr)
    try:
        import torch
    except ImportError:
        sys.exit("error: needs PyTorch, for instance Debian's python3-torch")
    torch.set_num_threads(args.threads)
    threads = str(args.threads)

    cpu = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as info:
            cpu = next((l.split(":")[1].strip() for l in info if l.startswith("model name")), cpu)
    print(f"{cpu}, {args.threads} threads, PyTorch {torch.__version__}, {args.rounds} rounds, "
          f"{time.strftime('%Y-%m-%d')}")
    print(f"{'what':34} {'CKS ms':>9} {'PyTorch ms':>11} {'ratio':>7}   spread of the ratio")

    samples = {}  # (item, pass) -> list of (cks, torch) seconds
    for _ in range(args.rounds):
        if args.only != "convs":
            for name in NETS:
                cks = run_cks(args.build, "bench_step", "--model", name, "--batch-size", "128",
                              "--device", "cpu", "--threads", threads)[0]["median_ms"] * 1e-3
                samples.setdefault((name + " step", ""), []).append(
                    (cks, torch_step(torch, name, 128)))
        if args.only != "steps":
            for shape in CONVS:
                text = "{}x{}x{}x{},{},k{},s{},p{}".format(*shape[1:])
                rows = run_cks(args.build, "bench_conv", "--shapes", text, "--threads", threads,
                               "--seconds", "0.4", "--json")
                cks = {row["pass"]: row["median_us"] * 1e-6 for row in rows}
                ours = torch_conv(torch, shape)
                for name in PASSES:
                    samples.setdefault((shape[0], name), []).append((cks[name], ours[name]))

    rows = []
    for (item, name), pairs in samples.items():
        cks = statistics.median(c for c, _ in pairs)
        other = statistics.median(t for _, t in pairs)
        ratios = sorted(c / t for c, t in pairs)
        rows.append((item, name, cks * 1e3, other * 1e3, cks / other, ratios[0], ratios[-1]))
        print(f"{item + ' ' + name:34} {cks * 1e3:9.3f} {other * 1e3:11.3f} {cks / other:7.2f}   "
              f"{ratios[0]:.2f} to {ratios[-1]:.2f}")
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("what", "pass", "cks_ms", "torch_ms", "ratio", "lowest", "highest"))
            writer.writerows(rows)


if __name__ == "__main__":
    main()
