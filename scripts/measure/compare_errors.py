#!/usr/bin/env python3
"""Compares rounding errors of convolutions in strict fp32, CKS beside PyTorch, on one GPU.

A line is one pass of one convolution: the L2 norm of what it differs by from float64, relative to that of
float64, on signed data (-1 to 1) and on positive (0 to 1), whose sums round most. Both sides see values of
the same distribution, and are compared with float64 rounded to float32 once. PyTorch's figure is the lower
of its two memory formats', with the algorithms that it picks by itself. Fails where one of CKS's errors is
the larger.

usage: compare_errors.py BUILD [--shapes anchors] > docs/results/fp32_errors.txt
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys

import torch

PASSES = ("forward", "backward_data", "backward_filter")
VALUES = {"signed": -1.0, "positive": 0.0}


def errors_of_cks(build, shapes, values):
    """(name, pass) -> relative L2 error."""
    command = [os.path.join(build, "apps", "bench_conv"), "--device", "cuda", "--shapes", shapes, "--seconds",
               "0", "--check", "--values", values, "--cudnn", "off", "--json"]
    lines = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    return {(row["name"], row["pass"]): row["l2_error"] for row in map(json.loads, lines)}


def passes_of(text, least, dtype, layout, seed=1):
    """What torch makes of a shape NxIHxIWxIC,OC,k3,s1,p1: a tensor for each pass."""
    n, height, width, channels, out, side, stride, padding = map(
        int, re.fullmatch(r"(\d+)x(\d+)x(\d+)x(\d+),(\d+),k(\d+),s(\d+),p(\d+)", text).groups())
    generator = torch.Generator("cuda").manual_seed(seed)

    def draw(*shape):
        values = torch.rand(shape, generator=generator, device="cuda") * (1.0 - least) + least
        return values.to(dtype).contiguous(memory_format=layout)

    x, w = draw(n, channels, height, width), draw(out, channels, side, side)
    y = torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)
    dy = draw(*y.shape)
    dx, dw, _ = torch.ops.aten.convolution_backward(
        dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True, True, False])
    return dict(zip(PASSES, (y, dx, dw)))


def errors_of_torch(text, least):
    """pass -> the lower relative L2 error of both memory formats."""
    exact = passes_of(text, least, torch.float64, torch.contiguous_format)
    exact = {name: tensor.float().double() for name, tensor in exact.items()}
    lowest = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        for name, tensor in passes_of(text, least, torch.float32, layout).items():
            error = ((tensor.double() - exact[name]).norm() / exact[name].norm()).item()
            lowest[name] = min(error, lowest.get(name, error))
    return lowest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="folder of a Release build with CUDA")
    parser.add_argument("--shapes", default="anchors", help="as of bench_conv")
    args = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    listed = subprocess.run([os.path.join(args.build, "apps", "bench_conv"), "--shapes", args.shapes, "--list"],
                            check=True, text=True, stdout=subprocess.PIPE).stdout
    shapes = dict(line.split()[:2] for line in listed.splitlines())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, capture_output=True,
                            cwd=os.path.dirname(os.path.abspath(__file__))).stdout.strip() or "?"
    print("Rounding errors of convolutions in strict fp32, CKS beside PyTorch")
    print(f"date      {datetime.date.today()}\ndevice    {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    print(f"cks       {commit}\npytorch   {torch.__version__}, cuDNN {torch.backends.cudnn.version()}\n")
    print("scripts/measure/compare_errors.py build/gpu > docs/results/fp32_errors.txt\n")
    print(f"{'relative L2 error against float64':40} {'signed':>22} {'positive':>32}")
    print(f"{'':40} {'CKS':>10} {'PyTorch':>10} {'ratio':>6} {'CKS':>13} {'PyTorch':>10} {'ratio':>6}")
    ours = {values: errors_of_cks(args.build, args.shapes, values) for values in VALUES}
    larger = 0
    for name, text in shapes.items():
        theirs = {values: errors_of_torch(text, least) for values, least in VALUES.items()}
        for of_pass in PASSES:
            line = f"{name:24} {of_pass:15}"
            for values in VALUES:
                cks, other = ours[values][(name, of_pass)], theirs[values][of_pass]
                line += f" {cks:10.2e} {other:10.2e} {cks / other:6.2f}   "
                larger += cks > other
            print(line.rstrip(), flush=True)
    print(f"\n{larger} of {2 * len(PASSES) * len(shapes)} errors of CKS are the larger")
    return 1 if larger else 0


if __name__ == "__main__":
    sys.exit(main())
