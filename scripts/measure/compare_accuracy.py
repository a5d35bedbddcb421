#!/usr/bin/env python3
"""Trains the same networks by the same recipe with CKS and with PyTorch on one GPU and prints the test
accuracies of both, model by model.

usage: compare_accuracy.py BUILD PICTURES [--models resnet18,vgg16] [--preset paper] [--epochs N]
                           [--precision tf32] [--seed 1] [--out PREFIX]
PICTURES holds train/CLASS/* and test/CLASS/*, as for train_cifar --dataset folder. PyTorch takes the
recipe from the config.json of CKS's run, runs channels last, and rounds the factors of its convolutions
to TF32 unless --precision fp32. CKS computes in strict float32. The figure that counts is the mean of
the last five epochs, because a single epoch jumps by points. Needs numpy, Pillow and torch with CUDA.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

LAST = 5  # epochs in a mean


def last_mean(curve):
    return statistics.fmean(curve[-LAST:])


def run_cks(args, model, folder):
    """(flags of the run, test accuracy of every epoch, seconds)"""
    command = [os.path.join(args.build, "apps", "train_cifar"), "--dataset", "folder",
               "--data-dir", args.pictures, "--preset", args.preset, "--model", model,
               "--seed", str(args.seed), "--device", "cuda", "--output-dir", folder, "--quiet"]
    command += ["--epochs", str(args.epochs)] if args.epochs else []
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)}: exit code {done.returncode}\n{done.stdout[-2000:]}")
    with open(os.path.join(folder, "config.json")) as file:
        flags = json.load(file)["flags"]
    with open(os.path.join(folder, "metrics.csv")) as file:
        rows = list(csv.DictReader(file))
    return flags, [float(row["test_acc"]) for row in rows], float(rows[-1]["seconds"])


class PyTorch:
    """PyTorch's side: the pictures on the GPU and a training loop."""

    def __init__(self, pictures, precision):
        import torch
        from torch_cuda import set_precision
        if not torch.cuda.is_available():
            sys.exit("error: PyTorch sees no GPU")
        self.torch = torch
        set_precision(precision)
        train, self.y = self.read(os.path.join(pictures, "train"))
        test, self.test_y = self.read(os.path.join(pictures, "test"))
        deviation, mean = torch.std_mean(train, dim=(0, 2, 3), keepdim=True, correction=0)
        self.x, self.test_x = (train - mean) / deviation, (test - mean) / deviation

    def read(self, folder):
        """Images [N,C,H,W] in 0..1 and labels, the classes in the order of their names."""
        import numpy
        from PIL import Image
        images, labels = [], []
        for label, name in enumerate(sorted(os.listdir(folder))):
            for file in sorted(os.scandir(os.path.join(folder, name)), key=lambda entry: entry.name):
                images.append(numpy.asarray(Image.open(file.path).convert("RGB")))
                labels.append(label)
        stacked = self.torch.from_numpy(numpy.stack(images)).cuda()
        return stacked.permute(0, 3, 1, 2).float() / 255, self.torch.tensor(labels).cuda()

    def augmented(self, x, padding):
        """Mirrored or not, each image, and cut out at a random place of its padded self."""
        torch, (n, channels, height, width) = self.torch, x.shape
        x = torch.where(torch.rand(n, 1, 1, 1, device="cuda") < 0.5, x.flip(3), x)
        x = torch.nn.functional.pad(x, (padding,) * 4)
        top, left = torch.randint(0, 2 * padding + 1, (2, n, 1, 1, 1), device="cuda")
        grid = [torch.arange(extent, device="cuda") for extent in (n, channels, height, width)]
        return x[grid[0].view(-1, 1, 1, 1), grid[1].view(1, -1, 1, 1),
                 grid[2].view(1, 1, -1, 1) + top, grid[3].view(1, 1, 1, -1) + left]

    def optimizer(self, net, flags, steps):
        """(optimizer, schedule or None)"""
        optim, rate = self.torch.optim, float(flags["lr"])
        if flags["opt"] == "adam" and float(flags["wd"]) == 0:
            optimizer = optim.Adam(net.parameters(), rate, fused=True)
        elif flags["opt"] == "sgd":
            optimizer = optim.SGD(net.parameters(), rate, momentum=float(flags["momentum"]),
                                  weight_decay=float(flags["wd"]),
                                  nesterov=flags["nesterov"] == "true")
        else:
            sys.exit(f"error: no twin of --opt {flags['opt']} --wd {flags['wd']}")
        if flags["lr-scheduler"] == "constant":
            return optimizer, None
        if flags["lr-scheduler"] != "onecycle":
            sys.exit(f"error: no twin of --lr-scheduler {flags['lr-scheduler']}")
        return optimizer, optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps, cycle_momentum=flags["cycle-momentum"] == "true")

    def accuracy(self, net, batch=1000):
        net.eval()
        with self.torch.no_grad():
            right = sum((net(x).argmax(1) == y).sum().item() for x, y in
                        zip(self.test_x.split(batch), self.test_y.split(batch)))
        net.train()
        return right / len(self.test_y)

    def train(self, model, flags, seed):
        """(test accuracy of every epoch, seconds)"""
        from torch_twins import MODELS
        torch, channels_last = self.torch, {"memory_format": self.torch.channels_last}
        torch.manual_seed(seed)
        net = MODELS[model]().cuda().to(**channels_last).train()
        batch, epochs = int(flags["batch-size"]), int(flags["epochs"])
        full = len(self.y) // batch * batch if flags["drop-last"] == "true" else len(self.y)
        optimizer, schedule = self.optimizer(net, flags, epochs * -(-full // batch))
        begin, curve = time.time(), []
        for _ in range(epochs):
            for indices in torch.randperm(len(self.y), device="cuda")[:full].split(batch):
                x = self.x[indices]
                x = self.augmented(x, int(flags["crop-padding"])) if flags["augment"] == "true" else x
                optimizer.zero_grad(set_to_none=True)
                output = net(x.contiguous(**channels_last))
                torch.nn.functional.cross_entropy(output, self.y[indices]).backward()
                optimizer.step()
                if schedule:
                    schedule.step()
            curve.append(self.accuracy(net))
        return curve, time.time() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="folder of a Release build with CUDA")
    parser.add_argument("pictures", help="folder with train/CLASS/* and test/CLASS/*")
    parser.add_argument("--models", default="alexnet,vgg16,googlenet,resnet18,resnet34")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--epochs", type=int, help="default: the preset's")
    parser.add_argument("--precision", choices=("tf32", "fp32"), default="tf32",
                        help="of PyTorch's convolutions and matrix products")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="file of the result as JSON")
    args = parser.parse_args()
    try:
        torch_side = PyTorch(args.pictures, args.precision)
    except ImportError as error:
        sys.exit(f"error: {error}")
    torch = torch_side.torch
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__} ({args.precision}), preset "
          f"{args.preset}, {len(torch_side.y)} training and {len(torch_side.test_y)} test images\n"
          f"test accuracy in percent: mean of the last {LAST} epochs, after the last one; seconds\n"
          f"{'model':18}{'CKS':>8}{'last':>8}{'s':>8}{'PyTorch':>10}{'last':>8}{'s':>8}{'CKS more':>10}",
          flush=True)
    rows = []
    for model in args.models.split(","):
        with tempfile.TemporaryDirectory() as place:
            flags, cks, cks_seconds = run_cks(args, model, os.path.join(place, "run"))
        other, seconds = torch_side.train(model, flags, args.seed)
        print(f"{model:18}{100 * last_mean(cks):8.2f}{100 * cks[-1]:8.2f}{cks_seconds:8.1f}"
              f"{100 * last_mean(other):10.2f}{100 * other[-1]:8.2f}{seconds:8.1f}"
              f"{100 * (last_mean(cks) - last_mean(other)):+10.2f}", flush=True)
        rows.append({"model": model, "cks": cks, "cks_seconds": cks_seconds, "torch": other,
                     "torch_seconds": seconds, "flags": flags})
    if args.out:
        with open(args.out + ".part", "w") as file:
            json.dump({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                       "precision": args.precision, "date": time.strftime("%Y-%m-%d"),
                       "rows": rows}, file, indent=1)
        os.replace(args.out + ".part", args.out)


if __name__ == "__main__":
    main()
