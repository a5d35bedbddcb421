#!/usr/bin/env python3
"""Keeps docs/from_pytorch.md true: its snippets compile, and no operation, layer or option is missing.

usage: from_pytorch_test.py COMPILER INCLUDE_DIR SOURCE_DIR
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv.pop(3)).resolve()
INCLUDE = pathlib.Path(sys.argv.pop(2)).resolve()
COMPILER = sys.argv.pop(1)
PAGE = (SOURCE / "docs/from_pytorch.md").read_text()

# What the page says of its names.
PROLOGUE = """
#include <iostream>
#include "cks/cks.h"
#include "cks/kernels/common/parallel_for.h"
using namespace cks;
"""
FUNCTION = """
[[maybe_unused]] void row_{number}(
    Tensor x, Tensor y, Tensor w, Tensor b, Tensor images, Tensor labels, Tensor running_mean,
    Tensor running_var, Tensor step, float* memory, Mlp& net, Adam& optimizer, ImageDataset data,
    DataLoader& loader, DataLoader& test_loader) {{
  {code};
}}
"""


def rows():
    """(heading, line number, snippets of the CKS column) of every row of every table."""
    heading = ""
    for number, line in enumerate(PAGE.split("\n"), start=1):
        if line.startswith("## "):
            heading = line[3:]
        if line.startswith("|") and not line.startswith(("|---", "| PyTorch |")):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 3, f"line {number} has {len(cells)} cells"
            yield heading, number, re.findall(r"`([^`]+)`", cells[1])


def public_names():
    """Operations, layers, and fields of options, from the headers."""
    for header in [*SOURCE.glob("core/ops/*.h"), SOURCE / "core/conv/conv2d.h",
                   SOURCE / "core/conv/matmul.h",
                   *SOURCE.glob("layers/*.h"), SOURCE / "core/optim/sgd.h",
                   SOURCE / "core/optim/adam.h", SOURCE / "core/optim/muon.h",
                   SOURCE / "core/optim/weight_average.h", SOURCE / "core/optim/lr_schedule.h",
                   SOURCE / "datasets/data_loader.h"]:
        if header.name.endswith("_impl.h") or header.stem in {
                "image_batch", "step_results", "output", "init", "module"}:
            continue  # for people who write operations and loaders
        text = re.sub(r"^\s*//.*$", "", header.read_text(), flags=re.M)
        text = re.sub(r"namespace ops \{.*?\n\}", "", text, flags=re.S)
        for name in re.findall(r"^(?:Tensor|LrFactor|void) (\w+)\(", text, flags=re.M):
            yield header.name, name
        for name in re.findall(r"^class (\w+) : public (?:Layer|WeightLayer)<\1", text, flags=re.M):
            yield header.name, name
        for fields in re.findall(r"^struct \w*Options \{\n(.*?)\n\};", text, flags=re.M | re.S):
            for name in re.findall(r"^  [\w:<>(&) ]+? (\w+)(?: = .*|\{\})?;", fields, flags=re.M):
                yield header.name, name


class FromPyTorchTest(unittest.TestCase):
    def test_snippets_compile(self):
        parts = [PROLOGUE]
        count = 0
        for heading, number, snippets in rows():
            for snippet in snippets:
                count += 1
                where = f'\n#line {number} "from_pytorch.md"\n'
                if heading == "Layers":
                    parts.append(f"namespace row_{count} {{ struct Row : Module {{ {where}{snippet};\n}}; }}")
                    continue
                parts.append(FUNCTION.format(number=count, code=where + snippet))
        self.assertGreater(count, 150)
        with tempfile.TemporaryDirectory() as scratch:
            source = pathlib.Path(scratch) / "page.cpp"
            source.write_text("\n".join(parts))
            result = subprocess.run([COMPILER, "-std=c++20", "-fsyntax-only", "-I", INCLUDE, source],
                                    capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stderr[:8000])

    def test_nothing_is_missing(self):
        names = list(public_names())
        self.assertGreater(len(names), 100)
        for header, name in names:
            with self.subTest(f"{header}: {name}"):
                self.assertRegex(PAGE, rf"\b{name}\b")


if __name__ == "__main__":
    unittest.main()
