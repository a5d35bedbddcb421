#!/usr/bin/env python3
"""Writes the golden values that the tests of this folder compare with, all in float64:

  convolutions.safetensors  random convolutions and transposed convolutions with all gradients
  layers.safetensors        every layer and loss with all gradients
  training.safetensors      ten training steps of LeNet-5 and ResNet-20 per optimiser, three of one
                            network of each other family

Inputs and weights come from random_real() on both sides, so only results are stored. Images are
stored as CKS has them: [N,H,W,C], filters [OC,FH,FW,IC/G].

  python3 tests/golden/make_golden.py        # needs numpy and torch >= 1.13
"""
import os
import random
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts"))
from torch_twins import (MODELS, BasicBlock, formula_images, formula_state,  # noqa: E402
                         random_real, write_safetensors)

torch.set_default_dtype(torch.float64)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
METADATA = {"made_by": "tests/golden/make_golden.py", "torch": torch.__version__}


def leaf(array):
    return torch.from_numpy(np.ascontiguousarray(array)).requires_grad_()


def to_nchw(x):
    return x.permute(0, 3, 1, 2)


def to_nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous()


# --- Convolutions -----------------------------------------------------------------------------------
FIELDS = ("transposed N IH IW IC OC FH FW sh sw pt pb pl pr dh dw groups oph opw bias").split()


def extent(size, low, high, filter_size, stride, dilation):
    return (size + low + high - dilation * (filter_size - 1) - 1) // stride + 1


def transposed_extent(size, low, high, filter_size, stride, dilation, added):
    return (size - 1) * stride - low - high + dilation * (filter_size - 1) + added + 1


def random_case(draw, transposed):
    while True:
        groups = draw.choice([1, 1, 1, 2, 3])
        c = dict(transposed=int(transposed), N=draw.choice([1, 2, 3]), IH=draw.randint(1, 9),
                 IW=draw.randint(1, 9), IC=groups * draw.randint(1, 4), OC=groups * draw.randint(1, 4),
                 FH=draw.randint(1, 5), FW=draw.randint(1, 5), sh=draw.choice([1, 1, 2, 2, 3, 4]),
                 sw=draw.choice([1, 1, 2, 2, 3, 4]), dh=draw.choice([1, 1, 1, 2, 3]),
                 dw=draw.choice([1, 1, 1, 2, 3]), groups=groups, oph=0, opw=0,
                 bias=draw.choice([0, 1]))
        symmetric = draw.random() < 0.4
        c["pt"], c["pl"] = draw.randint(0, 3), draw.randint(0, 3)
        c["pb"] = c["pt"] if symmetric else draw.randint(0, 3)
        c["pr"] = c["pl"] if symmetric else draw.randint(0, 3)
        if transposed:
            c["IH"], c["IW"] = min(c["IH"], 5), min(c["IW"], 5)
            c["oph"] = draw.randint(0, max(c["sh"], c["dh"]) - 1)
            c["opw"] = draw.randint(0, max(c["sw"], c["dw"]) - 1)
            oh = transposed_extent(c["IH"], c["pt"], c["pb"], c["FH"], c["sh"], c["dh"], c["oph"])
            ow = transposed_extent(c["IW"], c["pl"], c["pr"], c["FW"], c["sw"], c["dw"], c["opw"])
        else:
            oh = extent(c["IH"], c["pt"], c["pb"], c["FH"], c["sh"], c["dh"])
            ow = extent(c["IW"], c["pl"], c["pr"], c["FW"], c["sw"], c["dw"])
        if oh >= 1 and ow >= 1 and c["N"] * oh * ow * c["OC"] <= 600:
            return c


def run_convolution(c, x, w, b):
    """x, w in CKS's layouts; asymmetric paddings are built from PyTorch's pad and crop."""
    image, weight = to_nchw(x), to_nchw(w)
    stride, dilation, groups = (c["sh"], c["sw"]), (c["dh"], c["dw"]), c["groups"]
    if not c["transposed"]:
        image = F.pad(image, (c["pl"], c["pr"], c["pt"], c["pb"]))
        return to_nhwc(F.conv2d(image, weight, b, stride, 0, dilation, groups))
    full = F.conv_transpose2d(image, weight, None, stride, 0, 0, groups, dilation)
    full = F.pad(full, (0, c["opw"], 0, c["oph"]))
    y = full[:, :, c["pt"]:full.shape[2] - c["pb"], c["pl"]:full.shape[3] - c["pr"]]
    if b is not None:
        y = y + b.view(1, -1, 1, 1)
    if c["pt"] == c["pb"] and c["pl"] == c["pr"]:
        own = F.conv_transpose2d(image, weight, b, stride, (c["pt"], c["pl"]), (c["oph"], c["opw"]),
                                 groups, dilation)
        assert torch.allclose(own, y, rtol=1e-12, atol=1e-12), c
    return to_nhwc(y)


