#!/usr/bin/env python3
"""Holds dsmoe's GGUF files and logits to llama.cpp's and transformers'. See run for how it is called.

Small models of both archs with random weights, a tokenizer trained here. For each:
  files   python's gguf package reads every key and tensor, and the types are llama-quantize's
  logits  log probabilities of the whole vocabulary after prompts of token ids, against llama-server with float32
          weights and cache: 1e-4 of the largest
  greedy  the same 24 tokens from a prompt
  noise   for quantised files the distance from the same weights' logits in float32, which activations in 8 bits leave:
          over 16 prompts dsmoe's root mean square at most 10 % above llama.cpp's, the spread of such a mean
"""
import argparse
import json
import math
import pathlib
import random
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {
    "deepseek": ["nano-deepseekmoe", "model.hidden_size=256", "model.moe_intermediate_size=96",
                 "model.first_k_dense_replace=1", "model.num_hidden_layers=4"],
    "llama": ["nano-dense", "model.hidden_size=256", "model.num_attention_heads=4", "model.num_key_value_heads=2",
              "model.intermediate_size=544", "model.num_hidden_layers=4"],
}
QUANTISED = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k_m", "q5_k_m", "q6_k"]
failures = []


def check(holds, what):
    print(("ok    " if holds else "WRONG ") + what, flush=True)
    if not holds:
        failures.append(what)


def read_npy(path):
    data = pathlib.Path(path).read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    rows, columns = eval(data[10:start])["shape"]
    return [list(struct.unpack_from(f"<{columns}f", data, start + 4 * columns * row)) for row in range(rows)]


def log_softmax(row):
    top = max(row)
    total = top + math.log(sum(math.exp(value - top) for value in row))
    return [value - total for value in row]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b))


class Server:
    """llama-server on one file, asked with token ids."""

    def __init__(self, command, model):
        with socket.socket() as free:  # a port that nobody else has now
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [*command, "-m", model, "--host", "127.0.0.1", "--port", str(port), "-t", "2", "-c", "512", "-np", "1",
             "-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-warmup", "--no-webui"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"llama-server ended with {self.process.returncode} on {model}")
            try:
                urllib.request.urlopen(self.url + "/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("llama-server does not answer")

    def ask(self, **body):
        request = urllib.request.Request(self.url + "/completion", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=120))

    def log_probabilities(self, ids, vocabulary):
        # The token drawn is made to be "!", id 3: half a character would bring no probabilities, which are those before
        # any sampling and so know nothing of the bias.
        reply = self.ask(prompt=ids, n_predict=1, n_probs=vocabulary, temperature=1.0, cache_prompt=False, seed=1,
                         logit_bias=[[3, 1000.0]])
        tops = reply["completion_probabilities"][0]["top_logprobs"]
        row = [None] * vocabulary
        for entry in tops:
            row[entry["id"]] = entry["logprob"]
        return row

    def greedy(self, ids, count):
        reply = self.ask(prompt=ids, n_predict=count, temperature=0, top_k=1, cache_prompt=False, return_tokens=True,
                         ignore_eos=True)
        return reply["tokens"]

    def close(self):
        self.process.terminate()
        self.process.wait()


