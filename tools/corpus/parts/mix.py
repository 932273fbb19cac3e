"""One domain from its packages: pieces in the order of their hashes, up to the domain's size.

No random numbers: the same packages give the same bytes. Runs in a process of its own.
"""

import hashlib
import json
import os

from . import archives
from .files import atomic_writer
from .text import Repeats, drop_last_headings, keep_language, squeeze

SHORTEST = 80  # bytes; shorter documents are crumbs
LONGEST = 100_000  # bytes; longer ones (release notes, generated tables) would fill a domain by themselves
SLACK = 0.02  # how far beyond its share the last document may take a source


def digest(data, salt=b""):
    data = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
    return hashlib.sha1(salt + data).digest()


def fingerprint(text):
    """What two copies of a document share whatever their spacing: the first 2,000 characters, squeezed."""
    return digest(squeeze(text)[:2000])


class Taker:
    """Collects a domain's documents, source after source."""

    def __init__(self, domain, on_bytes):
        self.domain_, self.on_bytes_ = domain, on_bytes
        self.seen_ = set()
        self.duplicates = 0
        self.documents = []

    def take(self, source, files, budget):
        """Adds documents of one source until `budget` bytes; returns how many bytes that made."""
        pieces = source.split(files) if source.split else files
        repeats = Repeats() if source.repeats else None
        used = 0
        for piece in sorted(pieces, key=digest):
            text = self.finish_(source.render(piece), repeats)
            size = len(text.encode("utf-8", "replace"))
            if not SHORTEST <= size <= LONGEST or used + size > budget * (1 + SLACK):
                continue
            key = fingerprint(text)
            if key in self.seen_:
                self.duplicates += 1
                continue
            self.seen_.add(key)
            self.documents.append(text)
            used += size
            self.on_bytes_(size)
            if used >= budget:
                break
        return used

    def finish_(self, text, repeats):
        if text and self.domain_.language:
            text = keep_language(text, self.domain_.language)
        if text and repeats:
            text = drop_last_headings(repeats.filter(text))
        return text.strip("\n") + "\n" if text.strip() else ""


def build(domain, paths, folder, on_bytes=lambda size: None):
    """Writes FOLDER/<domain>.jsonl from the packages at `paths` (name to file) and reports on it."""
    left, taker = domain.megabytes * 1e6, Taker(domain, on_bytes)
    report = {"sources": {}, "damaged": []}
    sources = [s for s in domain.sources if any(p in paths for p in s.packages)]
    for index, source in enumerate(sources):
        files = []
        for package in source.packages:
            if package in paths:
                try:
                    files += [data for _, data in archives.members(paths[package], source.members)]
                except archives.Damaged as damaged:
                    report["damaged"].append([package.name, str(damaged)])
        used = taker.take(source, files, left / (len(sources) - index))
        report["sources"][source.name] = used
        left -= used
    documents = sorted(taker.documents, key=lambda text: digest(text, b"order"))
    path = os.path.join(folder, domain.name + ".jsonl")
    return report | {"duplicates": taker.duplicates} | write_documents(path, documents)


def write_documents(path, documents):
    """JSON lines, {"text": ...} each; returns the file's facts."""
    digest_of_file, size, text_size = hashlib.sha256(), 0, 0
    with atomic_writer(path) as file:
        for text in documents:
            text_size += len(text.encode("utf-8", "replace"))
            line = json.dumps({"text": text}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            digest_of_file.update(line)
            size += len(line)
            file.write(line)
    facts = {"file": os.path.basename(path), "documents": len(documents), "text_bytes": text_size}
    return facts | {"bytes": size, "sha256": digest_of_file.hexdigest()}
