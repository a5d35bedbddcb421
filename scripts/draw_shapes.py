#!/usr/bin/env python3
"""Draws pictures to try train_cifar --dataset folder with: circles, squares and triangles, dark on light,
of any size, place and turn, as PNG files of 40 to 90 pixels a side.

usage: scripts/draw_shapes.py FOLDER [--count 60] [--seed 1]
Writes FOLDER/train/CLASS/NNN.png and, every fifth picture, FOLDER/test/CLASS/NNN.png. Needs Python alone.
"""
import argparse
import math
import os
import random
import struct
import sys
import zlib

TEST_EVERY = 5


def circle(u, v):
    return u * u + v * v <= 1


def square(u, v):
    return max(abs(u), abs(v)) <= 0.8


def triangle(u, v):
    return v >= -0.5 and math.sqrt(3) * abs(u) + v <= 1


def draw(inside, rng):
    """Width, height, rows of RGB bytes: a dark shape on light ground, both with noise."""
    width, height = rng.randint(40, 90), rng.randint(40, 90)
    colour = [rng.randint(15, 110) for _ in range(3)]
    ground = [rng.randint(160, 240) for _ in range(3)]
    radius = rng.uniform(0.25, 0.45) * min(width, height)
    x0, y0 = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    turn = rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(turn) / radius, math.sin(turn) / radius
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            dx, dy = x + 0.5 - x0, y + 0.5 - y0
            paint = colour if inside(cos * dx + sin * dy, cos * dy - sin * dx) else ground
            row += bytes(channel + rng.randint(-15, 15) for channel in paint)
        rows.append(bytes(row))
    return width, height, rows


def png(width, height, rows, channels=3):
    """The bytes of a file; channels 1 is grey, 3 RGB, 4 RGB and alpha."""
    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content
                + struct.pack(">I", zlib.crc32(kind + content)))

    kind = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)  # 8 bits
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))  # each row unfiltered
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
            + chunk(b"IEND", b""))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--count", type=int, default=60, help="pictures of each class")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.count < TEST_EVERY:
        parser.error(f"--count must be at least {TEST_EVERY}")
    if os.path.exists(args.folder):
        sys.exit(f"error: {args.folder} exists already")
    for inside in (circle, square, triangle):
        rng = random.Random(f"{args.seed} {inside.__name__}")
        for i in range(args.count):
            half = "test" if i % TEST_EVERY == TEST_EVERY - 1 else "train"
            folder = os.path.join(args.folder, half, inside.__name__)
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{i:03}.png"), "wb") as file:
                file.write(png(*draw(inside, rng)))
    print(f"{3 * args.count} pictures of 3 classes are in {args.folder}")


if __name__ == "__main__":
    main()
