"""Prose that goes on: which paragraph comes next, and which word ends a passage."""

import json
import re

from parts import archives, prose
from parts.mix import digest
from parts.text import clean, unwrap

from .task import Task, by_hash, multiple_choice

COUNT = 500  # items of a task where no other count is asked for
SHORTEST, LONGEST = 120, 500  # characters of a paragraph
WORD = re.compile(r"[A-Za-z]{4,}")

CONTINUATION = """\
kind = "choice"
description = "Which paragraph comes next: the true one against three others of the same book"
question = "{question}"
choice = "\\n\\n{choice}"
metric = "acc_norm"
"""
LAST_WORD = """\
kind = "choice"
description = "Which word ends a passage: the true one against three others of the same passage"
metric = "nats"
"""


def novels(package):
    """The novels of a package of R's, each as its paragraphs."""
    for _, data in archives.members(package, r"/data/Rdata\.rdb$"):
        for novel in prose.r_strings(data):
            if len(novel) > 20_000:
                yield paragraphs(clean(unwrap(novel)))


def books_of(path):
    """The documents of a .jsonl file ("text"), or a whole text file as one, each as its paragraphs."""
    with open(path, encoding="utf-8", errors="replace") as file:
        if str(path).endswith(".jsonl"):
            return [paragraphs(json.loads(line)["text"]) for line in file if line.strip()]
        return [paragraphs(unwrap(file.read()))]


def paragraphs(text):
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", text) if p.strip()]


def usable(paragraph):
    return SHORTEST <= len(paragraph) <= LONGEST and paragraph[-1] in ".!?\"'”’"


def continuations(books, name):
    """Items of pairs of neighbours; the wrong ones are neither the pair nor next to it."""
    for number, book in enumerate(books):
        places = [i for i, paragraph in enumerate(book) if usable(paragraph)]
        for i in places:
            if i + 1 not in places:
                continue
            identity = f"{name} {number}:{i}"
            others = [j for j in places if abs(j - i) > 2 and book[j] != book[i + 1]]
            others = sorted(others, key=lambda j, salt=identity: digest(f"{salt}\0{j}"))
            wrong = list(dict.fromkeys(book[j] for j in others[:6]))[:3]
            if len(wrong) == 3:
                yield multiple_choice(identity, book[i], book[i + 1], wrong)


def last_words(books, name):
    """Items of paragraphs whose last word stands earlier in them too, as in LAMBADA."""
    for number, book in enumerate(books):
        for i, paragraph in enumerate(book):
            end = re.search(r"^(.*\S) ([A-Za-z]{4,})[.!?\"'”’]*$", paragraph)
            if not usable(paragraph) or not end:
                continue
            words = dict.fromkeys(word.lower() for word in WORD.findall(end[1]))
            right = end[2].lower()
            identity = f"{name} {number}:{i}"
            others = sorted((w for w in words if w != right), key=lambda w, salt=identity: digest(f"{salt}\0{w}"))
            if right in words and len(others) >= 3 and end[2] == right:
                yield multiple_choice(identity, end[1], right, others[:3])


def build(paths, count, text=None):
    """From a text file where one is given, else from the novels."""
    if text:
        books, name = books_of(text), "text"
    elif "r-cran-janeaustenr" in paths:
        books, name = list(novels(paths["r-cran-janeaustenr"])), "austen"
    else:
        return []
    parts = (("continuation", CONTINUATION, continuations(books, name)), ("last-word", LAST_WORD, last_words(books, name)))
    tasks = [Task(title, settings, by_hash(items, count or COUNT), (), text or "r-cran-janeaustenr")
             for title, settings, items in parts]  # fmt: skip
    return [task for task in tasks if task.items]
