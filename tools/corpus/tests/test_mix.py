"""Mixing, manifests, archives and the fetch script itself, on packages made here."""

import contextlib
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

from parts import archives, files, mix, progress, registries, sources

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tgz(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("package/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        tar.addfile(link)


def deb(folder, name, member, data, target):
    os.makedirs(os.path.join(folder, "DEBIAN"))
    os.makedirs(os.path.dirname(os.path.join(folder, member)), exist_ok=True)
    with open(os.path.join(folder, "DEBIAN", "control"), "w", encoding="utf-8") as file:
        file.write(f"Package: {name}\nVersion: 1:2~3\nArchitecture: all\nMaintainer: n\nDescription: d\n")
    with open(os.path.join(folder, member), "wb") as file:
        file.write(data)
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder, target], check=True, capture_output=True)


def text_source(name, *packages):
    return sources.Source(name, packages, r"\.txt$", lambda data: data.decode(), None, False)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)


class Mixing(Folder):
    def setUp(self):
        super().setUp()
        self.small, self.large = sources.Package("small", "1"), sources.Package("large", "1")
        self.texts = {f"package/{i}.txt": (f"document {i} " + "x" * 990).encode() for i in range(40)}
        tgz(self.path("small.tgz"), {"package/a.txt": b"s" * 3000, "package/b.txt": b"tiny", "package/c.bin": b"no" * 99})
        tgz(self.path("large.tgz"), self.texts | {"package/copy.txt": self.texts["package/0.txt"].replace(b" ", b"\n ")})
        self.paths = {self.small: self.path("small.tgz"), self.large: self.path("large.tgz")}

    def build(self, megabytes, **changes):
        domain = sources.Domain("d", megabytes, (text_source("s", self.small), text_source("l", self.large)))
        return mix.build(domain, {p: f for p, f in self.paths.items() if p.name not in changes}, self.folder)

    def documents(self):
        with open(self.path("d.jsonl"), encoding="utf-8") as file:
            return [json.loads(line)["text"] for line in file]

    def test_what_one_source_lacks_the_next_makes_up(self):
        report = self.build(0.02)
        self.assertEqual(report["sources"]["s"], 3001)
        self.assertAlmostEqual(sum(report["sources"].values()), 20000, delta=1000)
        self.assertEqual(self.build(0.02, small=None)["sources"].keys(), {"l"})

    def test_duplicates_whatever_their_spacing_are_dropped(self):
        report = self.build(1.0)
        self.assertEqual((report["documents"], report["duplicates"]), (41, 1))

    def test_the_report_describes_the_file(self):
        report = self.build(1.0)
        documents = self.documents()
        self.assertEqual(report["documents"], len(documents))
        self.assertEqual(report["text_bytes"], sum(len(d.encode()) for d in documents))
        self.assertEqual(report["bytes"], os.path.getsize(self.path("d.jsonl")))
        self.assertEqual(report["sha256"], files.sha256(self.path("d.jsonl")))

    def test_the_same_packages_give_the_same_bytes(self):
        first = self.build(0.02)
        tgz(self.path("large.tgz"), dict(reversed(self.texts.items())))  # members in another order
        self.assertEqual(self.build(0.02)["sha256"], first["sha256"])

    def test_a_part_is_taken_from_all_over_a_package(self):
        self.build(0.02)
        numbers = sorted(int(d.split()[1]) for d in self.documents() if d.startswith("document"))
        self.assertLess(len(numbers), 25)
        self.assertGreater(max(numbers), 30)

    def test_documents_of_all_sources_are_mixed(self):
        order = [self.build(1.0)["sha256"]]
        self.assertNotEqual([d for d in self.documents() if d[0] == "d"], sorted(d for d in self.documents() if d[0] == "d"))
        swapped = sources.Domain("d", 1.0, (text_source("l", self.large), text_source("s", self.small)))
        order.append(mix.build(swapped, self.paths, self.folder)["sha256"])
        self.assertEqual(order[0], order[1])

    def test_damaged_archives_are_reported_not_fatal(self):
        with open(self.path("small.tgz"), "r+b") as file:
            file.truncate(60)
        report = self.build(0.01)
        self.assertEqual([name for name, _ in report["damaged"]], ["small"])
        self.assertGreater(report["documents"], 5)


