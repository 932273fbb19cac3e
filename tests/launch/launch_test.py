#!/usr/bin/env python3
"""Runs of two processes under `dsmoe launch`: that they end, cut or not, with the same bytes; what ends them, and how.

  launch_test.py BIN SAMPLE

BIN: folder of the programs; SAMPLE: folder of the sample corpus.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN, SAMPLE = None, None
STEPS = 8
SETTINGS = [
    "model.topk_method=noaux_tc", "model.scoring_func=sigmoid", "model.norm_topk_prob=true", "train.aux_loss_alpha=0.001",
    "train.bias_update_rate=0.001", f"train.steps={STEPS}", "train.warmup_steps=2", "train.micro_batch=1",
    "train.global_batch=4", "train.checkpoint_every=2", "train.keep_checkpoints=9", "train.validate_every=4",
    "train.validate_tokens=600", "train.precision=f32",
]


def program(name):
    return os.path.join(BIN, name)


def last_checkpoint(output):
    found = sorted(n for n in os.listdir(output) if n.startswith("step-")) if os.path.isdir(output) else []
    return found[-1] if found else ""


def digests(output):
    folder = os.path.join(output, last_checkpoint(output))
    found = {"folder": os.path.basename(folder)}
    for name in ("model.safetensors", "optimizer.safetensors", "trainer_state.json"):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def records(output, kind):
    with open(os.path.join(output, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [{k: v for k, v in line.items() if k not in ("tokens_per_s", "seconds")} for line in lines
            if line["type"] == kind]


def processes_of(launcher):
    """The numbers of the processes that a launcher has started, by rank."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            if parent != launcher:
                continue
            with open(f"/proc/{entry}/environ", "rb") as file:
                variables = dict(v.split(b"=", 1) for v in file.read().split(b"\0") if b"=" in v)
            found[int(variables[b"RANK"])] = int(entry)
        except (OSError, KeyError, IndexError):
            pass
    return found


