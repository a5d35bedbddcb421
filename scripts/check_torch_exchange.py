#!/usr/bin/env python3
"""Shows that a safetensors file moves between CKS and PyTorch unchanged: CKS writes each of its
models, PyTorch loads it with strict keys and gives the same output to 1e-4, and back.

  python3 scripts/check_torch_exchange.py BUILD_DIR [MODEL ...]   # needs numpy and torch >= 1.13

Without a model: all. BUILD_DIR is a build folder with the target state_exchange. Exit status 0 if everything fits, 1 if
not, 77 without torch (CTest counts that as skipped).
"""
import os
import subprocess
import sys
import tempfile

try:
    import torch
    from torch_twins import (MODELS, formula_images, formula_state, read_safetensors,
                             write_safetensors)
except ImportError as error:
    print(f"check_torch_exchange: needs numpy and torch ({error})", file=sys.stderr)
    sys.exit(77)

TOLERANCE = 1e-4
BATCH = 8
OUTPUT = "exchange.output"


def images_of(model, seed):
    return formula_images(seed, BATCH, *model.image).float()


def evaluate(model):
    model.eval()
    with torch.no_grad():
        output = model(images_of(model, 1))
    return output.permute(0, 2, 3, 1).contiguous() if output.dim() == 4 else output


def from_cks(tool, name, build, path):
    subprocess.run([tool, "write", name, path], check=True)
    state = read_safetensors(path)
    expected = state.pop(OUTPUT)
    model = build()
    model.load_state_dict(state, strict=True)
    error = float((evaluate(model) - expected).abs().max())
    print(f"{name}: from CKS to PyTorch, {len(state)} tensors, outputs up to "
          f"{float(expected.abs().max()):.3g}, greatest difference {error:.3g}", flush=True)
    return error <= TOLERANCE


def to_cks(tool, name, build, path):
    model = formula_state(build(), 5)  # of a variance at which no signal fades
    with torch.no_grad():
        for seed in range(2, 12):
            model(images_of(model, seed))  # running statistics that are not the first ones
    tensors = dict(model.state_dict())
    tensors[OUTPUT] = evaluate(model)
    write_safetensors(path, tensors)
    return subprocess.run([tool, "compare", name, path], check=False).returncode == 0


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    tool = os.path.join(sys.argv[1], "tests", "state_exchange")
    if not os.path.exists(tool):
        print(f"check_torch_exchange: there is no {tool}; build the target state_exchange, which "
              "CKS_BUILD_TESTS=ON has", file=sys.stderr)
        return 1
    known = subprocess.run([tool, "list"], check=True, capture_output=True, text=True).stdout.split()
    names = sys.argv[2:] or known
    if missing := [name for name in names if name not in MODELS]:
        print(f"check_torch_exchange: no twin of {', '.join(missing)}; there are "
              f"{', '.join(MODELS)}", file=sys.stderr)
        return 1
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = os.path.join(folder, "model.safetensors")
            ok &= from_cks(tool, name, MODELS[name], path)
            ok &= to_cks(tool, name, MODELS[name], path)
    print("state exchange with PyTorch", torch.__version__, "fits" if ok else "FAILS")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