def convolutions():
    draw = random.Random(20231206)
    cases = [random_case(draw, transposed=False) for _ in range(44)]
    cases += [random_case(draw, transposed=True) for _ in range(36)]
    tensors = {}
    for i, c in enumerate(cases):
        x = leaf(random_real(1000 * i + 1, (c["N"], c["IH"], c["IW"], c["IC"])))
        shape = ((c["IC"], c["FH"], c["FW"], c["OC"] // c["groups"]) if c["transposed"] else
                 (c["OC"], c["FH"], c["FW"], c["IC"] // c["groups"]))
        w = leaf(random_real(1000 * i + 2, shape))
        b = leaf(random_real(1000 * i + 3, (c["OC"],))) if c["bias"] else None
        y = run_convolution(c, x, w, b)
        y.backward(torch.from_numpy(random_real(1000 * i + 4, tuple(y.shape))))
        name = f"{i:03d}."
        tensors[name + "options"] = np.array([c[field] for field in FIELDS], dtype=np.int64)
        tensors.update({name + "y": y, name + "dx": x.grad, name + "dw": w.grad})
        if b is not None:
            tensors[name + "db"] = b.grad
    for need in ("groups", "dh", "sh", "oph"):
        assert sum(c[need] > 1 for c in cases) > 3, need
    assert sum(c["sh"] > c["FH"] for c in cases) > 3 and sum(c["pt"] != c["pb"] for c in cases) > 20
    return tensors


# --- Layers and losses ------------------------------------------------------------------------------
def layers():
    tensors = {}

    def one(name, module, x, image=True, backward=True):
        """Result and gradients of a module; its parameters keep their own names."""
        x = leaf(x)
        y = module(to_nchw(x) if image else x)
        if y.dim() == 4:
            y = to_nhwc(y)
        y.backward(torch.from_numpy(random_real(99, tuple(y.shape))))
        tensors.update({f"{name}.y": y, f"{name}.dx": x.grad})
        for parameter, value in module.named_parameters():
            tensors[f"{name}.grad.{parameter}"] = value.grad.clone()  # in PyTorch's layout

    class Pixelwise(nn.Module):
        """A module of rows, on the channels of each pixel."""

        def __init__(self, rows):
            super().__init__()
            self.rows = rows

        def forward(self, x):
            return self.rows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

        def named_parameters(self):
            return self.rows.named_parameters()

    image = random_real(11, (3, 6, 7, 4))
    one("conv2d", formula_state(nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2), 100), image)
    one("conv_transpose2d",
        formula_state(nn.ConvTranspose2d(4, 6, (3, 4), (2, 3), (1, 1), (1, 2), groups=2), 110), image)
    one("linear", formula_state(nn.Linear(7, 5), 120), random_real(12, (6, 7)), image=False)
    one("linear_no_bias", formula_state(nn.Linear(7, 5, bias=False), 130), random_real(12, (6, 7)),
        image=False)

    norm = formula_state(nn.BatchNorm2d(4), 140)
    norm(to_nchw(torch.from_numpy(random_real(13, (2, 5, 3, 4)))))
    one("batch_norm2d", norm, image)
    tensors["batch_norm2d.running_mean"] = norm.running_mean.clone()
    tensors["batch_norm2d.running_var"] = norm.running_var.clone()
    tensors["batch_norm2d.num_batches_tracked"] = norm.num_batches_tracked.clone()
    norm.zero_grad()
    one("batch_norm2d_eval", norm.eval(), image)

    one("max_pool2d", nn.MaxPool2d(2), image)
    one("max_pool2d_overlap", nn.MaxPool2d((3, 2), (2, 1), (1, 1)), image)
    one("max_pool2d_dilated", nn.MaxPool2d(2, 1, 0, dilation=(2, 3)), image)
    one("avg_pool2d", nn.AvgPool2d((2, 3)), image)
    one("avg_pool2d_padded", nn.AvgPool2d(3, 2, 1), image)
    one("avg_pool2d_inside", nn.AvgPool2d(3, 2, 1, count_include_pad=False), image)
    one("max_pool2d_ceil", nn.MaxPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True), image)
    one("avg_pool2d_ceil", nn.AvgPool2d(3, 2, 1, ceil_mode=True), image)
    one("avg_pool2d_ceil_bare", nn.AvgPool2d(2, 3, ceil_mode=True), image)
    one("avg_pool2d_ceil_inside", nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        image)
    one("global_avg_pool2d", nn.AdaptiveAvgPool2d(1), image)
    one("linear_of_images", Pixelwise(formula_state(nn.Linear(4, 5), 120)), image)
    one("softmax_over_columns", nn.Softmax(3), image)
    one("log_softmax_over_rows", nn.LogSoftmax(2), image)
    for corners in (False, True):
        name = "bilinear_corners" if corners else "bilinear"
        one(name, nn.Upsample((12, 10), mode="bilinear", align_corners=corners), image)
        one(name + "_less", nn.Upsample((4, 9), mode="bilinear", align_corners=corners), image)
    one("relu", nn.ReLU(), image)
    one("leaky_relu", nn.LeakyReLU(0.1), image)
    one("sigmoid", nn.Sigmoid(), 4.0 * image)
    one("tanh", nn.Tanh(), 2.0 * image)
    one("gelu", nn.GELU(), 4.0 * image)
    one("flatten", nn.Flatten(), image)
    one("dropout_eval", nn.Dropout(0.4).eval(), image)
    one("basic_block", formula_state(BasicBlock(4, 8, 2), 150), image)
    one("basic_block_project",
        formula_state(BasicBlock(4, 8, 2, project=True, slope=0.01), 190), image)

    class Join(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("0", nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU()))
            self.add_module("pool", nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1)))

        def forward(self, x):
            return torch.cat([branch(x) for branch in self.children()], 1)

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(nn.Conv2d(4, 5, 3, 1, 1), nn.Tanh())
            self.shortcut = nn.Sequential(nn.Conv2d(4, 5, 1, bias=False))

        def forward(self, x):
            return self.main(x) + self.shortcut(x)

    one("concat", formula_state(Join(), 170), image)
    one("residual", formula_state(Sum(), 180), image)

    labels = torch.tensor([(3 * i + 1) % 5 for i in range(8)])
    for name, loss in (("cross_entropy", nn.CrossEntropyLoss()),
                       ("cross_entropy_smooth", nn.CrossEntropyLoss(label_smoothing=0.1))):
        logits = leaf(5.0 * random_real(14, (8, 5)))
        value = loss(logits, labels)
        value.backward()
        tensors.update({f"{name}.y": value, f"{name}.dx": logits.grad})
    pixels = torch.tensor([[[(5 * i + 3 * j + n) % 5 for j in range(4)] for i in range(3)]
                           for n in range(2)])
    for name, loss in (("pixel_cross_entropy", nn.CrossEntropyLoss()),
                       ("pixel_cross_entropy_ignore", nn.CrossEntropyLoss(ignore_index=2)),
                       ("pixel_cross_entropy_smooth",
                        nn.CrossEntropyLoss(ignore_index=2, label_smoothing=0.1))):
        logits = leaf(5.0 * random_real(17, (2, 3, 4, 5)))
        value = loss(to_nchw(logits), pixels)
        value.backward()
        tensors.update({f"{name}.y": value, f"{name}.dx": logits.grad})
    logits = leaf(8.0 * random_real(18, (4, 6)))
    value = nn.BCEWithLogitsLoss()(logits, torch.from_numpy(0.5 + 0.5 * random_real(19, (4, 6))))
    value.backward()
    tensors.update({"bce_with_logits.y": value, "bce_with_logits.dx": logits.grad})
    for name, loss in (("mse", nn.MSELoss()), ("l1", nn.L1Loss()), ("huber", nn.HuberLoss(delta=0.4))):
        x = leaf(random_real(15, (4, 6)))
        value = loss(x, torch.from_numpy(random_real(16, (4, 6))))
        value.backward()
        tensors.update({f"{name}.y": value, f"{name}.dx": x.grad})
    return tensors


