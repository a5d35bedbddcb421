#!/usr/bin/env python3
"""What compilers say of mistakes in programs of users: each names the field or the options struct.

usage: compile_errors_test.py COMPILER INCLUDE_DIR
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

INCLUDE = pathlib.Path(sys.argv.pop(2)).resolve()
COMPILER = sys.argv.pop(1)

# A member, and what a message about it has to name.
MEMBERS = [
    ('cks::Conv2d a{this, "a", {.in_chanels = 1, .out_channels = 8}};', "Conv2dOptions"),
    ('cks::Conv2d a{this, "a", {.out_channels = 8, .in_channels = 1}};', "in_channels|out_channels"),
    ('cks::Conv2d a{this, "a", 1, 8, 5};', "Conv2dOptions"),
    ('cks::ConvTranspose2d a{this, "a", {.in = 1}};', "ConvTranspose2dOptions"),
    ('cks::Linear a{this, "a", {.in_feature = 1}};', "LinearOptions"),
    ('cks::Linear a{this, "a", {.out_features = 1, .in_features = 2}};', "in_features|out_features"),
    ('cks::BatchNorm2d a{this, "a", {.features = 1}};', "BatchNorm2dOptions"),
    ('cks::Dropout a{this, "a", {.probability = 0.5}};', "DropoutOptions"),
    ('cks::Dropout a{this, "a", 0.5};', "DropoutOptions"),
    ('cks::MaxPool2d a{this, "a", {.kernel = 2}};', "MaxPool2dOptions"),
    ('cks::AvgPool2d a{this, "a", {.kernel = 2}};', "AvgPool2dOptions"),
    ('cks::LeakyReLU a{this, "a", {.alpha = 0.1}};', "LeakyReLUOptions"),
    ('cks::CrossEntropyLoss a{this, "a", {.smoothing = 0.1}};', "CrossEntropyOptions"),
    ('cks::HuberLoss a{this, "a", {.beta = 0.1}};', "HuberLossOptions"),
    ('cks::LeNet5 a{this, "a", {.class_count = 10}};', "LeNet5Options"),
    ('cks::Mlp a{this, "a", {.class_count = 10}};', "MlpOptions"),
    ('cks::ResNetCifar a{this, "a", {.depht = 20}};', "ResNetCifarOptions"),
    ('cks::ResNet a{this, "a", {.depht = 20}};', "ResNetOptions"),
    ('cks::Vgg a{this, "a", {.depht = 16}};', "VggOptions"),
    ('cks::GoogLeNet a{this, "a", {.class_count = 10}};', "GoogLeNetOptions"),
    ('cks::AlexNet a{this, "a", {.class_count = 10}};', "AlexNetOptions"),
    ('cks::Autoencoder a{this, "a", {.code = 10}};', "AutoencoderOptions"),
    ('cks::Sgd a{named_parameters(), {.lr = 0.1}};', "SgdOptions"),
    ('cks::Adam a{named_parameters(), {.lr = 0.1}};', "AdamOptions"),
    ('cks::Muon a{named_parameters(), {.lr = 0.1}};', "MuonOptions"),
    ('cks::WeightAverage a{named_parameters(), {.beta = 0.9}};', "WeightAverageOptions"),
    ('cks::AdamW a{named_parameters(), {.betas = 0.1}};', "AdamWOptions"),
    ('cks::DataLoader a{cks::drawn_digits().train, {.batch = 3}};', "DataLoaderOptions"),
]
# A statement, likewise.
STATEMENTS = [
    ("cks::Conv2d a({.in_chanels = 1});", "Conv2dOptions"),
    ("cks::Dropout a(0.5);", "DropoutOptions"),
    ("cks::Adam a(net.named_parameters(), {.lr = 0.1});", "AdamOptions"),
    ("cks::conv2d(x, x, {}, {.strides = 2});", "Conv2dOptions"),
    ("cks::max_pool2d(x, {.kernel = 2});", "MaxPool2dOptions"),
    ("cks::cross_entropy(x, x, {.smoothing = 0.1});", "CrossEntropyOptions"),
    ("cks::one_cycle_lr({.steps = 3});", "OneCycleOptions"),
    ("cks::drawn_digits({.count = 3});", "DrawnDigitsOptions"),
    ('cks::load_mnist("", {.check = false});', "MnistOptions"),
    ("cks::fit(task, {.epoch = 3});", "TrainOptions"),
    ("list.add<cks::Conv2d>({.in_chanels = 1});", "Conv2dOptions"),
    ('list.add<cks::Dropout>("d", {.rate = 0.5});', "DropoutOptions"),
    ("x[0] = y;", "Tensor"),
    ("x.slice(0, 1) = y;", "Tensor"),
    ("x[0] += y;", "Tensor"),
]
# Nothing of this is a mistake.
RIGHT = """
struct Right : cks::Module {
  cks::Conv2d a{this, "a", {.in_channels = 1, .out_channels = 8, .kernel_size = 5}};
  cks::Conv2d b{this, "b", cks::Conv2dOptions{.in_channels = 1, .out_channels = 8, .kernel_size = 5}};
  cks::Dropout c{this, "c"};
  cks::Dropout d{this, "d", {}};
  cks::MaxPool2d e{this, "e", {.kernel_size = 2}};
  cks::ResNetCifar f{this, "f"};
  cks::Adam g{named_parameters()};
  cks::Adam h{cks::single_group(named_parameters()), {.learning_rate = 0.1}};
  cks::DataLoader i{cks::drawn_digits().train, {.batch_size = 3}};
};
void right(cks::Tensor& x, cks::Tensor y, cks::Sequential& list) {
  x = y;
  x = std::move(y);
  x[0].copy_(x[1]);
  list.add<cks::Conv2d>({.in_channels = 1, .out_channels = 8, .kernel_size = 5});
  list.add<cks::Dropout>();
}
"""


def compile_text(text):
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "source.cpp"
        source.write_text(text)
        of_clang = ["-ferror-limit=0", "-Werror=reorder-init-list"] if "clang" in COMPILER else []
        return subprocess.run([COMPILER, "-std=c++20", "-fsyntax-only", "-I", INCLUDE, *of_clang, source],
                              capture_output=True, text=True)


class CompileErrorsTest(unittest.TestCase):
    def test_mistakes_are_named(self):
        lines = ['#include "cks/cks.h"']
        for i, (member, _) in enumerate(MEMBERS):
            lines.append(f"struct Wrong{i} : cks::Module {{ {member} }};")
        lines.append("void wrong(cks::Module& net, cks::Tensor x, cks::Tensor y, cks::TrainTask task, "
                     "cks::Sequential& list) {")
        lines += [f"{{ {statement} }}" for statement, _ in STATEMENTS] + ["}"]
        result = compile_text("\n".join(lines))
        # One error after the other, each with its notes.
        parts = re.split(r"\n(?=[^\n]*source\.cpp:\d+:\d+: error: )", "\n" + result.stderr)
        for number, (wrong, named) in enumerate(MEMBERS + [("", "")] + STATEMENTS, start=2):
            if not wrong:
                continue
            said = [part for part in parts if f"source.cpp:{number}:" in part.split("\n")[0]]
            with self.subTest(wrong):
                self.assertTrue(said, "it compiles")
                # Beside the line itself, which compilers quote.
                messages = "\n".join(line for part in said for line in part.split("\n")
                                     if not re.match(r"\s*\d+ \|", line) and wrong not in line)
                self.assertRegex(messages, named)

    def test_what_is_right_compiles(self):
        result = compile_text('#include "cks/cks.h"\n' + RIGHT)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