class Launch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dsmoe_launch_")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.corpus, tokenizer = os.path.join(cls.folder, "corpus"), os.path.join(cls.folder, "tokenizer")
        text = os.path.join(SAMPLE, "fr.jsonl")
        subprocess.run([program("dsmoe"), "tokenizer", "train", "--vocab-size", "300", "--out", tokenizer, text],
                       check=True, capture_output=True)
        subprocess.run([program("dsmoe"), "data", "build", "--tokenizer", tokenizer, "--out", cls.corpus,
                        "--valid-share", "0.1", f"fr={text}"], check=True, capture_output=True)
        cls.whole = os.path.join(cls.folder, "whole")
        cls.errors = cls.call(cls.launch(cls.whole), 0)

    @classmethod
    def train(cls, output, *more):
        return ["train", "tiny", f"data.path={cls.corpus}", f"output.dir={output}", *SETTINGS, *more]

    @classmethod
    def launch(cls, output, *more, options=()):
        return [program("dsmoe"), "launch", "-n", "2", *options, "--", *cls.train(output, *more)]

    @staticmethod
    def call(words, code, **more):
        done = subprocess.run(words, capture_output=True, text=True, check=False,
                              env={**os.environ, "GOMP_SPINCOUNT": "100"}, **more)
        if done.returncode != code:
            raise AssertionError(f"{' '.join(words)}\nexit code {done.returncode}, expected {code}\n{done.stderr}")
        return done.stderr

    def start(self, output, *more, options=()):
        return subprocess.Popen(self.launch(output, *more, options=options), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, env={**os.environ, "GOMP_SPINCOUNT": "100"})

    def wait_for_checkpoint(self, output, process):
        while not last_checkpoint(output):
            self.assertIsNone(process.poll(), "ended before its first checkpoint")
            time.sleep(0.002)

    def test_lines_carry_their_rank_and_progress_is_told_once(self):
        self.assertIn("[rank 0] ", self.errors)
        self.assertNotIn("[rank 1] ", self.errors)

    def test_one_process_comes_to_the_same_figures(self):
        one = os.path.join(self.folder, "one")
        self.call([program("dsmoe-train"), *self.train(one)], 0)
        for a, b in zip(records(one, "step"), records(self.whole, "step"), strict=True):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-4)
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=1e-3 * a["grad_norm"])
        for a, b in zip(records(one, "validation"), records(self.whole, "validation"), strict=True):
            self.assertEqual((a["step"], a["tokens"], a["bytes"]), (b["step"], b["tokens"], b["bytes"]))
            self.assertAlmostEqual(a["nats_per_token"], b["nats_per_token"], delta=1e-4)

    def test_experts_spread_over_processes_come_to_the_same_figures_and_one_process_goes_on(self):
        spread = os.path.join(self.folder, "spread")
        self.call(self.launch(spread, "parallel.expert=2", options=("--check",)), 0)
        for kind, figures in (("step", ("loss", "balance_loss")), ("validation", ("nats_per_token",))):
            for a, b in zip(records(spread, kind), records(self.whole, kind), strict=True):
                for figure in figures:
                    self.assertAlmostEqual(a[figure], b[figure], delta=1e-4)
        sizes = [os.path.getsize(os.path.join(output, last_checkpoint(output), "model.safetensors"))
                 for output in (spread, self.whole)]
        self.assertEqual(*sizes)
        alone = os.path.join(self.folder, "alone")
        shutil.copytree(spread, alone, symlinks=True)
        resume = ["--resume", os.path.join(alone, f"step-{4:08}")]
        self.call([program("dsmoe-train"), *self.train(alone, *resume)], 0)
        for a, b in zip(records(alone, "step"), records(spread, "step"), strict=True):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-4)

    def test_experts_that_cannot_be_spread_so_are_refused(self):
        output = os.path.join(self.folder, "cannot")
        errors = self.call(self.launch(output, "parallel.expert=4"), 3)
        self.assertIn("[parallel] expert must divide the number of processes: 4 and 2", errors)
        self.assertFalse(os.path.exists(output))

    def test_a_killed_rank_is_named_and_the_job_goes_on_to_the_same_bytes(self):
        output = os.path.join(self.folder, "killed")
        process = self.start(output, options=("--max-restarts", "1"))
        self.wait_for_checkpoint(output, process)
        os.kill(processes_of(process.pid)[0], signal.SIGKILL)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn("launch: rank 0 was ended by signal 9", errors)
        self.assertEqual(digests(output), digests(self.whole))
        self.assertEqual(records(output, "step"), records(self.whole, "step"))

    def test_a_stop_saves_once_and_any_number_of_processes_goes_on(self):
        output = os.path.join(self.folder, "stopped")
        process = self.start(output, "train.checkpoint_every=0", "train.steps=100000")
        while len(processes_of(process.pid)) < 2 or not os.path.exists(os.path.join(output, "metrics.jsonl")):
            self.assertIsNone(process.poll())
            time.sleep(0.002)
        os.kill(processes_of(process.pid)[1], signal.SIGTERM)  # any rank will do
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 75, errors)
        self.assertIn("--resume auto", errors)
        if last_checkpoint(output):  # a stop before the first step has nothing to save
            step = int(last_checkpoint(output)[5:])
            self.assertEqual(len(records(output, "checkpoint")), 1)
            one = [program("dsmoe-train"), *self.train(output, f"train.steps={step + 1}", "--resume", "auto")]
            self.call(one, 0)
            self.assertEqual(len(records(output, "step")), step + 1)

    def test_a_lost_rank_without_restarts_is_a_failure_soon(self):
        output = os.path.join(self.folder, "lost")
        process = self.start(output, "train.steps=100000")
        self.wait_for_checkpoint(output, process)
        os.kill(processes_of(process.pid)[1], signal.SIGKILL)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn("rank 1 was ended by signal 9", errors)
        self.assertEqual(processes_of(process.pid), {})

    def test_a_disk_that_is_full_ends_all_with_4(self):
        output = os.path.join(self.folder, "full")
        errors = self.call(self.launch(output), 4,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)))
        self.assertIn("rank 0 ended with exit code 4", errors)
        self.assertEqual(last_checkpoint(output), "")

    def test_ranks_that_differ_are_refused(self):
        output, meeting = os.path.join(self.folder, "differ"), os.path.join(self.folder, "meeting")
        os.mkdir(meeting)
        world = {**os.environ, "WORLD_SIZE": "2", "DSMOE_MEETING": meeting, "DSMOE_TIMEOUT": "60"}
        ranks = [subprocess.Popen([program("dsmoe-train"), *self.train(output, f"train.seed={rank}")],
                                  stderr=subprocess.PIPE, text=True, env={**world, "RANK": str(rank)})
                 for rank in range(2)]
        for rank in ranks:
            _, errors = rank.communicate()
            self.assertEqual(rank.returncode, 3, errors)
            self.assertIn("rank 1 differs from rank 0: train.seed: 0 and 1", errors)
        self.assertFalse(os.path.exists(output))

    def test_shares_that_do_not_come_out_even_are_refused(self):
        output = os.path.join(self.folder, "uneven")
        errors = self.call(self.launch(output, "train.global_batch=3"), 3)
        self.assertIn("train.global_batch must be a multiple", errors)
        self.assertFalse(os.path.exists(output))


if __name__ == "__main__":
    BIN, SAMPLE = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
