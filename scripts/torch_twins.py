"""PyTorch twins of the models of CKS, and what scripts that compare the two share: numbers that
both sides compute from an index, and safetensors files without the safetensors package.

Needs numpy and torch >= 1.13.
"""
import json
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


# --- Numbers that both sides make from (seed, index); the C++ side is tests/golden/golden.h ----------
def random_real(seed, shape):
    """Reals in (-1, 1) with 24 significant bits, so exact in float32 and in float64."""
    count = int(np.prod(shape, dtype=np.int64))
    index = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + index * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    steps = (z >> np.uint64(41)).astype(np.float64)
    return ((2.0 * steps + 1.0) / 8388608.0 - 1.0).reshape(shape)


def formula_state(model, seed):
    """Fills a model's state: filters and matrices uniform with variance 2/fan_in, scales around 1,
    the rest small, running statistics as they start. The i-th tensor of state_dict has seed+i."""
    state = model.state_dict()
    for i, (name, tensor) in enumerate(state.items()):
        if "running" in name or "num_batches" in name:
            continue
        values = random_real(seed + i, tuple(tensor.shape))
        if tensor.dim() > 1:
            values *= math.sqrt(6.0 / (tensor.numel() // tensor.shape[0]))
        elif name.endswith("weight"):
            values = 1.0 + 0.25 * values
        else:
            values *= 0.125
        state[name] = torch.from_numpy(values).to(tensor.dtype)
    model.load_state_dict(state)
    return model


def formula_images(seed, batch, height, width, channels):
    """[N,C,H,W] for PyTorch of what CKS sees as [N,H,W,C]."""
    return torch.from_numpy(random_real(seed, (batch, height, width, channels))).permute(0, 3, 1, 2)


# --- Models -----------------------------------------------------------------------------------------
class LeNet5(nn.Module):
    """models/lenet.h"""

    image = (28, 28, 1)

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class BasicBlock(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added = stride, channels - before

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added or self.stride != 1:  # option A: subsampled pixels, new channels of zeros
            half = self.added // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.added - half))
        return F.relu(y + x)


class ResNetCifar(nn.Module):
    """models/resnet_cifar.h; depth 6n+2"""

    image = (32, 32, 3)

    def __init__(self, depth=20, classes=10):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)

        def stage(before, channels, stride):
            chain = [BasicBlock(before, channels, stride)]
            chain += [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
            return nn.Sequential(*chain)

        self.layer1 = stage(16, 16, 1)
        self.layer2 = stage(16, 32, 2)
        self.layer3 = stage(32, 64, 2)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


MODELS = {"lenet5": LeNet5, "resnet20": ResNetCifar}

# --- safetensors: 8 bytes of header length, a JSON header, the elements -----------------------------
DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32, "U8": np.uint8}


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> array or torch tensor. metadata: str -> str."""
    codes = {np.dtype(kind): code for code, kind in DTYPES.items()}
    header, blobs, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        array = tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
        blob = array.tobytes()  # row-major; a scalar keeps its shape []
        header[name] = {"dtype": codes[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path):
    """name -> torch tensor"""
    with open(path, "rb") as file:
        content = file.read()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            array = np.frombuffer(content[start + begin:start + end], DTYPES[entry["dtype"]])
            tensors[name] = torch.from_numpy(array.reshape(entry["shape"]).copy())
    return tensors
