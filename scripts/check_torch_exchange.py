#!/usr/bin/env python3
"""Shows that a safetensors file moves between CKS and PyTorch unchanged: CKS writes LeNet-5 and
ResNet-20, PyTorch loads them with strict keys and gives the same logits to 1e-5, and back.

  python3 scripts/check_torch_exchange.py BUILD_DIR      # needs numpy and torch >= 1.13

BUILD_DIR is a build folder with the target state_exchange. Exit status 0 if everything fits, 1 if
not, 77 without torch (CTest counts that as skipped).
"""
import os
import subprocess
import sys
import tempfile

try:
    import torch
    from torch_twins import MODELS, formula_images, read_safetensors, write_safetensors
except ImportError as error:
    print(f"check_torch_exchange: needs numpy and torch ({error})", file=sys.stderr)
    sys.exit(77)

TOLERANCE = 1e-5
BATCH = 8
LOGITS = "exchange.logits"


def images_of(build, seed):
    return formula_images(seed, BATCH, *build.image).float()


def evaluate(model):
    model.eval()
    with torch.no_grad():
        return model(images_of(type(model), 1))


def from_cks(tool, name, build, path):
    subprocess.run([tool, "write", name, path], check=True)
    state = read_safetensors(path)
    expected = state.pop(LOGITS)
    model = build()
    model.load_state_dict(state, strict=True)
    error = float((evaluate(model) - expected).abs().max())
    print(f"{name}: from CKS to PyTorch, {len(state)} tensors, greatest difference of a logit "
          f"{error:.3g}")
    return error <= TOLERANCE


def to_cks(tool, name, build, path):
    torch.manual_seed(5)
    model = build()
    with torch.no_grad():
        for seed in range(2, 5):
            model(images_of(build, seed))  # running statistics that are not the first ones
    tensors = dict(model.state_dict())
    tensors[LOGITS] = evaluate(model)
    write_safetensors(path, tensors)
    return subprocess.run([tool, "compare", name, path], check=False).returncode == 0


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    tool = os.path.join(sys.argv[1], "tests", "state_exchange")
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for name, build in MODELS.items():
            ok &= from_cks(tool, name, build, os.path.join(folder, name + "_cks.safetensors"))
            ok &= to_cks(tool, name, build, os.path.join(folder, name + "_torch.safetensors"))
    print("state exchange with PyTorch", torch.__version__, "fits" if ok else "FAILS")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
