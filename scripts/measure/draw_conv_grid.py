#!/usr/bin/env python3
"""Draws convolutions over the ranges of bench_conv's grid of anchors, for figures that nobody tunes on.

The same 40 for everyone: the seed is part of the script. Batches of 64 to 512, maps of 2 to 56 (a third
of them not square), 32 to 512 channels, filters and strides as networks use them, between 0.5 and 60
thousand million multiply-adds a pass.

usage: draw_conv_grid.py            a name and a shape in each line
       draw_conv_grid.py --shapes   the shapes alone, for bench_conv --shapes -
"""
import random
import sys

SEED = 20261128
COUNT = 40
FILTERS = ((1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 1), (3, 2, 1), (4, 2, 1),
           (5, 1, 2), (5, 2, 2), (7, 1, 3))  # side, stride, padding; as often as they stand here
MAPS = (2, 3, 4, 4, 5, 6, 7, 8, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 56)
LEAST, MOST = 5e8, 6e10


def draw(rng):
    side, stride, padding = rng.choice(FILTERS)
    height = rng.choice(MAPS)
    width = rng.choice(MAPS) if rng.random() < 1 / 3 else height
    batch = 32 * rng.randint(2, 16)
    channels = [8 * rng.randint(4, 64) if rng.random() < 0.5 else rng.choice((32, 64, 128, 256, 512))
                for _ in range(2)]
    rows = (height + 2 * padding - side) // stride + 1
    columns = (width + 2 * padding - side) // stride + 1
    work = batch * rows * columns * side * side * channels[0] * channels[1]
    if min(rows, columns) < 1 or not LEAST <= work <= MOST:
        return None
    return f"{batch}x{height}x{width}x{channels[0]},{channels[1]},k{side},s{stride},p{padding}"


def main():
    if sys.argv[1:] not in ([], ["--shapes"]):
        sys.exit(__doc__)
    rng = random.Random(SEED)
    shapes = []
    while len(shapes) < COUNT:
        shape = draw(rng)
        if shape and shape not in shapes:
            shapes.append(shape)
    for i, shape in enumerate(shapes, start=1):
        print(shape if sys.argv[1:] else f"drawn{i:02d} {shape}")


if __name__ == "__main__":
    main()
