"""What the tensorboard package reads in the files that --tensorboard writes, beside the run's own numbers.

usage: tensorboard_test.py PROGRAMS     PROGRAMS: a folder with the training programs
Without the package tensorboard the exit status is 77: skipped.
"""
import csv
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"tensorboard_test: needs tensorboard ({error})")
    sys.exit(77)

PROGRAMS = pathlib.Path(sys.argv.pop())


def train(program, folder, *more):
    subprocess.run([PROGRAMS / program, "--dataset", "drawn", "--limit-train", "640", "--limit-test", "100",
                    "--batch-size", "64", "--quiet", "--device", "cpu", "--tensorboard", *more, "--output-dir", folder],
                   check=True, stdout=subprocess.DEVNULL)
    return read(folder)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def values(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def pixels(image):
    """Height, width and the bytes of a grey PNG file without filters' work: its size is checked against both."""
    data = image.encoded_image_string
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (height, width) == (image.height, image.width) and depth == 8
    packed, at = b"", 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    assert len(zlib.decompress(packed)) == height * (1 + width * {0: 1, 2: 3}[kind])
    return height, width


class TensorBoard(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / "run"

    def test_every_tag_of_a_run(self):
        events = train("train_mnist", self.folder, "--epochs", "2")
        steps = list(range(1, 21))
        scalars = {"train/loss", "train/learning_rate", "train/gradient_norm", "train/images_per_second",
                   "train/accuracy", "epoch/train_loss", "epoch/train_accuracy", "test/loss", "test/accuracy"}
        self.assertEqual(set(events.Tags()["scalars"]), scalars)
        for tag in scalars:
            expected = steps if tag.startswith("train/") else [10, 20]
            self.assertEqual([step for step, _ in values(events, tag)], expected, tag)
        with open(self.folder / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for tag, column in (("test/accuracy", "test_acc"), ("test/loss", "test_loss"),
                            ("epoch/train_loss", "train_loss"), ("epoch/train_accuracy", "train_acc")):
            for (_, value), row in zip(values(events, tag), rows, strict=True):
                self.assertAlmostEqual(value, float(row[column]), 5, tag)
        self.assertLessEqual({"filters", "confusion"}, set(events.Tags()["images"]))
        confusion, = events.Images("confusion")
        self.assertEqual(pixels(confusion), (240, 240))
        self.assertEqual(confusion.step, 20)
        filters, = events.Images("filters")
        self.assertGreater(min(pixels(filters)), 30)

    def test_resume_takes_back_what_it_repeats(self):
        train("train_mnist", self.folder, "--epochs", "1")
        more = ["--resume", str(self.folder), "--epochs", "3"]
        subprocess.run([PROGRAMS / "train_mnist", *more, "--quiet", "--tensorboard"], check=True,
                       stdout=subprocess.DEVNULL)
        events = read(self.folder)
        self.assertEqual([step for step, _ in values(events, "train/loss")], list(range(1, 31)))
        self.assertEqual(len(list(self.folder.glob("events.out.tfevents.*"))), 4)

    def test_without_the_flag_there_is_none(self):
        train("train_mnist", self.folder, "--epochs", "1", "--tensorboard=false")
        self.assertEqual(list(self.folder.glob("events*")), [])

    def test_autoencoder(self):
        events = train("train_autoencoder", self.folder, "--epochs", "1")
        self.assertNotIn("test/accuracy", events.Tags()["scalars"])
        self.assertEqual(len(values(events, "train/loss")), 10)
        self.assertEqual(len(events.Tags()["images"]), 2)
        summary = json.loads((self.folder / "summary.json").read_text())
        self.assertAlmostEqual(values(events, "test/loss")[-1][1], summary["test_loss"], 5)


if __name__ == "__main__":
    unittest.main()
