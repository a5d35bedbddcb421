#!/usr/bin/env python3
"""Draws what `inspect` says of a model: for each convolution the share of multiply-adds that are with
zeros and that C-K-S skips, pass by pass. Writes an SVG.

usage: draw_savings.py BUILD_DIR MODEL OUT.svg        e.g. draw_savings.py build resnet20 docs/savings.svg
"""
import re
import subprocess
import sys

PASSES = (("forward (ConvV2)", "#4477aa"), ("input gradient (KS-deconv)", "#ee6677"),
          ("filter gradient (Sk-dilated)", "#228833"))


def rows_of(build, model):
    table = subprocess.run([f"{build}/apps/inspect", "--model", model], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    for line in table.splitlines():
        cells = re.split(r"  +", line.strip())
        if len(cells) > 3 and cells[1] == "Conv2d":
            shares = [0.0 if c == "-" else float(c.split()[0]) for c in cells[-3:]]
            yield cells[0], cells[2], shares


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    build, model, out = sys.argv[1:]
    rows = list(rows_of(build, model))
    left, row_height, width = 250, 30, 640
    height = 64 + row_height * len(rows) + 24
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="15">{model}: share of multiply-adds that C-K-S skips, '
           'pass by pass</text>']
    for i, (name, colour) in enumerate(PASSES):
        svg.append(f'<rect x="{10 + 220 * i}" y="32" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{28 + 220 * i}" y="43">{name}</text>')
    for percent in range(0, 101, 20):
        x = left + width * percent / 100
        svg.append(f'<line x1="{x}" y1="56" x2="{x}" y2="{height - 20}" stroke="#dddddd"/>'
                   f'<text x="{x}" y="{height - 6}" text-anchor="middle">{percent} %</text>')
    for r, (name, options, shares) in enumerate(rows):
        y = 62 + row_height * r
        svg.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{name}  ({options.split(",")[0]}'
                   f'{", stride 2" if "stride 2" in options else ""})</text>')
        for i, share in enumerate(shares):
            svg.append(f'<rect x="{left}" y="{y + 8 * i}" width="{max(width * share / 100, 0.5):.1f}" '
                       f'height="7" fill="{PASSES[i][1]}"/>')
    svg.append("</svg>")
    with open(out, "w") as file:
        file.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
