#!/usr/bin/env python3
"""Runs scripts/get_data.sh against small files served on the loopback interface.

usage: get_data_test.py PATH_OF_GET_DATA_SH
"""
import gzip
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

SCRIPT = pathlib.Path(sys.argv.pop(1)).resolve()
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
         "t10k-labels-idx1-ubyte"]
CONTENT = {name: bytes((i * 31 + 7 * k) % 251 for i in range(40000)) for k, name in enumerate(NAMES)}
ZIPPED = {name: gzip.compress(content, 6, mtime=1) for name, content in CONTENT.items()}


def md5(data):
    return hashlib.md5(data).hexdigest()


class Mirror:
    """A server whose answer for each path is `files[path]`; notes every request."""

    def __init__(self, files, ranges=True):
        mirror = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = files.get(self.path.lstrip("/"))
                start = 0
                wanted = self.headers.get("Range")
                mirror.requests.append((self.path, wanted))
                if data is None:
                    self.send_error(404)
                    return
                if wanted and ranges:
                    start = int(wanted[len("bytes="):].split("-")[0])
                    if start >= len(data):
                        self.send_error(416)
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                self.wfile.write(data[start:])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def gz_files(change=None):
    files = {name + ".gz": data for name, data in ZIPPED.items()}
    files.update(change or {})
    return files


