#!/usr/bin/env python3
"""Runs scripts/draw_shapes.py and lets train_cifar read what it drew.

usage: draw_shapes_test.py PATH_OF_DRAW_SHAPES_PY PATH_OF_TRAIN_CIFAR
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TRAIN_CIFAR = pathlib.Path(sys.argv.pop(2)).resolve()
SCRIPT = pathlib.Path(sys.argv.pop(1)).resolve()


class DrawShapesTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def draw(self, folder, *arguments):
        return subprocess.run([sys.executable, SCRIPT, self.scratch / folder, *arguments],
                              capture_output=True, text=True)

    def files(self, folder):
        root = self.scratch / folder
        return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}

    def test_drawn_pictures_are_read(self):
        self.assertEqual(self.draw("pictures", "--count", "11").returncode, 0)
        result = subprocess.run(
            [TRAIN_CIFAR, "--dataset", "folder", "--data-dir", self.scratch / "pictures",
             "--image-size", "32", "--preset", "pictures", "--dry-run", "--device", "cpu"],
            capture_output=True, text=True, cwd=self.scratch)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("27 train, 6 test, 32x32x3, 3 classes", result.stderr)

    def test_the_same_seed_draws_the_same(self):
        for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            self.assertEqual(self.draw(folder, "--count", "5", "--seed", seed).returncode, 0)
        self.assertEqual(len(self.files("a")), 15)
        self.assertEqual(self.files("a"), self.files("b"))
        self.assertNotEqual(self.files("a"), self.files("c"))

    def test_a_folder_that_exists_is_left_alone(self):
        (self.scratch / "mine").mkdir()
        result = self.draw("mine")
        self.assertEqual(result.returncode, 1)
        self.assertIn("mine exists already", result.stderr)
        self.assertEqual(self.files("mine"), {})


if __name__ == "__main__":
    unittest.main()
