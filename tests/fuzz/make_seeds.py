#!/usr/bin/env python3
"""Makes the inputs that the fuzzers begin with: tests/fuzz/corpus/NAME/*, a lawful one of each kind.
Those whose names are hashes were found by fuzzing, and stay.

usage: tests/fuzz/make_seeds.py    (needs Debian's python3-pil)"""
import gzip
import io
import json
import math
import pathlib
import struct
import zlib

from PIL import Image

CORPUS = pathlib.Path(__file__).parent / "corpus"


def seed(reader, name, content):
    folder = CORPUS / reader
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def packed(content):
    return gzip.compress(content, mtime=0)


# --- datasets -------------------------------------------------------------------------------------

def idx_images(count, height, width):
    return struct.pack(">4I", 0x803, count, height, width) + bytes(i % 251 for i in range(count * height * width))


def idx_labels(labels):
    return struct.pack(">2I", 0x801, len(labels)) + bytes(labels)


def tar_header(name, size, kind=b"0", magic=b"ustar\x0000", prefix=b""):
    header = bytearray(512)
    header[0:len(name)] = name
    header[124:136] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:257 + len(magic)] = magic
    header[345:345 + len(prefix)] = prefix
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header)


def tar(files):
    return b"".join(header + content + bytes(-len(content) % 512) for header, content in files) + bytes(1024)


images, labels = idx_images(2, 3, 4), idx_labels([1, 2, 10])
for name, content in {"images": images, "labels": labels, "label_0": idx_labels([0]),
                      "swapped": struct.pack("<2I", 0x801, 1) + b"\1", "html": b"<!DOCTYPE html><html>"}.items():
    seed("idx", name, content)
    seed("idx", name + ".gz", packed(content))
seed("gzip", "plain", images)
seed("gzip", "members.gz", packed(images) + packed(b"") + packed(labels))
seed("gzip", "stored.gz", gzip.compress(images, 0, mtime=0))
seed("gzip", "zeros.gz", packed(bytes(1 << 16)))
seed("gzip", "cut.gz", packed(images)[:-3])
seed("gzip", "followed.gz", packed(images) + b"x")
archive = tar([(tar_header(b"folder/", 0, b"5"), b""), (tar_header(b"train.bin", 700), bytes(700)),
               (tar_header(b"old", 3, b"\0", b""), b"abc"), (tar_header(b"name", 5, prefix=b"long/prefix"), b"12345")])
seed("tar", "archive.tar", archive)
seed("tar", "archive.tar.gz", packed(archive))
seed("tar", "cut.tar", archive[:1300])
seed("tar", "followed.tar", archive + b"x")
fine = "\n".join(f"class {i}" for i in range(100))
coarse = "\r\n".join(f"c{i}" for i in range(20))
for kind, byte in (("folder", b"\0"), ("archive", b"\1")):  # coarse, any count, pattern of 16 bytes, ...
    tail = byte + b"\1\0\1\0" + (b"\1" if kind == "archive" else b"")
    seed("cifar", kind + "_fine", b"\0\1" + tail + fine.encode())
    seed("cifar", kind + "_coarse", b"\1\1" + tail + coarse.encode())
    seed("cifar", kind + "_published_count", b"\0\0" + tail + fine.encode())
# --- pictures -------------------------------------------------------------------------------------

ramp = Image.new("RGB", (16, 12))
ramp.putdata([(16 * x, 20 * y, (x * y) % 256) for y in range(12) for x in range(16)])


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, interlaced=0, chunks=b""):
    header = png_chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


grey, alpha = ramp.convert("L"), ramp.convert("RGBA")
alpha.putalpha(grey)
for name, content in {
    "rgb.png": saved(ramp, "PNG"), "grey.png": saved(grey, "PNG"), "alpha.png": saved(alpha, "PNG"),
    "grey_alpha.png": saved(alpha.convert("LA"), "PNG"), "palette.png": saved(ramp.quantize(7), "PNG", transparency=2),
    "bits.png": saved(ramp.convert("1"), "PNG"),
    "sixteen.png": png(2, 2, 16, 2, b"".join(b"\4" + bytes(range(12)) for _ in range(2))),
    "interlaced.png": png(3, 3, 8, 0, bytes(40), interlaced=1),
    "key.png": png(2, 1, 8, 0, b"\0\1\2", chunks=png_chunk(b"tRNS", b"\0\1") + png_chunk(b"tEXt", b"a\0b")),
    "baseline.jpg": saved(ramp, "JPEG", quality=60), "grey.jpg": saved(grey, "JPEG"),
    "progressive.jpg": saved(ramp, "JPEG", progressive=True), "sampled.jpg": saved(ramp, "JPEG", subsampling=2),
    "cmyk.jpg": saved(ramp.convert("CMYK"), "JPEG", quality=40),
    "rgb.bmp": saved(ramp, "BMP"), "palette.bmp": saved(ramp.quantize(16), "BMP"), "bits.bmp": saved(ramp.convert("1"), "BMP"),
    "alpha.bmp": saved(alpha, "BMP"), "frame.gif": saved(ramp.quantize(16), "GIF"),
    "frames.gif": saved(grey, "GIF", save_all=True, append_images=[grey.rotate(180)], interlace=1),
    "webp": b"RIFF\0\0\0\0WEBP", "tiff": b"II*\0", "heic": b"\0\0\0\x18ftypheic", "text": b"<html>",
}.items():
    seed("image", name, content)
