"""What onnx.checker and onnxruntime make of the files that export_onnx() writes: every registered model, trees
of layers, every operation, each beside what CKS computes, with batches of 1 and 7.

usage: onnx_test.py ONNX_EXCHANGE PROGRAMS    PROGRAMS: a folder with export, predict and training programs
Without the packages onnx, onnxruntime and numpy the exit status is 77: skipped.
"""
import collections
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

try:
    import json

    import numpy
    import onnx
    import onnxruntime
except ImportError as error:
    print(f"onnx_test: needs onnx, onnxruntime and numpy ({error})")
    sys.exit(77)

TOLERANCE = 1e-5  # of the largest element
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1"}
# What has no counterpart: losses, what is recorded for training alone, comparisons (they are off the tape), a condition
# as long as the batch, random numbers.
REFUSED = re.compile(r"operation ((batch_norm2d|bce_with_logits|cross_entropy|dropout|mse_loss)\b.*|where|"
                     r"where of a comparison.*|add of fill_uniform|mul by fill_normal)")


def read(path):
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin:8 + size + end]
            tensors[name] = numpy.frombuffer(raw, DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def session_of(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return model, onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session, images):
    return session.run(["output"], {"input": images})[0]


def difference(got, expected):
    """Relative to the largest element; infinite for another shape or where one is NaN and the other is not."""
    if got.shape != expected.shape or (numpy.isnan(got) != numpy.isnan(expected)).any():
        return float("inf")
    if expected.size == 0:
        return 0.0
    scale = numpy.nanmax(numpy.abs(expected), initial=0.0) or 1.0
    return float(numpy.nanmax(numpy.abs(got - expected), initial=0.0) / scale)


def check(path):
    """The greatest difference of one file, and its session."""
    tensors = read(path.with_suffix(".safetensors"))
    model, session = session_of(path)
    worst = 0.0
    for key in [key for key in tensors if key.endswith(".input")]:
        given, expected = tensors[key], tensors[key.replace(".input", ".output")]
        if key.startswith("rows"):
            for batch in (1, 7):
                parts = [run(session, given[i:i + batch]) for i in range(0, len(given), batch)]
                worst = max(worst, difference(numpy.concatenate(parts), expected))
        else:
            worst = max(worst, difference(run(session, given), expected))
    return worst, model


def check_layout(path, model):
    """Of a model of images: the batch is free, channels come first, and nothing is turned on the way."""
    extents = model.graph.input[0].type.tensor_type.shape.dim
    operators = collections.Counter(node.op_type for node in model.graph.node)
    assert extents[0].dim_param == "N" and extents[1].dim_value in (1, 3), f"{path.stem}: input {extents}"
    assert operators["Transpose"] == 0, f"{path.stem}: {operators}"


def program(name, *arguments):
    outcome = subprocess.run([pathlib.Path(sys.argv[2]) / name, *arguments], text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    assert outcome.returncode == 0, f"{name} {arguments}: {outcome.stderr}"
    return outcome.stdout


def write_bmp(path, grey):
    """[H,W] of bytes, W a multiple of 4."""
    height, width = grey.shape
    pixels = numpy.repeat(grey[::-1, :, None], 3, axis=2).tobytes()
    path.write_bytes(struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) +
                     struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels)


def check_programs(folder):
    """A run's weights, exported, answer as predict does, by the metadata alone; those of an autoencoder go, too."""
    flags = ["--dataset", "drawn", "--limit-train", "512", "--limit-test", "64", "--epochs", "1", "--quiet",
             "--device", "cpu"]
    program("train_mnist", *flags, "--output-dir", folder / "run")
    file = folder / "digits.onnx"
    print(program("export", folder / "run/best.safetensors", "--onnx", file).strip())
    model, session = session_of(file)
    about = {entry.key: entry.value for entry in model.metadata_props}
    names = json.loads(about["cks.class_names"])
    height, width, channels = json.loads(about["cks.input"])
    assert names == [str(digit) for digit in range(10)] and channels == 1, about
    grey = numpy.random.default_rng(3).integers(0, 256, (height, width), dtype=numpy.uint8)
    write_bmp(folder / "noise.bmp", grey)
    answer = json.loads(program("predict", "--weights", folder / "run/best.safetensors", "--prepare", "none",
                                "--top-k", "10", "--json", "--device", "cpu", folder / "noise.bmp"))
    expected = {top["class"]: top["probability"] for top in answer["pictures"][0]["top"]}
    scaled = (grey / 255.0 - json.loads(about["cks.mean"])[0]) / json.loads(about["cks.std"])[0]
    logits = run(session, scaled[None, None].astype("float32"))[0].astype("float64")
    got = numpy.exp(logits) / numpy.exp(logits).sum()
    worst = max(abs(got[i] - expected[name]) for i, name in enumerate(names))
    print(f"export and predict on one picture: greatest difference of a probability {worst:.2g}")
    assert worst <= 1e-5, (got, expected)

    program("train_autoencoder", *flags, "--output-dir", folder / "drawer")
    program("export", folder / "drawer/best.safetensors", "--onnx", folder / "drawer.onnx")
    _, session = session_of(folder / "drawer.onnx")
    image = numpy.zeros((2, 1, 28, 28), "float32")
    assert run(session, image).shape == image.shape


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        check_programs(pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run([sys.argv[1], folder], check=True, text=True, stdout=subprocess.PIPE).stdout
        refused = re.findall(r"^refused (.*?): (.*)$", out, re.MULTILINE)
        for name, why in refused:
            if not REFUSED.fullmatch(name):
                print(f"FAILED {name}: refused: {why}")
                failed += 1
        counts = collections.Counter()
        worst = collections.Counter()
        for path in sorted(pathlib.Path(folder).glob("*.onnx")):
            kind = path.stem.split()[0]
            try:
                error, model = check(path)
                if kind == "model":
                    check_layout(path, model)
            except Exception as failure:  # whatever onnx and onnxruntime throw
                print(f"FAILED {path.stem}: {str(failure)[:400]}")
                failed += 1
                continue
            counts[kind] += 1
            worst[kind] = max(worst[kind], error)
            if kind == "model":
                print(f"{path.stem}: 100 images, batches of 1 and 7, greatest relative difference {error:.2g}")
            if not error <= TOLERANCE:
                print(f"FAILED {path.stem}: relative difference {error:.3g}")
                failed += 1
    for kind, count in counts.items():
        print(f"{count} {kind}s, greatest relative difference {worst[kind]:.2g}")
    print(f"{len(refused)} operations refused, {failed} failed")
    if counts["model"] < 9 or counts["operation"] < 60:
        print("FAILED: there should be more")
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