# --- Training steps ---------------------------------------------------------------------------------
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=5e-4),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "adam_decay": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=1e-2),
}


# Model, steps, optimisers.
RUNS = (("lenet5", 10, list(OPTIMIZERS)), ("resnet20", 10, ["nesterov", "adam", "adamw"]),
        ("resnet18", 3, ["nesterov"]), ("alexnet", 3, ["nesterov"]), ("vgg16", 3, ["adam"]),
        ("googlenet", 3, ["nesterov"]), ("autoencoder", 3, ["nesterov", "adam"]))


def training():
    tensors = {}
    for name, steps, used in RUNS:
        for optimizer_name in used:
            model = formula_state(MODELS[name](), 5000)
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()  # its random numbers are PyTorch's own
            optimizer = OPTIMIZERS[optimizer_name](model.parameters())
            losses, sums, firsts = [], [], []
            for step in range(steps):
                height, width, channels = model.image
                images = formula_images(7000 + step, 4, height, width, channels)
                labels = torch.tensor([(7 * (4 * step + i) + 3) % 10 for i in range(4)])
                optimizer.zero_grad()
                output = model(images)
                loss = (F.mse_loss(output, images) if output.shape == images.shape else
                        F.cross_entropy(output, labels))
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                floats = [t.numpy() for t in model.state_dict().values() if t.is_floating_point()]
                sums.append([float((t * random_real(8000, t.shape)).sum()) for t in floats])
                firsts.append([float(t.flat[0]) for t in floats])
            key = f"{name}.{optimizer_name}."
            tensors[key + "losses"] = np.array(losses)
            tensors[key + "sums"] = np.array(sums)      # [step, tensor]: weighted sum of elements
            tensors[key + "firsts"] = np.array(firsts)  # [step, tensor]: element 0
    return tensors


def main():
    for name, make in (("convolutions", convolutions), ("layers", layers), ("training", training)):
        path = os.path.join(HERE, name + ".safetensors")
        tensors = make()
        write_safetensors(path, tensors, METADATA)
        print(f"{name}.safetensors: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
