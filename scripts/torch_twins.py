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


class Mlp(nn.Module):
    """models/mlp.h"""

    image = (28, 28, 1)

    def __init__(self, classes=10):
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


def conv3x3(before, channels, stride=1):
    return nn.Conv2d(before, channels, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    """models/basic_block.h; `project` says which shortcut it has"""

    def __init__(self, before, channels, stride, project=False, slope=0.0):
        super().__init__()
        self.conv1 = conv3x3(before, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.added, self.slope = stride, channels - before, slope
        self.downsample = nn.Sequential()
        if project and (self.added or stride != 1):
            self.downsample = nn.Sequential(conv3x3(before, channels, stride),
                                            nn.BatchNorm2d(channels))

    def shortcut(self, x):
        if len(self.downsample) > 0 or (not self.added and self.stride == 1):
            return self.downsample(x)
        half = self.added // 2  # option A: subsampled pixels, new channels of zeros
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.added - half))

    def forward(self, x):
        y = F.leaky_relu(self.bn1(self.conv1(x)), self.slope)
        return F.leaky_relu(self.bn2(self.conv2(y)) + self.shortcut(x), self.slope)


def stage(blocks, before, channels, stride, **options):
    chain = [BasicBlock(before, channels, stride, **options)]
    chain += [BasicBlock(channels, channels, 1, **options) for _ in range(blocks - 1)]
    return nn.Sequential(*chain)


class ResNetCifar(nn.Module):
    """models/resnet_cifar.h; depth 6n+2"""

    image = (32, 32, 3)

    def __init__(self, depth=20, classes=10):
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(blocks, 16, 16, 1)
        self.layer2 = stage(blocks, 16, 32, 2)
        self.layer3 = stage(blocks, 32, 64, 2)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class ResNet(nn.Module):
    """models/resnet.h; depth 18 or 34, a stem 7x7 of stride 2 or 3x3 of stride 1"""

    image = (32, 32, 3)

    def __init__(self, depth=18, stem=7, classes=10):
        super().__init__()
        blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}[depth]
        options = {"project": True, "slope": 0.01}
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False) if stem == 7 else conv3x3(3, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(blocks[0], 64, 64, 1, **options)
        self.layer2 = stage(blocks[1], 64, 128, 2, **options)
        self.layer3 = stage(blocks[2], 128, 256, 2, **options)
        self.layer4 = stage(blocks[3], 256, 512, 2, **options)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(512, 128), nn.LeakyReLU(),
                                        nn.Dropout(0.1), nn.Linear(128, classes))

    def forward(self, x):
        x = F.leaky_relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.classifier(x.mean((2, 3)))


class AlexNet(nn.Module):
    """models/alexnet.h"""

    image = (32, 32, 3)

    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 6, 2, 2), nn.LeakyReLU(), nn.BatchNorm2d(96), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(96, 256, 5, 1, 2), nn.LeakyReLU(), nn.BatchNorm2d(256), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(256, 384, 3, 1, 1), nn.LeakyReLU(),
            nn.Conv2d(384, 384, 3, 1, 1), nn.LeakyReLU(),
            nn.Conv2d(384, 256, 3, 1, 1), nn.BatchNorm2d(256), nn.LeakyReLU(),
            nn.MaxPool2d(3, 2, 1))
        self.classifier = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(1024, 512), nn.LeakyReLU(),
            nn.Dropout(0.1), nn.Linear(512, 256), nn.LeakyReLU(), nn.Linear(256, classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Vgg(nn.Module):
    """models/vgg.h; depth 16 or 19"""

    image = (32, 32, 3)

    def __init__(self, depth=16, classes=10):
        super().__init__()
        late = {16: 3, 19: 4}[depth]
        chain, before = [], 3
        for i, (count, channels) in enumerate(((2, 64), (2, 128), (late, 256), (late, 512),
                                               (late, 512))):
            for _ in range(count):
                chain += [conv3x3(before, channels), nn.LeakyReLU()]
                before = channels
            chain += [nn.BatchNorm2d(channels)] if i < 4 else []
            chain.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*chain)
        self.classifier = nn.Sequential(
            nn.Linear(512, 256, bias=False), nn.LeakyReLU(), nn.Dropout(0.1),
            nn.Linear(256, 128, bias=False), nn.LeakyReLU(), nn.Dropout(0.1),
            nn.Linear(128, classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Inception(nn.Module):
    """models/googlenet.h"""

    def __init__(self, before, a, b_reduced, b, c_reduced, c, pool):
        super().__init__()

        def conv(before, channels, size):
            return nn.Conv2d(before, channels, size, 1, size // 2), nn.LeakyReLU()

        self.branch1 = nn.Sequential(*conv(before, a, 1))
        self.branch2 = nn.Sequential(*conv(before, b_reduced, 1), *conv(b_reduced, b, 3))
        self.branch3 = nn.Sequential(*conv(before, c_reduced, 1), *conv(c_reduced, c, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(before, pool, 1))

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children()], 1)


class GoogLeNet(nn.Module):
    """models/googlenet.h"""

    image = (32, 32, 3)

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 5, 1, 2)
        self.conv2 = nn.Conv2d(64, 192, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(192)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.bn3 = nn.BatchNorm2d(480)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(1024, 256), nn.LeakyReLU(),
                                        nn.Dropout(0.1), nn.Linear(256, classes))

    def forward(self, x):
        x = F.max_pool2d(F.leaky_relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.leaky_relu(self.bn2(self.conv2(x))), 2)
        x = F.max_pool2d(self.bn3(self.inception3b(self.inception3a(x))), 2)
        x = self.inception4d(self.inception4c(self.inception4b(self.inception4a(x))))
        x = F.max_pool2d(self.inception4e(x), 2)
        return self.classifier(self.inception5b(self.inception5a(x)).mean((2, 3)))


class Autoencoder(nn.Module):
    """models/autoencoder.h"""

    image = (28, 28, 1)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(),
                                     nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
                                     nn.Conv2d(32, 4, 3, 1, 1))
        self.decoder = nn.Sequential(nn.Conv2d(4, 32, 3, 1, 1), nn.ReLU(),
                                     nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
                                     nn.ConvTranspose2d(16, 1, 4, 2, 1))

    def forward(self, x):
        return self.decoder(self.encoder(x))


# By the names of models/registry.cpp: what makes the twin of each.
MODELS = {
    "lenet5": LeNet5,
    "mlp": Mlp,
    "resnet20": ResNetCifar,
    "resnet32": lambda: ResNetCifar(32),
    "resnet56": lambda: ResNetCifar(56),
    "resnet18": ResNet,
    "resnet34": lambda: ResNet(34),
    "resnet18_3x3stem": lambda: ResNet(18, stem=3),
    "resnet34_3x3stem": lambda: ResNet(34, stem=3),
    "alexnet": AlexNet,
    "vgg16": Vgg,
    "vgg19": lambda: Vgg(19),
    "googlenet": GoogLeNet,
    "autoencoder": Autoencoder,
}

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
