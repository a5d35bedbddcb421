#!/usr/bin/env python3
"""Predicts the time of a training step on many GPUs from measurements on one and two.

  scripts/measure/scaling_model.py --one 256:14.9 --one 512:28.9 --two 512:29.4 --gradients-mib 48

--one BATCH:MS      a step of so many images on one GPU (bench_step --epoch, step_ms); one or more
--two BATCH:MS      the same with so many images on each of two GPUs (bench_step --epoch --gpus 2)
--all-reduce KIB:US an all-reduce on two GPUs; without, those of two H200 with NVLink (NCCL 2.28)

The model, and what it assumes:
  compute      a + b * batch, the line through --one (through the origin if there is one point).
  all-reduce   L + 2 * (n - 1) / n * bytes / B on n GPUs of a machine: a fixed time and the bytes that
               each GPU sends, over its bandwidth. L and B by least squares of relative errors. L grows
               with the number of GPUs as a ring's does, in proportion to n - 1: a switch does better.
  machines     the gradients cross between m machines at once through all links: another
               2 * (m - 1) / m * bytes / (GPUs of a machine * link) and 2 * log2(m) latencies.
  overlap      gradients travel while the backward pass, two thirds of a step, goes on; what is longer
               than it is added, and the last bucket, which waits for the first layers, always.
  contention   what --two still takes longer: copies and sums that NCCL's kernels take from the
               others. The same share of the compute time on any number of GPUs.
Data, evaluation and files are left out: the data lie on the GPUs, the others happen once an epoch.
"""
import argparse
import math
import sys

BACKWARD = 2 / 3  # of a step
# Microseconds of an all-reduce by KiB: two H200 of one machine, NVLink, NCCL 2.28, in a CUDA graph.
H200 = {64: 11.0, 256: 11.7, 1024: 16.8, 4096: 34.7, 16384: 77.5, 45056: 183.0, 262144: 898.0}


def line(points, weigh=lambda y: 1.0):
    """The (a, b) of y = a + b * x with the least weighted squares, neither of them negative."""
    if len(points) == 1:
        (x, y), = points
        return 0.0, y / x
    w = [weigh(y) for _, y in points]
    total = sum(w)
    mx = sum(k * x for k, (x, _) in zip(w, points)) / total
    my = sum(k * y for k, (_, y) in zip(w, points)) / total
    spread = sum(k * (x - mx) ** 2 for k, (x, _) in zip(w, points))
    if spread == 0:
        sys.exit("error: several measurements of the same size do not make a line")
    b = sum(k * (x - mx) * (y - my) for k, (x, y) in zip(w, points)) / spread
    if my - b * mx < 0:  # through the origin instead
        return 0.0, sum(k * x * y for k, (x, y) in zip(w, points)) / sum(
            k * x * x for k, (x, _) in zip(w, points))
    return my - b * mx, b


class Model:
    """Times in milliseconds, sizes in bytes, bandwidths in bytes a millisecond."""

    def __init__(self, one, two, all_reduce, gradients, bucket, machine_gpus, link, link_latency):
        self.start, self.per_image = line(one)
        # On two GPUs each sends as many bytes as there are.
        self.latency, per_byte = line([(kib * 1024, us / 1e3) for kib, us in all_reduce.items()],
                                      lambda y: 1 / y ** 2)
        self.bandwidth = 1 / per_byte
        self.gradients, self.bucket = gradients, min(bucket, gradients)
        self.machine_gpus, self.link, self.link_latency = machine_gpus, link, link_latency
        self.contention = 0.0
        if two:
            shares = [(ms - self.exposed(batch, 2)) / self.compute(batch) - 1 for batch, ms in two]
            self.contention = max(0.0, sum(shares) / len(shares))

    def compute(self, batch):
        return self.start + self.per_image * batch

    def all_reduce(self, size, gpus):
        local = min(gpus, self.machine_gpus)
        machines = math.ceil(gpus / self.machine_gpus)
        time = 0.0
        if local > 1:
            time += self.latency * (local - 1) + 2 * (local - 1) / local * size / self.bandwidth
        if machines > 1:
            time += (2 * math.log2(machines) * self.link_latency +
                     2 * (machines - 1) / machines * size / (local * self.link))
        return time

    def exposed(self, batch, gpus):
        """What of the all-reduces the backward pass does not hide."""
        rest = self.all_reduce(self.gradients - self.bucket, gpus)
        hidden = BACKWARD * self.compute(batch)
        return max(0.0, rest - hidden) + self.all_reduce(self.bucket, gpus)

    def step(self, batch, gpus):
        """Of `batch` images on each GPU."""
        if gpus == 1:
            return self.compute(batch)
        return self.compute(batch) * (1 + self.contention) + self.exposed(batch, gpus)

    def weak(self, batch, gpus):
        return self.compute(batch) / self.step(batch, gpus)

    def strong(self, total, gpus):
        return self.compute(total) / (gpus * self.step(total / gpus, gpus))


