#!/usr/bin/env python3
"""Runs of dsmoe-train cut at random moments, by SIGKILL, signals and a full disk, against the same run uncut.

Promises: a cut run that is resumed ends with the same bytes of weights, moments, router bias, state and loss series as
the uncut one; no whole checkpoint is ever lost; a stop by signal is orderly (exit code 75); a full disk is exit code 4
and leaves the checkpoint before it intact. Prints one line of figures per test.

Moments are drawn relative to what the run has done (checkpoints seen, bytes written, calls to the disk), never to a
clock alone: however slow the machine, a cut run has made a new checkpoint, but for a fixed number of cuts in between,
so the number of processes started is bounded.

  train_cuts_test.py BIN SAMPLE DISK_FAULTS [--kills 24]

BIN: folder of the programs; SAMPLE: folder of the sample corpus; DISK_FAULTS: the preloaded library (disk_faults.cpp).
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
STEPS = 24
# a checkpoint after every step, accumulation over three micro-batches, a router bias that moves, validations in between
SETTINGS = [
    "model.topk_method=noaux_tc", "model.scoring_func=sigmoid", "model.norm_topk_prob=true",
    f"train.steps={STEPS}", "train.warmup_steps=5", "train.learning_rate=3e-3", "train.aux_loss_alpha=0.001",
    "train.bias_update_rate=0.001", "train.micro_batch=1", "train.global_batch=3", "train.checkpoint_every=1",
    "train.keep_checkpoints=2", "train.validate_every=5", "train.validate_tokens=600", "train.sample_every=6",
]
PATIENCE = 600  # seconds without a new checkpoint or an end after which a process counts as hung
SAME_FILES = ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.json"]


def program(name):
    return os.path.join(ARGUMENTS.bin, name)


def command(corpus, output, *more):
    return [program("dsmoe-train"), "train", "tiny", f"data.path={corpus}", f"output.dir={output}", "--threads", "1",
            *SETTINGS, *more]


def checkpoints(output):
    return sorted(name for name in os.listdir(output) if name.startswith("step-")) if os.path.isdir(output) else []


def newest_step(output):
    found = checkpoints(output)
    return int(found[-1][5:]) if found else 0


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


def shown(output):
    """The run as its own page shows it."""
    with open(os.path.join(output, "report.html"), encoding="utf-8") as file:
        page = file.read()
    data = page.split('id="data">', 1)[1].split("</script>", 1)[0]
    return json.loads(data)["runs"][0]


class Process:
    """A run that goes on from the newest checkpoint of its folder."""

    def __init__(self, words, errors, environment):
        self.errors_path = errors
        # Not a pipe: nothing waits for whoever reads it. With its spin count set the program need not start itself
        # again, which is half of what a start costs; the runs of call() do.
        with open(errors, "wb") as file:
            self.popen = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=file,
                                          env={**os.environ, "GOMP_SPINCOUNT": "10000", **environment})

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ends_before(self, condition):
        """Waits until the condition holds or the process ends, whichever is first."""
        begin = time.monotonic()
        while self.popen.poll() is None:
            if condition():
                return False
            if time.monotonic() - begin > PATIENCE:
                self.popen.kill()
                raise AssertionError(f"nothing new for {PATIENCE} s: {self.errors()}")
            time.sleep(0.0005)
        return True

    def ends_within(self, seconds):
        try:
            self.popen.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self):
        self.ends_before(lambda: False)
        return self.popen.returncode


class TrainCuts(unittest.TestCase):
    maxDiff = None

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
        begin = time.monotonic()
        cls.call(command(cls.corpus, cls.whole))
        cls.step_seconds = (time.monotonic() - begin) / STEPS  # a scale for moments, no more
        last = os.path.join(cls.whole, checkpoints(cls.whole)[-1])
        cls.save_bytes = sum(os.path.getsize(os.path.join(last, name)) for name in os.listdir(last))

    @staticmethod
    def call(words, expect=0, **more):
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, **more)
        if done.returncode != expect:
            raise AssertionError(f"{' '.join(words)}\nexit code {done.returncode}, expected {expect}\n{done.stderr}")
        return done.stderr

    def start(self, output, *more, **environment):
        return Process(command(self.corpus, output, "--resume", "auto", *more), output + ".errors", environment)

    def start_failing(self, output, written, kill_at=None):
        """With a disk that fails after so many bytes."""
        kill = {} if kill_at is None else {"DSMOE_TEST_KILL_AT": str(kill_at)}
        return self.start(output, LD_PRELOAD=ARGUMENTS.disk_faults, DSMOE_TEST_DISK_BYTES=str(written), **kill)

    def expect_same_as_whole(self, output):
        self.assertEqual(series(output), series(self.whole))
        self.assertEqual(digests(output), digests(self.whole))
        self.assertFalse(half_made(output), "temporary names are left")

    def test_whole_run_is_whole(self):
        self.assertEqual([line["step"] for line in series(self.whole) if line["type"] == "step"],
                         list(range(1, STEPS + 1)))
        self.assertEqual(len(checkpoints(self.whole)), 2)

    def test_the_page_shows_the_run(self):
        steps = [line for line in series(self.whole) if line["type"] == "step"]
        validations = [line for line in series(self.whole) if line["type"] == "validation"]
        page = shown(self.whole)
        self.assertEqual(page["step"], [line["step"] for line in steps])
        for loss, line in zip(page["loss"], steps):
            self.assertAlmostEqual(loss, line["loss"], places=5)
        self.assertEqual([v["step"] for v in page["validations"]], [line["step"] for line in validations])

    def run_until_moment(self, output, kind, draw, ahead=(1, 1, 2, 3)):
        """Starts a run and comes back at a moment of that kind, or when the run has ended."""
        if kind == "writing":  # it dies by itself, at a call that touches the disk
            process = self.start_failing(output, draw.randrange(int(1.25 * self.save_bytes), 4 * self.save_bytes),
                                         draw.randrange(60))
            process.end()
            return process
        process = self.start(output)
        if kind == "starting":
            process.ends_within(draw.uniform(0, 10 * self.step_seconds))
            return process
        goal = newest_step(output) + draw.choice(ahead)
        if process.ends_before(lambda: newest_step(output) >= goal):
            return process
        if kind == "saving":
            process.ends_before(lambda: half_made(output))
            process.ends_within(draw.uniform(0, 0.01))
        else:
            process.ends_within(draw.uniform(0, 2 * self.step_seconds))
        return process

    def test_kills(self):
        """SIGKILL at a random moment, again and again; a run that came to its end is compared and begun anew."""
        draw, output = random.Random(1), os.path.join(self.folder, "kills")
        cuts, half, ends, newest = 0, 0, 0, 0
        moments = [("starting", "writing", "training", "saving", "writing")[i % 5] for i in range(ARGUMENTS.kills)]
        draw.shuffle(moments)
        while moments or newest < STEPS:
            process = self.run_until_moment(output, moments[-1], draw) if moments else self.start(output)
            if moments:
                process.popen.kill()  # no effect on one that has ended
            code = process.end()
            self.assertIn(code, (0, -signal.SIGKILL), process.errors())
            self.assertNotIn("damaged", process.errors())
            self.assertNotIn("error", process.errors())
            self.assertGreaterEqual(newest_step(output), newest, "a durable checkpoint was lost")
            if code != 0:
                moment = moments.pop()
                if moment != "starting" and newest_step(output) < STEPS:
                    self.assertGreater(newest_step(output), newest, f"no step between two cuts: {moment}")
                cuts += 1
                half += half_made(output)
            newest = newest_step(output)
            if code == 0:
                self.expect_same_as_whole(output)
                ends += 1
                if moments:
                    shutil.rmtree(output)
                    newest = 0
        print(f"SIGKILL: {cuts} cuts of {ends} runs, {half} left something half-made on the disk, bits equal, 0 lost")

    def test_terminations(self):
        """A stop signal at a random moment: finish the step, save, exit 75."""
        draw, output = random.Random(2), os.path.join(self.folder, "terminations")
        exits, stops, unheard = [0], 0, 0
        for i in range(12):
            process = self.run_until_moment(output, ("starting", "training", "saving")[i % 3], draw, ahead=(1,))
            begin = time.monotonic()
            process.popen.send_signal(draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]))
            code = process.end()
            exits.append(time.monotonic() - begin)
            self.assertNotIn("error", process.errors())
            if code == 0:
                break
            if code < 0:  # the program had not yet begun to listen, or its run was over
                self.assertTrue(process.errors() == "" or newest_step(output) == STEPS, process.errors())
                unheard += 1
                continue
            self.assertEqual(code, 75, process.errors())
            self.assertIn("--resume auto", process.errors())
            if newest_step(output) > 0:
                self.assertEqual(shown(output)["step"][-1], newest_step(output))
            stops += 1
        process = self.start(output)
        self.assertEqual(process.end(), 0, process.errors())
        self.expect_same_as_whole(output)
        print(f"stop signals: {stops} orderly stops, {unheard} unheard, slowest {max(exits):.2f} s, bits equal")

    def test_second_signal_leaves_at_once(self):
        output = os.path.join(self.folder, "second")
        process = self.start(output, "train.global_batch=3000", "train.steps=2")
        # it says how large the model is, then begins
        self.assertFalse(process.ends_before(lambda: os.path.getsize(process.errors_path) > 0))
        while not process.ends_within(0.2):  # two that arrive together are one
            process.popen.send_signal(signal.SIGTERM)
        self.assertEqual(process.popen.returncode, -signal.SIGTERM, "it waited for the end of its step")

    def test_full_disk(self):
        """The disk fills up after a random number of bytes, in every other case too soon for a checkpoint; then there
        is room again."""
        draw, output, full, newest = random.Random(3), os.path.join(self.folder, "full"), 0, 0
        for i in range(10):
            low, high = (1000, self.save_bytes) if i % 2 == 0 else (int(1.25 * self.save_bytes), 5 * self.save_bytes)
            process = self.start_failing(output, draw.randrange(low, high))
            code = process.end()
            self.assertGreaterEqual(newest_step(output), newest, "a durable checkpoint was lost")
            newest = newest_step(output)
            self.assertNotIn("damaged", process.errors())
            if code == 0:
                break
            self.assertEqual(code, 4, process.errors())
            self.assertIn("No space left on device", process.errors())
            full += 1
        self.assertGreater(full, 3)
        process = self.start(output)
        self.assertEqual(process.end(), 0, process.errors())
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
    parser.add_argument("disk_faults")
    parser.add_argument("--kills", type=int, default=24)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
