"""Examinations for radio licences in the United States: official pools of questions with four choices each."""

import re

from parts.archives import members
from parts.text import decode

from .task import Task, by_hash

# Amateur radio: technician, general, extra. Commercial radio: the elements of the FCC.
HAM, FCC = r"/share/hamexam/[TGE]/[A-Z0-9]+$", r"/share/fccexam/E\d+R?/[^/]+$"
TESTED, SHOWN = ("E", "E7", "E7R"), ("G",)
SHOTS = 200

SETTINGS = """\
kind = "choice"
description = "Questions of radio licence examinations: amateur extra class (E), global maritime distress operator (E7, E7R)"
question = "Question: {question}\\nAnswer:"
metric = "acc"

[shots]
file = "shots.jsonl"  # of the amateur general class
count = 0
"""

_KEY = re.compile(r"^(\S+)\s+\(?([A-D])\)?\s*(?:\[[^\]]*\]\s*)?$")
_NEEDS_FIGURE = re.compile(r"\bfig(?:ure|\.)?\s*[A-Z]?\d|\bshown (?:in|below)\b|\bdiagram\b|\bfigure\b", re.I)


def question_of(text):
    """{number, question, choices, answer} of a question's file, or None where it has another shape or needs a figure."""
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    head = _KEY.match(lines[0]) if lines else None
    starts = [i for letter in "ABCD" for i, line in enumerate(lines) if re.match(rf"{letter}[.)] ?\S", line)]
    if not head or len(starts) != 4 or starts != sorted(starts) or starts[0] < 2:
        return None
    question = " ".join(lines[1 : starts[0]])
    ends = [*starts[1:], len(lines)]
    choices = [re.sub(r"^[A-D][.)] ?", "", " ".join(lines[a:b])) for a, b in zip(starts, ends)]
    if _NEEDS_FIGURE.search(question) or len(set(choices)) < 4:
        return None
    return {"number": head[1], "question": question, "choices": choices, "answer": "ABCD".index(head[2])}


def questions(path, pattern):
    """(pool, question) of every question of a package."""
    for name, data in members(path, pattern):
        found = question_of(decode(data))
        if found:
            yield name.split("/")[-2], found


def build(paths, count):
    """`paths`: packages by name; either may be missing."""
    tested, shown, seen = [], [], set()
    for package, pattern in (("hamexam", HAM), ("fccexam", FCC)):
        for pool, found in questions(paths[package], pattern) if package in paths else ():
            item = {"id": f"{pool}-{found['number']}", "pool": pool}
            item |= {key: found[key] for key in ("question", "choices", "answer")}
            squeezed = re.sub(r"\W+", " ", found["question"]).lower()
            if pool in TESTED and squeezed not in seen:  # E7R repeats what E7 asks
                seen.add(squeezed)
                tested.append(item)
            elif pool in SHOWN:
                shown.append(item)
    shown = [item for item in shown if re.sub(r"\W+", " ", item["question"]).lower() not in seen]
    source = " and ".join(name for name in ("hamexam", "fccexam") if name in paths)
    return [Task("exams", SETTINGS, by_hash(tested, count), by_hash(shown, count or SHOTS), source)] if tested else []
