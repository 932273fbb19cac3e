"""The generated sample: size, sameness, duplicates, and that what it says is so."""

import gzip
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from town import programs, world
from town.chance import Chance

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_script(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def read(path):
    """A file's documents, as `dsmoe data build` reads them."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        data = file.read().decode()
    if path.endswith(".txt"):
        return re.split(r"^\f\n", data, flags=re.M)
    return [json.loads(line)["text"] for line in data.split("\n") if line]


class Sample(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        cls.script = load_script("sample")
        sys.dont_write_bytecode = before
        cls.folder = tempfile.mkdtemp()
        cls.manifest = cls.script.generate(cls.folder)
        cls.texts = {d: read(os.path.join(cls.folder, f["file"])) for d, f in cls.manifest["domains"].items()}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_small_and_many_sided(self):
        self.assertLessEqual(sum(d["text_bytes"] for d in self.manifest["domains"].values()), 300_000)
        self.assertLessEqual(sum(os.path.getsize(os.path.join(self.folder, n)) for n in os.listdir(self.folder)), 300_000)
        endings = {os.path.splitext(d["file"])[1] for d in self.manifest["domains"].values()}
        self.assertEqual(endings, {".jsonl", ".txt", ".gz"})

    def test_the_same_bytes_every_time(self):
        with tempfile.TemporaryDirectory() as again:
            environment = dict(os.environ, PYTHONHASHSEED="7")
            subprocess.run([sys.executable, os.path.join(HERE, "sample"), "--out", again], check=True, capture_output=True, env=environment)
            for name in sorted(os.listdir(self.folder)):
                with open(os.path.join(self.folder, name), "rb") as one, open(os.path.join(again, name), "rb") as two:
                    self.assertEqual(one.read(), two.read(), name)

    def test_the_manifest_counts_documents_and_duplicates(self):
        copies = 0
        for domain, facts in self.manifest["domains"].items():
            texts = self.texts[domain]
            self.assertEqual(len(texts), facts["documents"], domain)
            self.assertEqual(len(texts) - len(set(texts)), facts["duplicates"], domain)
            copies += facts["duplicates"]
        self.assertGreaterEqual(copies, 10)
        everything = [t for texts in self.texts.values() for t in set(texts)]
        self.assertEqual(len(everything), len(set(everything)))

    def test_what_breaks_careless_readers_is_there(self):
        odd = "".join(self.texts["odd"])
        for needle in ("\r\n", "e\u0301", "é", "🙂", "\u200d", "字字", "\ufeff", "\u2028", "\0", "م", "\t"):
            self.assertIn(needle, odd)
        self.assertIn("星期", self.texts["zh"][0])

    def test_python_programs_hold(self):
        for text in self.texts["python"]:
            self.assertIn("assert", text)
            exec(compile(text, "sample", "exec"), {})  # our own text; a false assert raises

    @unittest.skipUnless(shutil.which("cc"), "needs a C compiler")
    def test_c_programs_hold(self):
        chance = Chance("a few programs")
        for i in range(4):
            with self.subTest(i), tempfile.TemporaryDirectory() as folder:
                source = os.path.join(folder, "p.c")
                with open(source, "w", encoding="utf-8") as file:
                    file.write(programs.c(chance))
                subprocess.run(["cc", "-Wall", "-Werror", source, "-o", source + ".out"], check=True)
                subprocess.run([source + ".out"], check=True)

    def test_sums_are_right(self):
        found = 0
        for text in self.texts["math"]:
            for left, right in re.findall(r"((?:\d+ [+*] )+\d+) = (\d+)", text):
                self.assertEqual(eval(left), int(right), text)  # digits, + and * alone
                found += 1
            for a, b, c, x in re.findall(r"^(\d+) \* x \+ (\d+) = (\d+);.* x = (\d+)\.$", text, re.M):
                self.assertEqual(int(a) * int(x) + int(b), int(c))
            for steps, total in re.findall(r"^Add .*\n((?:\d.*\n)+)So .* = (\d+)\.", text, re.M):
                self.assertEqual("".join(re.findall(r"write (\d)", steps))[::-1], total)
        self.assertGreater(found, 300)

    def test_proofs_chain(self):
        proofs = [t for t in self.texts["math"] if t.startswith("${")]
        self.assertGreater(len(proofs), 10)
        for text in proofs:
            steps = re.findall(r"\$e \|- \( (\w+) -> (\w+) \)", text)
            self.assertTrue(all(a[1] == b[0] for a, b in zip(steps, steps[1:])))
            self.assertIn(f"$p |- ( {steps[0][0]} -> {steps[-1][1]} )", text)

    def test_records_parse_and_add_up(self):
        for text in self.texts["json"]:
            record = json.loads(text)
            if "items" in record:
                self.assertEqual(record["total"], sum(i["count"] * i["price"] for i in record["items"]))
            else:
                for here, there in zip(record["route"], record["route"][1:]):
                    self.assertIn(there, world.PLACES[here].near)

    def test_stories_keep_to_the_facts(self):
        trades = {p.en: p.trade for p in world.PEOPLE}
        told = re.findall(r"(" + "|".join(trades) + r"),? the (\w+)", " ".join(self.texts["prose"]))
        told = [(person, trade) for person, trade in told if trade in trades.values()]
        self.assertGreater(len(told), 50)
        for person, trade in told:
            self.assertEqual(trades[person], trade)

    def test_places_are_near_both_ways(self):
        for name, place in world.PLACES.items():
            for near in place.near:
                self.assertIn(name, world.PLACES[near].near, (name, near))
            self.assertEqual(len(world.path(name, "market")) == 1, name == "market")

    def test_chances_are_even(self):
        chance, counts = Chance("x"), [0] * 7
        for _ in range(7000):
            counts[chance.below(7)] += 1
        self.assertTrue(all(850 < c < 1150 for c in counts), counts)
        self.assertEqual(sorted(chance.sample(range(5), 5)), list(range(5)))


if __name__ == "__main__":
    unittest.main()