class Archives(Folder):
    def test_members_are_inflated_sorted_and_links_left(self):
        tgz(self.path("p.tgz"), {"b.txt": b"b", "a.txt.gz": gzip.compress(b"a"), "c.bin": b"c"})
        self.assertEqual(archives.members(self.path("p.tgz"), r"\.txt"), [("a.txt.gz", b"a"), ("b.txt", b"b")])

    @unittest.skipUnless(shutil.which("dpkg-deb"), "needs dpkg-deb")
    def test_debian_packages(self):
        deb(self.path("p"), "p", "x.txt", b"hello", self.path("p.deb"))
        self.assertEqual(archives.members(self.path("p.deb"), "txt"), [("./x.txt", b"hello")])
        with open(self.path("p.deb"), "r+b") as file:
            file.truncate(150)
        self.assertRaises(archives.Damaged, archives.members, self.path("p.deb"), "txt")

    def test_no_archive(self):
        self.assertRaises(archives.Damaged, archives.members, self.path("none.tgz"), "x")


class Files(Folder):
    def test_nothing_half_written(self):
        with contextlib.suppress(ZeroDivisionError), files.atomic_writer(self.path("f")) as file:
            file.write(b"half")
            raise ZeroDivisionError
        self.assertEqual(os.listdir(self.folder), [])


class Table(unittest.TestCase):
    def test_every_domain_is_whole(self):
        self.assertEqual(len(sources.DOMAINS), 15)
        self.assertEqual(len({d.name for d in sources.DOMAINS}), 15)
        debian = [d for d in sources.DOMAINS if any(not p.npm for s in d.sources for p in s.packages)]
        self.assertEqual(len(debian), 13)
        self.assertEqual(len([p for p in sources.packages() if p.npm]), 3)
        self.assertAlmostEqual(sum(d.megabytes for d in sources.DOMAINS), 60, delta=1)

    def test_versions_from_file_names(self):
        self.assertEqual(registries.version_of("/x/fortunes_1%3a1.99.1-7.3_all.deb"), "1:1.99.1-7.3")
        self.assertEqual(registries.version_of("/x/mdn-browser-compat-data-8.1.9.tgz"), "8.1.9")
        package = sources.Package("@mdn/browser-compat-data", "8.1.9")
        self.assertEqual(registries.Npm.file_name(package), "mdn-browser-compat-data-8.1.9.tgz")


class ProgressLines(unittest.TestCase):
    class Screen(io.StringIO):
        def __init__(self, terminal):
            super().__init__()
            self.isatty = lambda: terminal

    def run_bar(self, terminal, ticks):
        now = [0.0]
        screen = self.Screen(terminal)
        bar = progress.Progress("work", 10.0, screen, lambda: now[0])
        for tick in range(1, ticks + 1):
            now[0] = float(tick)
            bar.update(tick)
        bar.finish("done")
        return screen.getvalue()

    def test_plain_lines_every_few_seconds(self):
        lines = self.run_bar(False, 10).split("\n")
        self.assertEqual(lines[0].split(), "work 50% 5.0/10.0 MB 1.0 MB/s 5s left".split())
        self.assertEqual(len(lines), 4)
        self.assertNotIn("\x1b", "".join(lines))

    def test_a_terminal_gets_one_line(self):
        drawn = self.run_bar(True, 10)
        self.assertEqual(drawn.count("\n"), 1)
        self.assertEqual(drawn.count("\r"), 11)


