"""A task as it is written: a folder of task.toml, items.jsonl and, where it has them, shots.jsonl.

Nothing is drawn by chance: what stands first, and where the right choice stands, is decided by hashes.
"""

import json
import os

from parts import files
from parts.mix import digest


class Task:
    """settings: the lines of task.toml; items and shots: lists of dicts; source: what it was made of, for its manifest."""

    def __init__(self, name, settings, items, shots=(), source=""):
        self.name, self.settings, self.source = name, settings, source
        self.items, self.shots = list(items), list(shots)


def multiple_choice(identity, question, right, others, **further):
    """An item whose choices are the right answer and some others, in the order of their hashes."""
    choices = sorted([right, *others], key=lambda choice: digest(identity + "\0" + choice))
    return {"id": identity, **further, "question": question, "choices": choices, "answer": choices.index(right)}


def by_hash(items, count):
    """At most `count` items, or all where that is 0, in the order of their hashes and evenly from all pools."""
    taken, ranked = {}, []
    for item in sorted(items, key=lambda item: digest(item["id"])):
        pool = item.get("pool", "")
        taken[pool] = taken.get(pool, 0) + 1
        ranked.append((taken[pool], item))
    ranked.sort(key=lambda pair: pair[0])  # stable: the first of every pool, then the second ones
    return [item for _, item in ranked][: count or None]


def write(task, out):
    """Writes the task's folder; returns its facts for the manifest."""
    folder = os.path.join(out, task.name)
    os.makedirs(folder, exist_ok=True)
    named = {"items.jsonl": lines_of(task.items), "task.toml": task.settings.encode()}
    if task.shots:
        named["shots.jsonl"] = lines_of(task.shots)
    for name, data in named.items():
        with files.atomic_writer(os.path.join(folder, name)) as file:
            file.write(data)
    return {"items": len(task.items), "shots": len(task.shots), "source": task.source,
            "files": {name: files.sha256(os.path.join(folder, name)) for name in sorted(named)}}  # fmt: skip


def lines_of(items):
    return b"".join(json.dumps(item, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for item in items)