class GetData(unittest.TestCase):
    path = os.environ["PATH"]

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="cks_get_data_"))
        self.addCleanup(shutil.rmtree, self.root)
        self.target = self.root / "data" / "mnist"
        self.table = self.root / "table"
        self.write_table(lambda name: f"{md5(CONTENT[name])} {md5(ZIPPED[name])}")

    def write_table(self, sums):
        self.table.write_text("".join(f"{name} {sums(name)}\n" for name in NAMES))

    def mirror(self, files, **options):
        mirror = Mirror(files, **options)
        self.addCleanup(mirror.close)
        return mirror

    def run_script(self, mirrors, *arguments):
        environment = dict(os.environ, PATH=self.path, CKS_GET_DATA_TABLE=str(self.table),
                           CKS_MIRRORS=" ".join(mirrors))
        environment.pop("CKS_DATA_DIR", None)
        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            environment.pop(proxy, None)
        arguments = arguments or ("mnist", "--dir", str(self.root / "data"))
        return subprocess.run([str(SCRIPT), *arguments], env=environment, capture_output=True,
                              text=True, timeout=120, cwd=self.root)

    def assert_complete(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(sorted(p.name for p in self.target.iterdir()),
                         sorted(name + ".gz" for name in NAMES))
        for name in NAMES:
            self.assertEqual(gzip.decompress((self.target / (name + ".gz")).read_bytes()),
                             CONTENT[name])

    def test_downloads_and_is_idempotent(self):
        mirror = self.mirror(gz_files())
        self.assert_complete(self.run_script([mirror.url]))
        self.assertEqual(len(mirror.requests), 4)
        again = self.run_script([mirror.url])
        self.assert_complete(again)
        self.assertEqual(again.stdout.count("already there"), 4)
        self.assertEqual(len(mirror.requests), 4)

    def test_other_gzip_wrapping_and_unknown_content_sum(self):
        name = NAMES[0]
        rewrapped = gzip.compress(CONTENT[name], 1, mtime=2)
        self.assertNotEqual(rewrapped, ZIPPED[name])
        self.assert_complete(self.run_script([self.mirror(gz_files({name + ".gz": rewrapped})).url]))
        shutil.rmtree(self.target)
        self.write_table(lambda n: f"- {md5(ZIPPED[n])}")
        self.assert_complete(self.run_script([self.mirror(gz_files()).url]))

    def test_resumes_a_part(self):
        self.target.mkdir(parents=True)
        name = NAMES[0] + ".gz"
        (self.target / (name + ".part")).write_bytes(ZIPPED[NAMES[0]][:100])
        mirror = self.mirror(gz_files())
        self.assert_complete(self.run_script([mirror.url]))
        self.assertEqual(mirror.requests[0], ("/" + name, "bytes=100-"))

    def test_whole_part_needs_no_request(self):
        self.target.mkdir(parents=True)
        for name in NAMES:
            (self.target / (name + ".gz.part")).write_bytes(ZIPPED[name])
        self.assert_complete(self.run_script(["http://127.0.0.1:1"]))

    def test_part_that_cannot_be_resumed_starts_again(self):
        for ranges, junk in ((True, b"x" * 100), (True, b"x" * 90000), (False, b"x" * 100)):
            with self.subTest(ranges=ranges, junk=len(junk)):
                shutil.rmtree(self.target, ignore_errors=True)
                self.target.mkdir(parents=True)
                (self.target / (NAMES[1] + ".gz.part")).write_bytes(junk)
                self.assert_complete(self.run_script([self.mirror(gz_files(), ranges=ranges).url]))

    def test_second_mirror_after_404(self):
        empty, full = self.mirror({}), self.mirror(gz_files())
        result = self.run_script([empty.url + "/", full.url])
        self.assert_complete(result)
        self.assertEqual(len(empty.requests), 4)
        self.assertIn("404", result.stdout)

    def test_part_survives_a_mirror_without_the_file(self):
        self.target.mkdir(parents=True)
        (self.target / (NAMES[0] + ".gz.part")).write_bytes(ZIPPED[NAMES[0]][:100])
        full = self.mirror(gz_files())
        self.assert_complete(self.run_script([self.mirror({}).url, full.url]))
        self.assertEqual(full.requests[0][1], "bytes=100-")

    def test_corrupt_file_is_refused(self):
        name = NAMES[2] + ".gz"
        damaged = bytearray(ZIPPED[NAMES[2]])
        damaged[len(damaged) // 2] ^= 1
        bad = self.mirror(gz_files({name: bytes(damaged)}))
        result = self.run_script([bad.url])
        self.assertEqual(result.returncode, 1)
        self.assertIn("checksum is wrong", result.stdout)
        self.assertIn("missing: " + NAMES[2], result.stderr)
        self.assertFalse((self.target / name).exists())
        self.assertFalse((self.target / (name + ".part")).exists())
        self.assert_complete(self.run_script([bad.url, self.mirror(gz_files()).url]))

    def test_offline(self):
        self.target.mkdir(parents=True)
        part = self.target / (NAMES[0] + ".gz.part")
        part.write_bytes(ZIPPED[NAMES[0]][:100])
        result = self.run_script(["http://127.0.0.1:1"])
        self.assertEqual(result.returncode, 1)
        for word in ("could not be downloaded", "CKS_MIRRORS", *NAMES):
            self.assertIn(word, result.stderr)
        self.assertEqual(part.read_bytes(), ZIPPED[NAMES[0]][:100])

    def test_somebody_elses_file_is_kept(self):
        self.target.mkdir(parents=True)
        mine = self.target / NAMES[3]
        mine.write_bytes(b"my own labels")
        result = self.run_script([self.mirror(gz_files()).url])
        self.assertEqual(result.returncode, 1)
        self.assertIn("is not the published file", result.stderr)
        self.assertEqual(mine.read_bytes(), b"my own labels")

    def test_plain_file_of_either_spelling_counts(self):
        self.target.mkdir(parents=True)
        for i, name in enumerate(NAMES):
            spelled = name if i % 2 else name.replace("-idx", ".idx")
            (self.target / spelled).write_bytes(CONTENT[name])
        self.assertEqual(self.run_script(["http://127.0.0.1:1"]).returncode, 0)

    def test_cifar_archives(self):
        for dataset, name in (("cifar10", "cifar-10-binary.tar"), ("cifar100", "cifar-100-binary.tar")):
            archive = gzip.compress(bytes(range(256)) * 100, 6, mtime=1)
            self.table.write_text(f"{name} - {md5(archive)}\n")
            mirror = self.mirror({name + ".gz": archive})
            arguments = (dataset, "--dir", str(self.root / "data"))
            for _ in range(2):
                result = self.run_script([mirror.url], *arguments)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(mirror.requests, [(f"/{name}.gz", None)])
            self.assertEqual((self.root / "data" / dataset / (name + ".gz")).read_bytes(), archive)

    def test_wrong_arguments(self):
        for arguments in (("imagenet",), ("mnist", "fashion"), ("mnist", "--dir"), ("--force",)):
            result = self.run_script([], *arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn("usage:", result.stderr)

    def test_folder_that_cannot_be_made(self):
        (self.root / "data").write_text("a file")
        result = self.run_script([])
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write to folder", result.stderr)


@unittest.skipUnless(shutil.which("curl") and shutil.which("wget"), "needs curl and wget")
class GetDataWithWget(GetData):
    """The same on a PATH that has wget and not curl."""

    def setUp(self):
        super().setUp()
        tools = self.root / "bin"
        tools.mkdir()
        for tool in ("bash", "env", "wget", "gzip", "md5sum", "cut", "wc", "tr", "tail", "sed", "rm",
                     "mv", "mkdir", "cat", "dirname"):
            (tools / tool).symlink_to(shutil.which(tool))
        self.path = str(tools)


if __name__ == "__main__":
    unittest.main()