jpeg = saved(ramp.resize((9, 9)), "JPEG", quality=30)
for order, mark, orientation in (("<", b"II*\0", 6), (">", b"MM\0*", 3)):
    entry = struct.pack(order + "2HIH2x", 0x112, 3, 1, orientation)
    block = b"Exif\0\0" + mark + struct.pack(order + "IH", 8, 2) + struct.pack(order + "2HII", 0x100, 4, 1, 9) + entry
    seed("image", f"exif{ord(mark[:1:])}.jpg", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:])
seed("image", "endless.jpg", jpeg[:-2])
seed("image", "restarts.jpg", jpeg[:2] + b"\xff\xdd\0\4\0\1" + jpeg[2:])
seed("image", "endless_restarts.jpg", jpeg[:2] + b"\xff\xdd\0\4\0\2" + jpeg[2:-2])
seed("image", "endless_sampled.jpg", jpeg[:2] + b"\xff\xdd\0\4\0\1" + saved(ramp, "JPEG", subsampling=2)[2:-2])
seed("image", "endless_grey.jpg", jpeg[:2] + b"\xff\xdd\0\4\0\4" + saved(grey, "JPEG")[2:-2])
seed("image", "endless.gif", saved(ramp.quantize(4), "GIF")[:-1])

digit = bytes(255 - max(0, 230 - int(40 * abs(math.hypot(x - 20, y - 20) - 11))) for y in range(41) for x in range(41))
seed("digit", "ring_on_paper", bytes([40, 40, 0]) + digit)
seed("digit", "ring_on_nothing", bytes([40, 40, 1]) + digit)
seed("digit", "light_on_dark", bytes([40, 40, 0]) + bytes(255 - value for value in digit))
seed("digit", "ready", bytes([27, 27, 0]) + bytes(255 if 8 < i % 28 < 19 and 8 < i // 28 < 19 else 0 for i in range(784)))
seed("digit", "shadow", bytes([40, 40, 0]) + bytes(v // (2 if i % 41 < 12 else 1) for i, v in enumerate(digit)))

# --- weights and runs ------------------------------------------------------------------------------


def checksum(pieces):
    total, mask = 0, (1 << 64) - 1
    for piece in pieces:
        for at in range(0, len(piece), 8):
            word = int.from_bytes(piece[at:at + 8], "little")
            total = (total ^ word) * 0x9e3779b97f4a7c15 & mask
            total ^= total >> 32
    return f"{total:016x}"


BITS = {"F32": 32, "F64": 64, "BF16": 16, "I64": 64, "I32": 32, "U8": 8, "F16": 16, "BOOL": 8, "I8": 8, "I16": 16,
        "U16": 16, "U32": 32, "U64": 64, "F8_E4M3": 8, "F4": 4, "C64": 64}


def safetensors(tensors, metadata=None, with_checksum=False, data_byte=None):
    """`tensors`: name, type, shape."""
    header, end = {}, 0
    if metadata is not None or with_checksum:
        header["__metadata__"] = dict(metadata or {})
        if with_checksum:
            header["__metadata__"]["cks.checksum"] = "0" * 16
    for name, kind, shape in tensors:
        size = math.prod(shape) * BITS[kind] // 8
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":"))
    data = bytes(i % 7 if data_byte is None else data_byte for i in range(end))
    if with_checksum:
        pieces = [data[a:b] for a, b in (header[name]["data_offsets"] for name, _, _ in tensors)]
        text = text.replace("0" * 16, checksum([text.encode(), *pieces]), 1)
    return struct.pack("<Q", len(text)) + text.encode() + data


for kind in BITS:
    seed("safetensors", kind, safetensors([("a", kind, [2, 3]), ("bc", kind, [4])]))
seed("safetensors", "empty", safetensors([]))
seed("safetensors", "scalar", safetensors([("a", "F32", []), ("b", "U8", [0, 5])], {"key": "value"}))
seed("safetensors", "checksum", safetensors([("a", "F32", [3]), ("b", "U8", [3])], {"format": "pt"}, True))
entry = '"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
for name, header in {
    "name_twice": entry + "," + entry, "type_twice": entry.replace('"shape"', '"dtype":"U8","shape"'),
    "shape_twice": entry.replace('"shape"', '"shape":[2],"shape"'),
    "text_twice": '"__metadata__":{"a":"b","a":"c"}', "null": '"a":null', "truth": entry.replace("[2]", "true"),
    "one_offset": entry.replace("[0,2]", "[0]"), "three_offsets": entry.replace("[0,2]", "[0,1,2]"),
    "below_zero": entry.replace("[2]", "[-1]"), "huge": entry.replace("[2]", "[4294967296,4294967296,2]"),
}.items():
    seed("safetensors", name, struct.pack("<Q", len(header) + 2) + b"{" + header.encode() + b"}" + bytes(2))
seed("safetensors", "too_large", safetensors([("a", "U64", [1])], data_byte=255))
seed("safetensors", "zip", b"PK\3\4" + bytes(30))
net = [("fc.weight", "F32", [3, 2]), ("fc.bias", "F32", [3]), ("head.weight", "F32", [2, 3]), ("head.bias", "F32", [2])]
about = {"cks.model": "lenet5", "cks.class_names": '["cat","dog"]', "cks.mean": "[0.5]", "cks.std": "[0.25]",
         "cks.input": "[28,28,1]", "cks.fit": "crop", "cks.dataset": "drawn", "cks.notes": '{"epoch":"3"}'}
seed("weights", "whole", safetensors(net, about, True))
seed("weights", "prefix", safetensors([("module." + name, kind, shape) for name, kind, shape in net]))
seed("weights", "other_head", safetensors(net[:2] + [("head.weight", "F32", [5, 3]), ("head.bias", "F32", [5])]))
seed("weights", "no_head", safetensors(net[:2]))
seed("weights", "unused", safetensors(net + [("more", "F64", [1]), ("unread", "F4", [2])]))
seed("weights", "numbers", safetensors([], about | {"cks.input": "[28,28]", "cks.mean": "[1e99]", "cks.fit": "none"}))
state = {"epoch": 1, "batch": 2, "step": 3, "images": 4, "seconds": "1.5", "train_seconds": "1", "learning_rate": "0.1",
         "running_loss_sum": "2.5", "running_correct": 3, "running_images": 4, "test_loss": "inf", "test_accuracy": "0.5",
         "best_test_accuracy": "0.5", "best_test_loss": "nan", "best_epoch": 1, "precision": "fp32",
         "identity": {"model": "linear"}, "conv_plans": {}}
seed("train_state", "text", json.dumps(state))
linear = [("model.weight", "F32", [1, 2]), ("model.bias", "F32", [1])]
adam = [("optimizer.learning_rate", "F64", []), ("optimizer.step", "I64", [])]
adam += [(f"optimizer.{name}.{part}", kind, shape if kind == "F32" else [])
         for name, kind in (("exp_avg", "F32"), ("exp_avg_sq", "F32"), ("step", "I64"))
         for part, shape in (("weight", [1, 2]), ("bias", [1]))]
average = [("average.steps", "I64", []), ("average.weight", "F32", [1, 2]), ("average.bias", "F32", [1])]
for name, tensors, identity, version in (
        ("run", linear + adam, {"model": "linear"}, "2"), ("averaged", linear + adam + average, {}, "2"),
        ("without", linear, {"model": "linear"}, "2"), ("version", linear + adam, {}, "3"),
        ("not_adam", linear + [("optimizer.x", "F32", [1])], {"model": "linear"}, "2")):
    text = json.dumps(state | {"identity": identity})
    seed("train_state", name, safetensors(tensors, {"cks.state_version": version, "cks.state": text}, True))
resumed = json.dumps(state | {"identity": {"model": "linear"}})
for name, tensors, byte in (("negative", linear + adam, 255),
                            ("mis_shaped", linear + adam[:-1] + [("optimizer.step.bias", "F64", [2])], None)):
    seed("train_state", name, safetensors(tensors, {"cks.state_version": "2", "cks.state": resumed}, True, byte))
seed("train_state", "version_1", safetensors(linear + adam, {"cks.state_version": "1", "cks.state": json.dumps(state)}))
seed("train_state", "unsealed", safetensors(linear + adam, {"cks.state_version": "2", "cks.state": json.dumps(state)}))



def kept_pictures(paths, shape, kind="U8"):
    """One half of a cache: `paths`, all with the same stamp and no note."""
    names = b"".join(path + b"\0" for path in paths)
    parts = [("0.images", kind, shape, bytes(math.prod(shape) * BITS[kind] // 8)), ("0.paths", "U8", [len(names)], names),
             ("0.notes", "U8", [len(paths)], bytes(len(paths))),
             ("0.stamps", "I64", [len(paths), 3], struct.pack("<3q", 1, 2, 3) * len(paths))]
    header, end = {"__metadata__": {"way": "1, way", "cks.checksum": "0" * 16}}, 0
    for name, kind_, shape_, content in parts:
        header[name] = {"dtype": kind_, "shape": shape_, "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(header, separators=(",", ":"))
    text = text.replace("0" * 16, checksum([text.encode(), *(part[3] for part in parts)]), 1)
    return struct.pack("<Q", len(text)) + text.encode() + b"".join(part[3] for part in parts)


seed("picture_cache", "two", kept_pictures([b"a", b"b"], [2, 2, 2, 3]))
seed("picture_cache", "one", kept_pictures([b"a"], [1, 4, 1, 1]))
seed("picture_cache", "floats", kept_pictures([b"a"], [1, 2, 2, 1], "F32"))
seed("picture_cache", "flat", kept_pictures([b"a"], [1, 12]))

seed("config", "run.json", json.dumps({"build": {"program": "train_mnist"}, "conv_plans": {},
                                       "flags": {"epochs": "5", "lr": "0.1", "model": "mlp", "output-dir": "x"}}))
seed("config", "flags.json", '{"epochs": 5, "flip": true, "lr": 0.25, "text": "a", "data-dir": "b"}')
seed("config", "wrong.json", '{"resume": "x", "epoch": 1}')
seed("config", "deep.json", '{"flags":' + "[" * 40 + "]" * 40 + "}")
summary = {"test_accuracy": 0.9, "test_loss": 0.1, "best_test_accuracy": 0.9, "val_accuracy": 0.5, "val_loss": 0.5,
           "best_val_accuracy": 0.5, "stopped_early": True, "best_epoch": 2, "epochs": 3, "steps": 30, "seconds": 1.5,
           "images_per_second": 1e3, "device": "cpu", "peak_resident_bytes": 1, "peak_tensor_bytes": 1, "interrupted": False}
seed("summary", "validated.json", json.dumps(summary))
seed("summary", "tested.json", json.dumps({key: value for key, value in summary.items() if "val" not in key}))
seed("summary", "stopped.json", json.dumps(summary | {"epochs": 0, "test_accuracy": None}))
seed("summary", "deep.json", json.dumps(summary).replace('"best_epoch": 2', '"best_epoch": ' + "[" * 40 + "]" * 40))
for half in ("test", "val"):
    head = f"epoch,step,seconds,train_loss,train_acc,{half}_loss,{half}_acc,lr,images_per_s,peak_mib\n"
    seed("metrics", half + ".csv", head + "1,10,1.5,0.5,0.9,inf,nan,0.001,1000,50\n2,20,3,0.4,1e-3,0.3,0.9,0.001,1000,5")

# --- texts -----------------------------------------------------------------------------------------

seed("flags", "all", "--model=mlp\n--data-dir\nx\n--device\ncuda:1\n--text\na\n-b\n5\n--quiet\n-q=false\nfile\nmore\n")
seed("flags", "resume", "--resume\n--text=b\n--lr\n0.5")
seed("flags", "help", "--help")
seed("flags", "version", "--version")
seed("flags", "man", "--man")
seed("flags", "bash", "--completion\nbash")
seed("flags", "zsh", "--completion=zsh")
seed("flags", "set", "quiet\nmaybe")
seed("flags", "wrong", "--modle\nx\n-batch\n--lr=1e9\n--batch-size=-1\n28x28x1\nletterbox\ncuda")
seed("conv_plan", "all", "forward=reference,backward_data=ks_deconv,backward_filter=simd")
seed("conv_plan", "wrong", "forwards=x,=,")
title = "cks convolution plans 0.1.0\n"
line = "cpu with vectors of 16 bytes | forward | N 2, 4x4x2 to 4x4x3 | simd fp32 4 8 1 1 512\n"
seed("plan_cache", "answers", title + line + line.replace("forward", "backward_data"))
seed("plan_cache", "older", title.replace("0.1.0", "0.0.9") + line)
seed("plan_cache", "wrong", title + "x | simd fp32 4 8")
seed("shapes", "list", "resnet20")
seed("shapes", "two", "128x32x32x16,32,k3,s2,p1;1x1x1x1,1,k1,s1,p0")
seed("shapes", "wrong", "0x3x3x3,3,k9,s0,p-1")