def point(text):
    try:
        x, y = (float(part) for part in text.split(":"))
        if x <= 0 or y <= 0 or not math.isfinite(x + y):
            raise ValueError
        return x, y
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not SIZE:TIME, two positive numbers")


def positive(text):
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=point, action="append", required=True, metavar="BATCH:MS")
    parser.add_argument("--two", type=point, action="append", default=[], metavar="BATCH:MS")
    parser.add_argument("--all-reduce", type=point, action="append", metavar="KIB:US")
    parser.add_argument("--gradients-mib", type=positive, required=True, help="4 bytes a parameter")
    parser.add_argument("--bucket-mib", type=positive, default=8)
    parser.add_argument("--batch", type=positive, help="images a GPU of weak scaling; default: --one's greatest")
    parser.add_argument("--total", type=positive, default=4096, help="images of strong scaling")
    parser.add_argument("--machine-gpus", type=int, default=8)
    parser.add_argument("--link-gbit", type=positive, default=400, help="of each GPU to other machines")
    parser.add_argument("--link-us", type=positive, default=5, help="latency between machines")
    parser.add_argument("--machines", type=int, default=64, help="up to so many")
    args = parser.parse_args()
    mib = 2 ** 20
    model = Model(args.one, args.two, dict(args.all_reduce) if args.all_reduce else H200,
                  args.gradients_mib * mib, args.bucket_mib * mib, args.machine_gpus,
                  args.link_gbit / 8 * 1e6, args.link_us / 1e3)
    batch = args.batch or max(x for x, _ in args.one)
    print(f"compute     {model.start:.3f} ms + {1e3 * model.per_image:.3f} us an image"
          f"{'' if len(args.one) > 1 else ' (one point: through the origin)'}")
    print(f"all-reduce  {1e3 * model.latency:.1f} us + bytes / {model.bandwidth / 1e6:.0f} GB/s on two GPUs")
    print(f"contention  {100 * model.contention:.1f} % of the compute time"
          f"{'' if args.two else ' (not measured: no --two)'}")
    print(f"assumed     {100 * BACKWARD:.0f} % of a step is the backward pass, buckets of {args.bucket_mib:g} MiB, "
          f"{args.machine_gpus} GPUs a machine, {args.link_gbit:g} Gbit/s and {args.link_us:g} us from each to other machines")
    print(f"\n{'GPUs':>6} {'machines':>9} {'weak: ms':>9} {'of ideal':>9} {'strong: ms':>11} {'of ideal':>9}"
          f"   ({batch:g} images a GPU; {args.total:g} in all)")
    gpus = 1
    while gpus <= args.machines * args.machine_gpus:
        machines = math.ceil(gpus / args.machine_gpus)
        strong = (f"{model.step(args.total / gpus, gpus):11.3f} {100 * model.strong(args.total, gpus):7.1f} %"
                  if args.total >= gpus else f"{'-':>11} {'-':>9}")
        print(f"{gpus:6} {machines:9} {model.step(batch, gpus):9.3f} {100 * model.weak(batch, gpus):7.1f} % {strong}")
        gpus *= 2


if __name__ == "__main__":
    main()
