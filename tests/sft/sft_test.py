#!/usr/bin/env python3
"""dsmoe sft as a person uses it: a base model learns one answer, says it in `dsmoe chat` and ends there.

Promises: a run that is cut and resumed has the bytes of one that is not; what is wrong with data is said with file and
line and exit code 3, and nothing is left behind.

  sft_test.py BIN

BIN: folder of the programs.
"""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BIN = sys.argv.pop(1) if len(sys.argv) > 1 else ""
QUESTION, ANSWER = "What is the answer?", "Forty-two, said the machine."


def conversation(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


class Sft(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dsmoe-sft-")
        text = cls.write("text.txt", f"{QUESTION} {ANSWER}\n" * 20)
        cls.run_program("tokenizer", "train", text, "--vocab-size", "280", "--out", cls.path("base"), check=True)
        cls.run_program("init", "tiny", "-o", cls.path("base"), "model.vocab_size=300", "model.bos_token_id=0", "model.eos_token_id=1",
                        "model.max_position_embeddings=128", "--dtype", "f32", "--force", check=True)  # fmt: skip
        cls.data = cls.write("qa.jsonl", json.dumps(conversation(QUESTION, ANSWER)) + "\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return cls.path(name)

    @classmethod
    def run_program(cls, *words, check=False, **options):
        done = subprocess.run([os.path.join(BIN, "dsmoe"), *words], capture_output=True, text=True, **options)
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.stderr}")
        return done

    def sft(self, data, out, *more, check=True, base=None):
        return self.run_program("sft", base or self.path("base"), data, "-o", self.path(out), "--quiet", "-t", "1", "--batch", "4",
                                "train.precision=f32", "train.learning_rate=0.01", "train.schedule=constant", *more, check=check)  # fmt: skip

    def test_a_model_says_what_it_has_learnt_and_ends_there(self):
        self.sft(self.data, "learnt", "train.steps=60", "train.validate_every=0", "train.checkpoint_every=0")
        said = self.run_program("chat", "-m", self.path("learnt/latest"), "--temp", "0", "-n", "40", input=QUESTION + "\n", check=True)
        self.assertEqual(said.stdout.strip(), ANSWER)
        with open(self.path("learnt/data.json"), encoding="utf-8") as file:
            about = json.load(file)
        self.assertEqual((about["chat_format"], about["conversations"], about["train"]["examples"]), ("plain", 1, 1))

    def test_an_adapter_says_what_it_has_learnt_beside_its_base_and_in_it(self):
        with open(self.path("base/model.safetensors"), "rb") as file:
            before = file.read()
        self.sft(self.data, "beside", "--lora", "train.steps=300", "train.learning_rate=0.005", "train.validate_every=0", "train.checkpoint_every=0")
        with open(self.path("base/model.safetensors"), "rb") as file:
            self.assertEqual(file.read(), before)
        saved = self.path("beside/latest")
        self.assertFalse(os.path.exists(os.path.join(saved, "model.safetensors")))
        beside = ("-m", self.path("base"), "--adapter", self.path("beside"))
        self.run_program("merge", *beside, "-o", self.path("merged"), check=True)
        for model in (beside, ("-m", self.path("merged"))):
            said = self.run_program("chat", *model, "--temp", "0", "-n", "40", input=QUESTION + "\n", check=True)
            self.assertEqual(said.stdout.strip(), ANSWER)
        # The same logits from plain Python, which shares nothing with dsmoe.
        self.run_program("logits", *beside, "--tokens", "5,17,200", "-o", self.path("logits.npy"), check=True)
        oracle = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "adapter.py")
        done = subprocess.run([sys.executable, oracle, "logits", self.path("base"), saved, "5,17,200"], capture_output=True, text=True, check=True)
        want = [x for row in json.loads(done.stdout)["logits"] for x in row]
        with open(self.path("logits.npy"), "rb") as file:
            content = file.read()
        got = struct.unpack(f"<{len(want)}f", content[-4 * len(want) :])
        self.assertLess(max(abs(a - b) for a, b in zip(got, want)), 1e-4 * max(map(abs, want)))
        other = self.run_program("chat", "-m", self.path("merged"), "--adapter", saved, input="", check=False)
        self.assertEqual(other.returncode, 3)
        self.assertIn("trained with", other.stderr)

    def test_an_adapter_trains_beside_a_gguf_file(self):
        quick = ("--lora", "train.validate_every=0", "train.checkpoint_every=0", "train.micro_batch=1")
        self.run_program("quantize", "-m", self.path("base"), "-o", self.path("f32.gguf"), "--type", "f32", check=True)
        # Float weights are the same numbers in both, so that every byte of the adapter is the same too.
        for base, out in (("base", "by-folder"), ("f32.gguf", "by-file")):
            self.sft(self.data, out, *quick, "train.steps=3", "train.recompute=true", base=self.path(base))
        for name in ("adapter_model.safetensors", "optimizer.safetensors"):
            with open(self.path(f"by-folder/latest/{name}"), "rb") as a, open(self.path(f"by-file/latest/{name}"), "rb") as b:
                a, b = a.read(), b.read()
                start = 8 + struct.unpack("<Q", a[:8])[0], 8 + struct.unpack("<Q", b[:8])[0]  # the header names the base
                self.assertEqual(a[start[0] :], b[start[1] :], name)

        file = self.path("q8_0.gguf")
        self.run_program("quantize", "-m", self.path("base"), "-o", file, "--type", "q8_0", check=True)
        with open(file, "rb") as content:
            before = content.read()
        self.sft(self.data, "beside-file", *quick, "train.steps=300", "train.learning_rate=0.005", base=file)
        with open(file, "rb") as content:
            self.assertEqual(content.read(), before)
        beside, merged = ("-m", file, "--adapter", self.path("beside-file")), self.path("merged.gguf")
        self.run_program("merge", *beside, "-o", merged, check=True)
        self.run_program("export", *beside, "-o", self.path("adapter.gguf"), check=True)
        for model in (beside, ("-m", merged)):
            said = self.run_program("chat", *model, "--temp", "0", "-n", "40", input=QUESTION + "\n", check=True)
            self.assertEqual(said.stdout.strip(), ANSWER)
        self.assertEqual(self.run_program("merge", *beside, "-o", merged).returncode, 4, "it is there")
        self.assertEqual(self.run_program("merge", *beside, "-o", self.path("no.gguf"), "--dtype", "f32").returncode, 2)
        self.sft(self.data, "file-cut", *quick, "train.steps=2", base=file)
        self.sft(self.data, "file-cut", *quick, "train.steps=3", "--resume", "auto", base=file)
        self.sft(self.data, "file-whole", *quick, "train.steps=3", base=file)
        for name in ("adapter_model.safetensors", "optimizer.safetensors"):
            with open(self.path(f"file-whole/latest/{name}"), "rb") as a, open(self.path(f"file-cut/latest/{name}"), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)

        chosen = self.sft(self.data, "file-experts", "--esft", "gate", *quick, "train.steps=1", base=file)
        self.assertEqual(chosen.returncode, 0)
        other = self.sft(self.data, "file-cut", *quick, "train.steps=4", "--resume", "auto", base=self.path("f32.gguf"), check=False)
        self.assertEqual(other.returncode, 3)
        self.assertIn("trained with gguf-", other.stderr)
        for more, words in ((["train.steps=1"], "stay as they are"), ([*quick, "train.sample_every=1"], "need a model folder")):
            refused = self.sft(self.data, "refused", *more, base=file, check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(words, refused.stderr)
            self.assertFalse(os.path.exists(self.path("refused")))

    def test_a_chat_format_is_kept_with_the_model(self):
        strange = self.path("strange")
        shutil.copytree(self.path("base"), strange)
        self.write("strange/chat_template.jinja", "{{ something_unknown }}")
        self.assertEqual(self.run_program("chat", "-m", strange, input="").returncode, 3)
        self.sft(self.data, "kept", "--chat-format", "plain", "train.steps=60", "train.validate_every=0", "train.checkpoint_every=0",
                 base=strange)  # fmt: skip
        said = self.run_program("chat", "-m", self.path("kept/latest"), "--temp", "0", "-n", "40", input=QUESTION + "\n", check=True)
        self.assertEqual(said.stdout.strip(), ANSWER)

    def test_a_cut_run_goes_on_to_the_same_bytes(self):
        lines = [json.dumps({"instruction": f"Count to {i}.", "output": " ".join(map(str, range(i)))}) for i in range(1, 20)]
        with gzip.open(self.path("count.jsonl.gz"), "wt", encoding="utf-8") as file:
            file.write("\n".join(lines))
        self.sft(self.path("count.jsonl.gz"), "whole", "train.steps=6", "train.checkpoint_every=3")
        self.sft(self.path("count.jsonl.gz"), "cut", "train.steps=3", "train.checkpoint_every=3")
        self.sft(self.path("count.jsonl.gz"), "cut", "train.steps=6", "train.checkpoint_every=3", "--resume", "auto")
        for name in ("model.safetensors", "optimizer.safetensors"):
            with open(self.path(f"whole/step-00000006/{name}"), "rb") as a, open(self.path(f"cut/step-00000006/{name}"), "rb") as b:
                self.assertEqual(a.read(), b.read(), name)
        other = self.sft(self.data, "cut", "train.steps=6", "--resume", "auto", check=False)
        self.assertEqual(other.returncode, 3)
        self.assertIn("trained on other data", other.stderr)

    def test_the_experts_that_the_examples_use_train_alone(self):
        lines = [json.dumps({"instruction": f"Count to {i}.", "output": " ".join(map(str, range(i)))}) for i in range(1, 20)]
        data, steps = self.write("count.jsonl", "\n".join(lines)), ("train.steps=6", "train.checkpoint_every=3")
        for more in ([], ["--lora"]):
            whole, cut = "experts" + "".join(more), "experts-cut" + "".join(more)
            esft = ("--esft", "token", "--esft-share", "0.4", *more)
            said = self.sft(data, whole, *esft, *steps, check=False)
            self.assertEqual(said.returncode, 0, said.stderr)
            with open(self.path(f"{whole}/data.json"), encoding="utf-8") as file:
                experts = json.load(file)["experts"]
            for layer in experts["layers"]:
                shares, chosen = layer["token_share"], layer["trained"]
                self.assertAlmostEqual(sum(shares), 3, msg="every token chooses three")
                self.assertGreaterEqual(sum(shares[e] for e in chosen), 0.4 * 3)
                self.assertLess(sum(sorted(shares, reverse=True)[: len(chosen) - 1]), 0.4 * 3, "no fewer would do")
            chosen = [f"layers.{layer['layer']}.mlp.experts.{e}" for layer in experts["layers"] for e in layer["trained"]]
            self.assertEqual(experts["targets"], ",".join(chosen))
            self.assertEqual(experts["experts"], {"chosen": len(chosen), "of": 16})
            with open(self.path(f"{whole}/metrics.jsonl"), encoding="utf-8") as file:
                kept = [record for record in map(json.loads, file) if record["type"] == "experts"]
            self.assertEqual([record["targets"] for record in kept], [experts["targets"]])
            self.sft(data, cut, *esft, "train.steps=3", "train.checkpoint_every=3")
            # What is kept decides, not what the base would say now.
            with open(self.path(f"{cut}/data.json"), encoding="utf-8") as file:
                before = json.load(file)["experts"]
            with open(self.path(f"{cut}/data.json"), "w", encoding="utf-8") as file:
                json.dump({"experts": before | {"tokens": 12345}}, file)
            other = self.sft(data, cut, "--esft", "gate", *more, *steps, "--resume", "auto", check=False)
            self.assertEqual(other.returncode, 3)
            self.assertIn("it began with token 0.4", other.stderr)
            self.sft(data, cut, *esft, *steps, "--resume", "auto")
            with open(self.path(f"{cut}/data.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["experts"]["tokens"], 12345)
            for name in ("adapter_model.safetensors" if more else "model.safetensors", "optimizer.safetensors"):
                with open(self.path(f"{whole}/step-00000006/{name}"), "rb") as a, open(self.path(f"{cut}/step-00000006/{name}"), "rb") as b:
                    self.assertEqual(a.read(), b.read(), name)

    def test_experts_are_not_chosen_where_that_means_nothing(self):
        dense = self.path("dense")
        shutil.copytree(self.path("base"), dense)
        self.run_program("init", "nano-dense", "-o", dense, "model.vocab_size=300", "model.bos_token_id=0", "model.eos_token_id=1",
                         "--force", check=True)  # fmt: skip
        cases = {
            "routed experts": (3, dense, ["--esft", "gate"]),
            "--esft-share": (2, None, ["--esft", "gate", "--esft-share", "1.5"]),
            "requires --esft": (2, None, ["--esft-share", "0.5"]),
            "excludes": (2, None, ["--lora", "--lora-targets", "shared", "--esft", "gate"]),
            "chooses the experts": (2, None, ["--esft", "gate", "train.lora_targets=mlp.experts.1"]),
        }
        for words, (code, base, more) in cases.items():
            done = self.sft(self.data, "refused", *more, base=base, check=False)
            self.assertEqual(done.returncode, code, words + done.stderr)
            self.assertIn(words, done.stderr)
            self.assertFalse(os.path.exists(self.path("refused")), words)

    def test_wrong_data_is_refused_with_its_place(self):
        good = json.dumps(conversation("q", "a"))
        user, assistant = conversation("q", "a")["messages"]
        wrong = {
            "no answer": {"messages": [user]},
            "roles out of order": {"messages": [assistant, user, assistant]},
            "an empty answer": conversation("q", " "),
            "another shape": {"text": "a"},
        }
        for name, line in wrong.items():
            data = self.write("wrong.jsonl", good + "\n" + json.dumps(line) + "\n")
            self.refused(data, "wrong.jsonl:2", name)
            done = self.sft(data, "skipped", "--faulty", "skip", "train.steps=1", check=True)
            self.assertIn("1 left out as faulty", done.stderr)
            shutil.rmtree(self.path("skipped"))
        self.refused(self.write("broken.jsonl", good + "\n{\n"), "broken.jsonl:2", "no JSON")
        self.refused(self.write("empty.jsonl", ""), "empty.jsonl", "an empty file")
        self.refused(self.write("long.jsonl", json.dumps(conversation("q " * 400, "a")) + "\n"), "1 too long", "longer than the context")
        self.refused(self.data, "chatml needs its markers", "a format that the vocabulary cannot carry", "--chat-format", "chatml")

    def refused(self, data, words, name, *more):
        done = self.sft(data, "refused", *more, check=False)
        self.assertEqual(done.returncode, 3, name + done.stderr)
        self.assertIn(words, done.stderr, name)
        self.assertFalse(os.path.exists(self.path("refused")), name)


if __name__ == "__main__":
    unittest.main()
