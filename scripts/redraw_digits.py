#!/usr/bin/env python3
"""Redraws digits of MNIST's test images as people bring them, to try predict with: seven ways of framing
and lighting them, as PNG files of about 120 pixels a side.

usage: scripts/redraw_digits.py MNIST_FOLDER OUT [--count 300] [--seed 1]
Writes OUT/WAY/CLASS/NNN.png for each WAY, which `predict --eval OUT/WAY` reads. Needs Python alone.

  framing      dark on white, ink 30 to 120 % as large as in MNIST's frame
  crop         dark on white, cut tightly around the ink
  offcentre    dark on white, up to 25 % of the frame off its middle
  photo        dark on grey paper with a shadow of 40 % over a part of it and noise of 8 levels
  transparent  any colour on nothing
  inverted     light on black, framed as above
  band         dark on grey paper, a hard-edged band of shadow of 40 % across it in any direction, noise
"""
import argparse
import gzip
import math
import os
import random
import struct
import sys

from draw_shapes import png

WAYS = ("framing", "crop", "offcentre", "photo", "transparent", "inverted", "band")
SIDE = 120


def read_idx(folder, name):
    """Bytes of an IDX file, packed or not, and its extents."""
    for inside in ("", "mnist", "MNIST/raw"):  # as the programs look for it
        for path in (os.path.join(folder, inside, name + packed) for packed in ("", ".gz")):
            if os.path.exists(path):
                with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                    content = file.read()
                rank = content[3]
                return content[4 + 4 * rank:], struct.unpack(f">{rank}I", content[4:4 + 4 * rank])
    sys.exit(f"error: {folder} has no {name}")


def ink_box(digit):
    rows = [y for y in range(28) if any(digit[28 * y:28 * y + 28])]
    columns = [x for x in range(28) if any(digit[x::28])]
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def ink_at(digit, y, x):
    """Ink, 0 to 1, at a place of the digit's 28 x 28 pixels, between them as well."""
    y, x = y - 0.5, x - 0.5
    top, left = int(y // 1), int(x // 1)
    v, u = y - top, x - left

    def pixel(row, column):
        return digit[28 * row + column] if 0 <= row < 28 and 0 <= column < 28 else 0

    return ((1 - v) * ((1 - u) * pixel(top, left) + u * pixel(top, left + 1))
            + v * ((1 - u) * pixel(top + 1, left) + u * pixel(top + 1, left + 1))) / 255


def redraw(digit, way, rng):
    """Width, height, rows, bytes of a pixel."""
    top, bottom, left, right = ink_box(digit)
    scale = SIDE / 28 * rng.uniform(0.3, 1.2)
    down = across = 0.0
    width = height = SIDE
    if way == "crop":
        scale = SIDE / max(bottom - top, right - left)
        margin = rng.uniform(0.0, 0.06) * SIDE
        height, width = (round(scale * extent + 2 * margin)
                         for extent in (bottom - top, right - left))
    if way == "offcentre":
        scale = SIDE / 28 * rng.uniform(0.5, 0.9)
        down, across = (rng.uniform(-0.25, 0.25) * SIDE for _ in range(2))
        # Ink stays in the picture, as it does in anybody's.
        for_rows = (height - scale * (bottom - top)) / 2
        for_columns = (width - scale * (right - left)) / 2
        down = max(-for_rows, min(down, for_rows))
        across = max(-for_columns, min(across, for_columns))
    middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
    pen, paper = rng.uniform(20, 70), rng.uniform(190, 235)
    colour = [rng.randint(0, 255) for _ in range(3)]
    edge, turn = rng.uniform(0.2, 0.8) * (width + height), rng.choice((-1, 1))
    if way == "band":
        angle = rng.uniform(0, math.pi)
        half, middle = rng.uniform(0.05, 0.2) * SIDE, rng.uniform(-0.25, 0.25) * SIDE
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            ink = ink_at(digit, middle_y + (y + 0.5 - height / 2 - down) / scale,
                         middle_x + (x + 0.5 - width / 2 - across) / scale)
            if way == "transparent":
                row += bytes((*colour, round(255 * ink)))
            elif way in ("photo", "band"):
                dark = turn * (x + y - edge) > 0
                if way == "band":
                    along = (x - width / 2) * math.cos(angle) + (y - height / 2) * math.sin(angle)
                    dark = abs(along - middle) < half
                light = 0.6 if dark else 1.0
                level = light * (paper + (pen - paper) * ink) + rng.gauss(0, 8)
                row.append(max(0, min(255, round(level))))
            else:
                row.append(round(255 * (ink if way == "inverted" else 1 - ink)))
        rows.append(bytes(row))
    return width, height, rows, 4 if way == "transparent" else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    pixels, (images, _, _) = read_idx(args.mnist, "t10k-images-idx3-ubyte")
    labels, _ = read_idx(args.mnist, "t10k-labels-idx1-ubyte")
    if not 1 <= args.count <= images:
        parser.error(f"--count is {args.count}, expected 1 to {images}")
    rng = random.Random(args.seed)
    chosen = rng.sample(range(images), args.count)
    for way in WAYS:
        for label in range(10):
            os.makedirs(os.path.join(args.out, way, str(label)), exist_ok=True)
        for at in chosen:
            digit = pixels[784 * at:784 * (at + 1)]
            path = os.path.join(args.out, way, str(labels[at]), f"{at:05}.png")
            with open(path, "wb") as file:
                file.write(png(*redraw(digit, way, rng)))
    print(f"{len(WAYS)} x {args.count} pictures in {args.out}")


if __name__ == "__main__":
    main()