class Oracle:
    def __init__(self, arguments):
        self.dsmoe = arguments.dsmoe
        self.folder = pathlib.Path(arguments.folder)
        self.inside = arguments.inside or str(self.folder)
        self.server = shlex.split(arguments.server)
        self.quantize = shlex.split(arguments.quantize) if arguments.quantize else None
        self.python = shlex.split(arguments.python) if arguments.python else None
        self.random = random.Random(1)

    def run(self, *command):
        return subprocess.run([self.dsmoe, *map(str, command)], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE).stdout.decode()

    def there(self, name):
        return f"{self.inside}/{name}"

    def make(self, arch):
        model = self.folder / f"{arch}-folder"
        vocabulary = 1200
        tokenizer = self.folder / "tokenizer"
        if not (tokenizer / "tokenizer.json").exists():
            self.run("tokenizer", "train", "--vocab-size", vocabulary - 40, "--out", tokenizer, *ROOT.glob("docs/*.md"))
        self.run("init", *MODELS[arch], f"model.vocab_size={vocabulary}", "model.initializer_range=0.08", "-o", model,
                 "--seed", 1, "--dtype", "f32")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / name, model / name)
        return model, vocabulary

    def prompts(self, vocabulary):
        return [[0] + [self.random.randrange(3, vocabulary - 40) for _ in range(length)] for length in (0, 3, 17, 60, *range(20, 32))]

    def logits(self, model, ids):
        out = self.folder / "logits.npy"
        self.run("logits", "-m", model, "--tokens", ",".join(map(str, ids)), "-o", out, "--force")
        return log_softmax(read_npy(out)[-1])

    def compare(self, arch):
        model, vocabulary = self.make(arch)
        float_file = self.folder / f"{arch}-f32.gguf"
        self.run("export", "-m", model, "--type", "f32", "-o", float_file)
        prompts = self.prompts(vocabulary)
        server = Server(self.server, self.there(float_file.name))
        reference = []
        for ids in prompts:
            theirs, ours = server.log_probabilities(ids, vocabulary), self.logits(float_file, ids)
            if None in theirs:
                check(False, f"{arch} llama.cpp gives all {vocabulary} probabilities")
                continue
            worst = max(abs(a - b) for a, b in zip(ours, theirs)) / max(abs(b) for b in theirs)
            check(worst <= 1e-4, f"{arch} f32 logits after {len(ids)} tokens: {worst:.2g} of the largest")
            reference.append(ours)
        ids = prompts[2]
        theirs = server.greedy(ids, 24)
        ours = json.loads(self.run("generate", "-m", float_file, "--tokens", ",".join(map(str, ids)), "-n", 24, "--temp",
                                   0, "--repeat-penalty", 1, "--ignore-eos", "--json"))["tokens"]
        check(ours == theirs, f"{arch} greedy tokens {ours[:6]}... and {theirs[:6]}...")
        server.close()
        for kind in QUANTISED:
            self.compare_quantised(arch, model, kind, prompts, reference, vocabulary)
        if self.python:
            self.compare_python(arch, model, float_file)

    def compare_quantised(self, arch, model, kind, prompts, reference, vocabulary):
        name = f"{arch}-{kind}.gguf"
        self.run("quantize", "-m", model, "--type", kind, "-o", self.folder / name)
        server = Server(self.server, self.there(name))
        ours, theirs = 0.0, 0.0
        weights = 0.0  # what the weights alone cost, with float32 activations
        dequantised = self.folder / f"{arch}-{kind}-as-f32.gguf"
        if self.python:
            subprocess.run([*self.python, self.there("dequantise.py"), self.there(name), self.there(dequantised.name)],
                           check=True, stdout=subprocess.DEVNULL)
        for ids, exact in zip(prompts, reference):
            target = self.logits(dequantised, ids) if self.python else exact
            ours += distance(self.logits(self.folder / name, ids), target) ** 2
            theirs += distance(server.log_probabilities(ids, vocabulary), target) ** 2
            weights += distance(target, exact) ** 2
        server.close()
        ours, theirs, weights = (math.sqrt(x / len(prompts)) for x in (ours, theirs, weights))
        check(ours <= 1.1 * theirs, f"{arch} {kind} from its weights in float32: dsmoe {ours:.3g}, llama.cpp {theirs:.3g}"
              f" (and these from the folder's {weights:.3g})")

    def compare_python(self, arch, model, float_file):
        script = self.there("gguf_and_transformers.py")
        ids = self.prompts(1200)[2]
        result = subprocess.run([*self.python, script, self.there(float_file.name),
                                 self.there(model.name) if arch == "llama" else "-", json.dumps(ids)],
                                check=True, stdout=subprocess.PIPE).stdout
        seen = json.loads(result.decode().splitlines()[-1])
        check(seen["keys"] > 20 and seen["tensors"] > 20, f"{arch} python reads {seen['keys']} keys, {seen['tensors']} tensors")
        if arch == "llama":
            ours = self.logits(model, ids)
            theirs = log_softmax(seen["logits"])
            worst = max(abs(a - b) for a, b in zip(ours, theirs)) / max(abs(b) for b in theirs)
            check(worst <= 1e-4, f"llama folder against transformers: {worst:.2g} of the largest")
        if self.quantize:
            for kind in QUANTISED:
                other = f"{arch}-{kind}-llama.gguf"
                subprocess.run([*self.quantize, self.there(float_file.name), self.there(other), kind.upper(), "1"],
                               check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                result = subprocess.run([*self.python, self.there("errors.py"), self.there(float_file.name),
                                         self.there(f"{arch}-{kind}.gguf"), self.there(other)], check=True,
                                        stdout=subprocess.PIPE).stdout
                seen = json.loads(result)
                check(not seen["types_differ"], f"{arch} {kind} has llama-quantize's types {seen['types_differ'][:2]}")
                check(seen["ratio"] <= 1.001, f"{arch} {kind} squared error over llama-quantize's: {seen['ratio']:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsmoe", required=True)
    parser.add_argument("--server", required=True, help="command that starts llama-server")
    parser.add_argument("--quantize", help="command that starts llama-quantize")
    parser.add_argument("--python", help="a python3 with gguf, numpy, torch and transformers")
    parser.add_argument("--folder", required=True, help="a folder for models, emptied first")
    parser.add_argument("--inside", help="what the commands call that folder, where they live in a root of their own")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    pathlib.Path(arguments.folder).mkdir(parents=True)
    for name in ("gguf_and_transformers.py", "errors.py", "dequantise.py"):
        shutil.copy(pathlib.Path(__file__).parent / name, arguments.folder)
    oracle = Oracle(arguments)
    for arch in MODELS:
        oracle.compare(arch)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
