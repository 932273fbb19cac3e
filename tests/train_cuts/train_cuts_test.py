#!/usr/bin/env python3
"""Runs of dsmoe-train cut at random moments, by SIGKILL, SIGTERM and a full disk, against the same run uncut.

Promises: a cut run that is resumed ends with the same bytes of weights, moments, router bias, state and loss series as
the uncut one; no whole checkpoint is ever lost; a stop by signal is orderly (exit code 75); a full disk is exit code 4
and leaves the checkpoint before it intact. Prints one line of figures per test.

  train_cuts_test.py BIN SAMPLE FULL_DISK [--kills 30]

BIN: folder of the programs; SAMPLE: folder of the sample corpus; FULL_DISK: the preloaded library (full_disk.cpp).
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ARGUMENTS = None
STEPS = 36
# a checkpoint after every step, accumulation over three micro-batches, a router bias that moves, validations in between
SETTINGS = [
    "model.topk_method=noaux_tc", "model.scoring_func=sigmoid", "model.norm_topk_prob=true",
    f"train.steps={STEPS}", "train.warmup_steps=5", "train.learning_rate=3e-3", "train.aux_loss_alpha=0.001",
    "train.bias_update_rate=0.001", "train.micro_batch=1", "train.global_batch=3", "train.checkpoint_every=1",
    "train.keep_checkpoints=2", "train.validate_every=7", "train.validate_tokens=600", "train.sample_every=10",
]
SAME_FILES = ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.json"]


def program(name):
    return os.path.join(ARGUMENTS.bin, name)


def command(corpus, output, *more):
    return [program("dsmoe-train"), "train", "tiny", f"data.path={corpus}", f"output.dir={output}", "--threads", "1",
            *SETTINGS, *more]


def checkpoints(output):
    return sorted(name for name in os.listdir(output) if name.startswith("step-")) if os.path.isdir(output) else []


def half_made(output):
    return os.path.isdir(output) and any(".tmp-" in name for name in os.listdir(output))


def digests(output):
    """Digests of the files of the last checkpoint that must not depend on cuts."""
    folder = os.path.join(output, checkpoints(output)[-1])
    found = {}
    for name in SAME_FILES:
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def series(output):
    """Steps, validations and samples, without what a clock says."""
    lines = []
    with open(os.path.join(output, "metrics.jsonl"), encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["type"] in ("step", "validation", "sample"):
                lines.append({key: value for key, value in record.items() if key not in ("tokens_per_s", "seconds")})
    return lines


class TrainCuts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dsmoe_train_cuts_")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        tokenizer, cls.corpus = os.path.join(cls.folder, "tokenizer"), os.path.join(cls.folder, "corpus")
        texts = [os.path.join(ARGUMENTS.sample, name) for name in ("c.jsonl", "fr.jsonl", "math.jsonl")]
        cls.call([program("dsmoe"), "tokenizer", "train", "--vocab-size", "512", "--out", tokenizer, *texts])
        cls.call([program("dsmoe"), "data", "build", "--tokenizer", tokenizer, "--out", cls.corpus,
                  "--valid-share", "0.1", *(f"{os.path.basename(text)[:-6]}={text}" for text in texts)])
        cls.whole = os.path.join(cls.folder, "whole")
        start = time.monotonic()
        cls.call(command(cls.corpus, cls.whole))
        cls.seconds = time.monotonic() - start

    @staticmethod
    def call(words, expect=0, **more):
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, **more)
        if done.returncode != expect:
            raise AssertionError(f"{' '.join(words)}\nexit code {done.returncode}, expected {expect}\n{done.stderr}")
        return done.stderr

    def start(self, output, *more, **environment):
        return subprocess.Popen(command(self.corpus, output, "--resume", "auto", *more), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, errors="replace",
                                env={**os.environ, **environment})

    def wait_for_a_moment(self, process, output, draw):
        """True after a random while if the process still runs: now and then while it starts, mostly while it trains."""
        try:
            kind = draw.random()
            if kind < 0.2:
                process.wait(timeout=draw.uniform(0, 1))
            elif kind < 0.6:  # while a checkpoint is being written
                process.stderr.readline()
                begin, patience = time.monotonic(), draw.uniform(0, self.seconds / 8)
                while process.poll() is None and (time.monotonic() - begin < patience or not half_made(output)):
                    time.sleep(0.0005)
                process.wait(timeout=draw.uniform(0, 0.01))
            else:
                process.stderr.readline()  # the first thing it says is that it begins
                process.wait(timeout=draw.uniform(0, self.seconds / 8))
        except subprocess.TimeoutExpired:
            return True
        return False

    def expect_same_as_whole(self, output):
        self.assertEqual(series(output), series(self.whole))
        self.assertEqual(digests(output), digests(self.whole))
        self.assertFalse(half_made(output), "temporary names are left")

    def test_whole_run_is_whole(self):
        self.assertEqual([line["step"] for line in series(self.whole) if line["type"] == "step"],
                         list(range(1, STEPS + 1)))
        self.assertEqual(len(checkpoints(self.whole)), 2)

    def test_kills(self):
        """SIGKILL at a random moment, again and again."""
        draw, output, kills, newest, in_saving = random.Random(1), os.path.join(self.folder, "kills"), 0, 0, 0
        while True:
            process = self.start(output)
            if self.wait_for_a_moment(process, output, draw):
                process.kill()
                kills += 1
            errors = process.communicate()[1]
            self.assertNotIn("damaged", errors)
            self.assertNotIn("error", errors)
            in_saving += half_made(output)
            found = checkpoints(output)
            if found:
                self.assertGreaterEqual(int(found[-1][5:]), newest, "a durable checkpoint was lost")
                newest = int(found[-1][5:])
            if process.returncode == 0:
                self.expect_same_as_whole(output)
                if kills >= ARGUMENTS.kills:
                    break
                shutil.rmtree(output)
                newest = 0
            self.assertIn(process.returncode, (0, -signal.SIGKILL))
        print(f"SIGKILL: {kills} cuts, {in_saving} of them with something half-made on the disk, bits equal, 0 lost")

    def test_terminations(self):
        """SIGTERM at a random moment: finish the step, save, exit 75."""
        draw, output, exits, stops, early = random.Random(2), os.path.join(self.folder, "terminations"), [], 0, 0
        while True:
            process = self.start(output)
            if self.wait_for_a_moment(process, output, draw):
                begin = time.monotonic()
                process.send_signal(draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]))
                process.wait()
                exits.append(time.monotonic() - begin)
            errors = process.communicate()[1]
            self.assertNotIn("error", errors)
            if process.returncode == 0:
                break
            if process.returncode < 0:  # the program had not yet begun to listen
                self.assertEqual(errors, "")
                early += 1
                continue
            self.assertEqual(process.returncode, 75, errors)
            self.assertIn("--resume auto", errors)
            stops += 1
        self.expect_same_as_whole(output)
        print(f"stop signals: {stops} orderly stops, {early} before listening, slowest {max(exits):.2f} s, bits equal")

    def test_second_signal_leaves_at_once(self):
        output = os.path.join(self.folder, "second")
        process = self.start(output, "train.global_batch=3000", "train.steps=2")
        process.stderr.readline()  # it says how large the model is, then begins
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate()
        self.assertLess(time.monotonic() - begin, 5, "a step of 3000 sequences would take far longer")
        self.assertEqual(process.returncode, -signal.SIGTERM)

    def test_full_disk(self):
        """The disk fills up after a random number of bytes; then there is room again."""
        draw, output, full = random.Random(3), os.path.join(self.folder, "full"), 0
        one_save = sum(os.path.getsize(os.path.join(self.whole, checkpoints(self.whole)[-1], name))
                       for name in os.listdir(os.path.join(self.whole, checkpoints(self.whole)[-1])))
        newest = 0
        while True:
            budget = draw.randrange(1000, 8 * one_save)
            process = self.start(output, LD_PRELOAD=ARGUMENTS.full_disk, DSMOE_TEST_DISK_BYTES=str(budget))
            errors = process.communicate()[1]
            found = checkpoints(output)
            if found:
                self.assertGreaterEqual(int(found[-1][5:]), newest, "a durable checkpoint was lost")
                newest = int(found[-1][5:])
            self.assertNotIn("damaged", errors)
            if process.returncode == 0:
                break
            self.assertEqual(process.returncode, 4, errors)
            self.assertIn("No space left on device", errors)
            full += 1
        self.assertGreater(full, 3)
        self.expect_same_as_whole(output)
        print(f"full disk: {full} times exit 4, the last checkpoint whole each time, bits equal")

    def test_no_usable_checkpoint(self):
        output = os.path.join(self.folder, "unusable")
        shutil.copytree(self.whole, output, symlinks=True)
        for name in checkpoints(output):
            path = os.path.join(output, name, "optimizer.safetensors")
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
        errors = self.call(command(self.corpus, output, "--resume", "auto"), expect=5)
        self.assertIn(checkpoints(output)[-1], errors)

    def test_refusals(self):
        errors = self.call(command(self.corpus, self.whole), expect=3)
        self.assertIn("--resume auto", errors)
        errors = self.call(command(self.corpus, self.whole, "--resume", "auto", "train.seed=9"), expect=3)
        self.assertIn("train.seed: 1 and 9", errors)
        errors = self.call([program("dsmoe"), "train", "tiny", "train.sed=9"], expect=3)
        self.assertIn("did you mean train.seed", errors)
        self.call([program("dsmoe"), "train"], expect=2)
        errors = self.call(command(self.corpus, "/dev/null/run"), expect=4)
        self.assertEqual(len(errors.strip().splitlines()), 1, errors)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin")
    parser.add_argument("sample")
    parser.add_argument("full_disk")
    parser.add_argument("--kills", type=int, default=30)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