class Fetch(Folder):
    """The script as a whole, without network: a cache of packages made here, and none at all."""

    def fetch(self, *arguments, path=None):
        environment = dict(os.environ, PATH=path or os.environ["PATH"])
        command = [sys.executable, os.path.join(HERE, "fetch"), "--out", self.path("out"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def test_half_the_domains_are_needed(self):
        result = self.fetch("--offline")
        self.assertEqual(result.returncode, 4)
        self.assertIn("[corpus] at least half of 15 domains are needed, 0 could be had", result.stderr)
        self.assertFalse(os.path.exists(self.path("out", "manifest.json")))

    def test_usage(self):
        self.assertEqual(self.fetch("--frobnicate").returncode, 2)

    @unittest.skipUnless(shutil.which("dpkg-deb"), "needs dpkg-deb")
    def test_a_cache_is_enough_and_a_second_run_does_nothing(self):
        self.fill_cache("man", "code")
        first = self.fetch("--offline")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertRegex(first.stderr, "skipped .*, libeigen3-dev, .*: not in the cache, and --offline was given")
        with open(self.path("out", "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual(set(manifest["domains"]), {"en_tech", "zh", "de", "fr", "ja", "ru", "code_py", "code_c"})
        self.assertEqual(manifest["packages"]["manpages-fr"]["version"], "1:2~3")
        self.assertEqual(sorted(os.listdir(self.path("out", "text"))), sorted(d + ".jsonl" for d in manifest["domains"]))
        self.assertIn("nothing to do", self.fetch("--offline").stderr)

        self.break_cached("manpages-fr")
        os.unlink(self.path("out", "manifest.json"))
        damaged = self.fetch("--offline")
        self.assertIn("skipped manpages-fr: damaged, removed from the cache", damaged.stderr)
        self.assertFalse(os.path.exists(self.cached("manpages-fr")))
        self.assertFalse(os.path.exists(self.path("out", "text", "fr.jsonl")))
        self.fill_cache("man")

        self.fill_cache("eigen")  # a source more is there now
        self.assertIn("9 domains", self.fetch("--offline").stderr)
        self.change_manifest(recipe="that of other scripts")
        self.assertNotIn("nothing to do", self.fetch("--offline").stderr)
        with open(self.path("out", "text", "fr.jsonl"), "r+b") as file:
            file.write(b"x")  # tampered with
        again = self.fetch("--offline", "--jobs", "1")
        self.assertNotIn("nothing to do", again.stderr)
        self.assertEqual(files.sha256(self.path("out", "text", "fr.jsonl")), manifest["domains"]["fr"]["sha256"])

    MAN = {"": "en", "zh_CN/": "概要说明", "de/": "Übersicht", "fr/": "Résumé", "ja/": "プログラムの説明", "ru/": "Описание"}

    def fill_cache(self, *kinds):
        """Puts small packages of these kinds into the cache, named as Debian names them."""
        made = {}
        if "man" in kinds:
            for folder, word in self.MAN.items():
                page = gzip.compress((".TH X 1\n.SH X\n" + f"{word} {word} x \\- 1.\n" * 20).encode())
                name = "manpages" + ("-" + folder[:2] if folder else "")
                made[name] = (f"usr/share/man/{folder}man1/x.1.gz", page)
        if "code" in kinds:
            made["openafs-modules-dkms"] = ("usr/src/a.c", b"int a;\n" * 30)
            made["libpython3.11-stdlib"] = ("usr/lib/a.py", b"a = 1\n" * 30)
        if "eigen" in kinds:
            made["libeigen3-dev"] = ("usr/include/eigen3/a.h", b"struct A;\n" * 30)
        os.makedirs(self.path("out", "cache", "apt"), exist_ok=True)
        for name, (member, data) in made.items():
            shutil.rmtree(self.path(name), ignore_errors=True)
            deb(self.path(name), name, member, data, self.cached(name))

    def change_manifest(self, **changes):
        with open(self.path("out", "manifest.json"), "r+", encoding="utf-8") as file:
            manifest = json.load(file) | changes
            file.seek(0)
            file.truncate()
            json.dump(manifest, file)

    def cached(self, name):
        return self.path("out", "cache", "apt", f"{name}_1%3a2~3_all.deb")

    def break_cached(self, name):
        os.truncate(self.cached(name), 100)


if __name__ == "__main__":
    unittest.main()
