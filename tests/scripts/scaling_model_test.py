"""What scripts/measure/scaling_model.py says of numbers made by known formulas. usage: scaling_model_test.py SCRIPT"""
import importlib.util
import math
import subprocess
import sys
import unittest

SCRIPT = sys.argv.pop()
spec = importlib.util.spec_from_file_location("scaling_model", SCRIPT)
scaling = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scaling)
MIB = 2 ** 20
GB = 1e6  # bytes a millisecond


def model(one=((100, 12.0), (200, 22.0)), two=(), latency=0.02, bandwidth=200 * GB, gradients=40 * MIB,
          bucket=8 * MIB):
    all_reduce = {kib: 1e3 * (latency + kib * 1024 / bandwidth) for kib in (16, 1024, 65536)}
    return scaling.Model(list(one), list(two), all_reduce, gradients, bucket, 8, 50 * GB, 0.005)


class ScalingModel(unittest.TestCase):
    def test_lines_are_found_again(self):
        m = model()
        self.assertAlmostEqual(m.start, 2.0)
        self.assertAlmostEqual(m.per_image, 0.1)
        self.assertAlmostEqual(m.latency, 0.02)
        self.assertAlmostEqual(m.bandwidth / GB, 200)
        self.assertAlmostEqual(model(one=[(128, 12.8)]).compute(256), 25.6)
        # A line that would begin below zero goes through the origin.
        self.assertAlmostEqual(model(one=[(100, 9.0), (200, 21.0)]).start, 0.0)

    def test_all_reduce(self):
        m = model()
        self.assertEqual(m.all_reduce(MIB, 1), 0.0)
        self.assertAlmostEqual(m.all_reduce(MIB, 2), 0.02 + MIB / (200 * GB))
        self.assertAlmostEqual(m.all_reduce(MIB, 8), 7 * 0.02 + 2 * 7 / 8 * MIB / (200 * GB))
        between = 2 * 2 * 0.005 + 2 * 3 / 4 * MIB / (8 * 50 * GB)  # four machines
        self.assertAlmostEqual(m.all_reduce(MIB, 32), m.all_reduce(MIB, 8) + between)

    def test_only_the_last_bucket_shows_behind_a_long_backward_pass(self):
        m = model()
        self.assertAlmostEqual(m.step(200, 2), 22.0 + m.all_reduce(8 * MIB, 2))
        slow = model(bandwidth=1 * GB)  # 32 MiB take 33.6 ms, two thirds of 22 hide 14.7
        rest = slow.all_reduce(32 * MIB, 2) - 2 / 3 * 22.0
        self.assertAlmostEqual(slow.step(200, 2), 22.0 + rest + slow.all_reduce(8 * MIB, 2))

    def test_contention_is_what_two_gpus_leave_unexplained(self):
        plain = model()
        m = model(two=[(200, plain.step(200, 2) + 1.1)])
        self.assertAlmostEqual(m.contention, 0.05)
        self.assertAlmostEqual(m.step(200, 2), plain.step(200, 2) + 1.1)
        self.assertEqual(model(two=[(200, 20.0)]).contention, 0.0)

    def test_efficiencies(self):
        m = model()
        self.assertEqual(m.weak(200, 1), 1.0)
        self.assertEqual(m.strong(4096, 1), 1.0)
        weak = [m.weak(200, 2 ** k) for k in range(10)]
        strong = [m.strong(4096, 2 ** k) for k in range(10)]
        for values in (weak, strong):
            self.assertTrue(all(a > b > 0 for a, b in zip(values, values[1:])), values)
        self.assertAlmostEqual(m.strong(4096, 2), m.compute(4096) / (2 * m.step(2048, 2)))
        self.assertTrue(math.isclose(m.weak(200, 2), 22.0 / m.step(200, 2)))

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)

    def test_program(self):
        ran = self.run_script("--one", "256:14.9", "--one", "512:28.9", "--two", "512:29.4", "--gradients-mib", "44.7")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        rows = [row.split() for row in ran.stdout.splitlines() if row.strip() and row.split()[0].isdigit()]
        self.assertEqual([row[0] for row in rows], [str(2 ** k) for k in range(10)])
        self.assertEqual(rows[0][2:5], ["28.900", "100.0", "%"])
        self.assertEqual(rows[1][2], "29.400")  # as measured
        self.assertEqual(rows[9][1], "64")
        for wrong in (["--one", "512"], ["--one", "0:3"], ["--one", "512:nan"]):
            ran = self.run_script(*wrong, "--gradients-mib", "44.7")
            self.assertEqual(ran.returncode, 2)
            self.assertIn(f"'{wrong[1]}' is not SIZE:TIME", ran.stderr)
        ran = self.run_script("--one", "512:3", "--one", "512:4", "--gradients-mib", "44.7")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("same size", ran.stderr)


if __name__ == "__main__":
    unittest.main()
