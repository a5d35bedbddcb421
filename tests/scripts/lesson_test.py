#!/usr/bin/env python3
"""The judge of the course's exercises: solutions pass; wrong ones, and gaps that nobody filled, are caught with
the words that say why. A wrong one is a solution with one part replaced.
usage: lesson_test.py SOURCE_DIR BUILD_DIR COMPILER"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE, BUILD, COMPILER = sys.argv[1:]
LESSONS = pathlib.Path(SOURCE, "docs/book/lessons")
ENVIRONMENT = dict(os.environ, CKS_BUILD=BUILD, CXX=COMPILER)

# number, what is replaced in the solution, by what, what the judge must say
WRONG = [
    (1, "- p.pt +", "+", r"All of them have padding"),
    (1, "oh * p.sh", "oh", r"All of them have a stride above 1"),
    (1, "fh * p.dh", "fh", r"All of them have a dilation above 1"),
    (1, "fw * p.dw", "fw * p.dh", r"All of them have different dilations"),
    (1, "ih < p.IH", "ih <= p.IH", r"outside a tensor was read|expected"),
    (1, "iw < p.IW", "iw < p.IH", r"All of them have a map that is not square"),
    (1, "] = sum", "] += sum", r"or not written"),
    (2, "(-first + axis.dilation - 1) / axis.dilation", "-first / axis.dilation", r"All of them have a dilation above 1"),
    (2, "room / axis.dilation + 1", "room + 1", r"expected \[\d, \d\), got \[\d, \d\)"),
    (2, "std::min(axis.filter, room / axis.dilation + 1)", "axis.filter", r"output \d+: expected"),
    (2, "first < 0 ? ", "first < -1 ? ", r"All of them have padding"),
    (3, "axis.filter - 1; f >= 0; --f", "0; f < axis.filter; ++f", r"class \d: expected \(tap"),
    (3, "steps % axis.stride == 0", "steps % axis.stride == 0 && steps >= 0", r"expected \(.*at j-"),
    (3, "f * axis.dilation", "f", r"All of them have a dilation above 1"),
    (3, "a + axis.pad", "a", r"All of them have padding"),
    (4, "shift > 0 ? (shift + axis.stride - 1) / axis.stride : 0", "0", r"something outside a tensor|expected"),
    (4, "(shift + axis.stride - 1) / axis.stride", "shift / axis.stride", r"All of them have a stride above 1"),
    (4, "room / axis.stride + 1", "room / axis.stride", r"dW\[\d,\d,\d,\d\]: expected"),
    (4, "n < p.N", "n < 1", r"All of them have several images"),
    (4, "++products", "products += 2", r"dW is right, with \d+ products; V is"),
    (5, "grad_output * cks::greater", "cks::greater", r"gradient for the input"),
    (5, "cks::greater(", "cks::greater_equal(", r"wrong on: an input of 0"),
    (5, "return {grad_output * ", "return {grad_output * 2.0 * ", r"wrong on: inputs of both signs"),
    (5, "cks::SavedTensor input{this};", "struct { cks::Tensor t; const cks::Tensor& get() const { return t; } "
        "void save(const cks::Tensor& given) { t = given; } } input;", r"keep tensors in a SavedTensor"),
    (6, "p[i] -= rate", "p[i] += rate", r"step 1, element 0: expected"),
    (6, "p[i] -= rate * v[i]", "p[i] -= rate * (g[i] + weight_decay * p[i])", r"wrong on: with momentum"),
    (6, "+ weight_decay * p[i]", "", r"wrong on: with weight decay"),
    (6, "v[i] = momentum * v[i] + (g[i] + weight_decay * p[i]);\n    p[i] -= rate * v[i];",
        "v[i] = momentum * v[i] + rate * (g[i] + weight_decay * p[i]);\n    p[i] -= v[i];", r"wrong on: with a rate that falls"),
    # What crashes, hangs or does not compile.
    (4, "++ow)", "ow += 0)", r"did not end within 5 s on: N"),
    (3, "--f)", "f += 0)", r"an error on: N"),
    (6, "p[i] -= rate * v[i]", "p[i + 1000000] -= rate * v[i]", r"ended by Aborted on: plain"),
    (2, "return {begin,", "retrun {begin,", r"it does not compile"),
]


def check(number, file):
    ran = subprocess.run([f"{SOURCE}/scripts/lesson.sh", "check", str(number), str(file)], env=ENVIRONMENT,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ran.returncode, ran.stdout


def outside_gaps(file):
    return re.sub(r"(// The gap:[^\n]*\n).*?( *// The gap ends)", r"\1\2", file.read_text(), flags=re.S)


def solution(number):
    return next((LESSONS / "solutions").glob(f"{number}_*.cpp"))


def passes(number):
    code, said = check(number, solution(number))
    assert code == 0 and re.search(r"right on all \d+", said), (number, said)


def gap_is_caught(number):
    file = LESSONS / solution(number).name
    assert outside_gaps(file) == outside_gaps(solution(number)), f"{file} and its solution differ outside the gap"
    code, said = check(number, file)
    assert code == 1 and "wrong on" in said, (number, said)


def wrong_is_caught(number, old, new, wanted):
    text = solution(number).read_text()
    assert text.count(old) == 1, (number, old)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, f"{number}.cpp")
        file.write_text(text.replace(old, new))
        code, said = check(number, file)
    assert code == 1 and re.search(wanted, said), (number, old, new, code, said)


def main():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(test, number) for number in range(1, 7) for test in (passes, gap_is_caught)]
        jobs += [pool.submit(wrong_is_caught, *case) for case in WRONG]
        failed = [job.exception() for job in jobs if job.exception()]
    for error in failed:
        print(*error.args, sep="\n", end="\n\n")
    listed = subprocess.run([f"{SOURCE}/scripts/lesson.sh", "list"], capture_output=True, text=True, check=True).stdout
    assert len(listed.splitlines()) == 6 and "KS-deconv splits the filter" in listed, listed
    assert subprocess.run([f"{SOURCE}/scripts/lesson.sh", "check", "7"], capture_output=True).returncode == 2
    print(f"{len(jobs)} judged, {len(failed)} not as they should be")
    sys.exit(1 if failed else 0)


main()
