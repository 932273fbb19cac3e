#!/usr/bin/env python3
"""Golden scores of multiple choice: a little model with a tokenizer, and the nats that each choice of a task must have.

    choice.py OUT TASK ITEMS SHOTS...     makes OUT/{config.json, model.safetensors, tokenizer.json, golden.json}

TASK is a folder of tests/tasks, ITEMS how many of its first items are scored, SHOTS the ids of those that stand before
each, in order. The forward pass is forward.py's, the tokenizer, the templates and the sums are this script's own; nothing
is shared with src/. golden.json: {ID: [log-likelihood of each choice]}.
"""
import json
import math
import pathlib
import random
import re
import sys
import tomllib

import forward

MODEL = dict(
    forward.BASE, hidden_size=8, num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, n_routed_experts=4,
    n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=4, first_k_dense_replace=1,
    max_position_embeddings=2048)
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "n"), ("Ġ", "a"), (":", "Ġ"), ("Ċ", "Ċ"), ("in", "g")]


def byte_alphabet():
    """The characters that stand for bytes in tokenizer.json: printable ones for themselves, the others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


class Tokenizer:
    """Byte-level BPE without a pre-tokenizer's pieces; bos goes before every text."""

    def __init__(self):
        self.alphabet = byte_alphabet()
        self.tokens = [self.alphabet[b] for b in range(256)] + [a + b for a, b in MERGES] + ["<s>", "</s>"]
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self.bos, self.eos = self.ids["<s>"], self.ids["</s>"]

    def encode(self, text):
        parts = [self.alphabet[b] for b in text.encode()]
        for pair in MERGES:  # in order of rank; no merge makes a pair of an earlier one
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == pair:
                    parts[at:at + 2] = [parts[at] + parts[at + 1]]
                at += 1
        return [self.ids[part] for part in parts]

    def file(self):
        special = [dict(id=self.ids[name], content=name, single_word=False, lstrip=False, rstrip=False, normalized=False,
                        special=True) for name in ("<s>", "</s>")]
        level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
        before = dict(type="TemplateProcessing", single=[dict(SpecialToken=dict(id="<s>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
                      pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=1))],
                      special_tokens={"<s>": dict(id="<s>", ids=[self.bos], tokens=["<s>"])})
        model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                     fuse_unk=False, byte_fallback=False, ignore_merges=False,
                     vocab={t: i for t, i in self.ids.items() if t not in ("<s>", "</s>")}, merges=[" ".join(m) for m in MERGES])
        return dict(version="1.0", truncation=None, padding=None, added_tokens=special, normalizer=None, pre_tokenizer=level,
                    post_processor=before, decoder=level, model=model)


def filled(template, item, **further):
    values = {**item, **further}
    return re.sub(r"\{(\w+)\}", lambda place: str(values[place[1]]), template)


def log_likelihood(model, weights, tokenizer, context, continuation):
    """Of a continuation's tokens behind a context's, where white space at the context's end belongs to the continuation."""
    stripped = context.rstrip()
    alone, both = tokenizer.encode(stripped), tokenizer.encode(context + continuation)
    tail = both[len(alone):]
    ids = [tokenizer.bos, *alone, *tail]
    logits = forward.forward(model, weights, ids[:-1])["logits"]
    total = []
    for row, target in zip(logits[len(ids) - 1 - len(tail):], tail):
        top = max(row)
        total.append(row[target] - top - math.log(math.fsum(math.exp(x - top) for x in row)))
    return math.fsum(total)


def main(out, folder, count, shots):
    tokenizer = Tokenizer()
    model = dict(MODEL, vocab_size=len(tokenizer.tokens), bos_token_id=tokenizer.bos, eos_token_id=tokenizer.eos)
    content, weights = forward.make_weights(model, random.Random(7))
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(dict(model, model_type="deepseek", hidden_act="silu", torch_dtype="float32")))
    (out / "model.safetensors").write_bytes(content)
    (out / "tokenizer.json").write_text(json.dumps(tokenizer.file()))
    settings = tomllib.loads((folder / "task.toml").read_text())
    read = lambda name: [json.loads(line) for line in (folder / name).read_text().splitlines()]
    question, choice = settings.get("question", "{question}"), settings.get("choice", " {choice}")
    before = ""
    for name in shots:
        shot = next(item for item in read("shots.jsonl") if item["id"] == name)
        right = filled(choice, shot, choice=shot["choices"][shot["answer"]])
        before += filled(question, shot) + right + settings.get("separator", "\n\n")
    golden = {}
    for item in read("items.jsonl")[:count]:
        context = before + filled(question, item)
        golden[item["id"]] = [log_likelihood(model, weights, tokenizer, context, filled(choice, item, choice=c))
                              for c in item["choices"]]
    (out / "golden.json").write_text(json.dumps(golden))


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
