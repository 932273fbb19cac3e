"""Novels, sayings and dictionaries to text.

Splitters cut a package's files into raw pieces; renderers turn one piece into a document.
"""

import html
import re
import struct
import unicodedata
import zlib

from .text import clean, decode, group, strip_ansi, unwrap

# ---- novels: R's lazy-load database ----

_STRINGS, _STRING = 16, 9  # STRSXP and CHARSXP in R's serialisation


def r_strings(database):
    """The character vectors in an .rdb file, each as its lines joined.

    A record is a big-endian length and a zlib stream of XDR-serialised R; other objects are passed over.
    """
    found, at = [], 0
    while at + 4 < len(database):
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(database[at + 4 :])
        except zlib.error:
            break
        at = len(database) - len(stream.unused_data)
        lines = _character_vector(data)
        if lines:
            found.append("\n".join(lines))
    return found


def _character_vector(data):
    if data[:2] != b"X\n" or len(data) < 22:
        return []
    version, at = struct.unpack_from(">i", data, 2)[0], 14
    if version >= 3:  # names the native encoding
        at += 4 + struct.unpack_from(">i", data, at)[0]
    flags, count = struct.unpack_from(">ii", data, at)
    if flags & 0xFF != _STRINGS:
        return []
    at, lines = at + 8, []
    for _ in range(count):
        flags, size = struct.unpack_from(">ii", data, at)
        if flags & 0xFF != _STRING:
            break
        at += 8
        lines.append(decode(data[at : at + max(size, 0)]))
        at += max(size, 0)
    return lines


def split_novels(files):
    """A piece per chapter."""
    for file in files:
        for novel in r_strings(file):
            yield from re.split(r"\n(?=(?:CHAPTER|Chapter) [IVXLC\d]+)", novel)


def render_novel(piece):
    return clean(unwrap(piece)) if len(piece) > 500 else ""


# ---- sayings: files of entries between lines of a single % ----

# The Chinese collection quotes whole manuals, which are sources of their own, and tables.
_MANUAL = re.compile("│|Debian 参考手册")


def split_sayings(files):
    """Neighbouring sayings together, some 3,000 characters: one alone is too short a document."""
    for file in files:
        sayings = (s.strip("\n") for s in decode(file).split("\n%\n"))
        yield from group((s for s in sayings if s.strip() and not _MANUAL.search(s)), 3000, "\n\n")


def render_sayings(piece):
    return clean(strip_ansi(piece))


# ---- sentences: the training texts of a text-entry program, a paragraph a line ----


def split_lines(files):
    for file in files:
        yield from group(decode(file).split("\n"), 3000)


def render_lines(piece):
    return clean(html.unescape(piece))


# ---- dictionaries in dictd's format ----

_SOURCE_TAG = re.compile(r"\[(?:1913 Webster|Webster 1913 Suppl\.|WordNet [^\]]*|PJC|AS|RP|RDH|1913 [^\]]*)(?: ?\+ ?[^\]]*)?\]")
_LINK = re.compile(r"\{\s*([^{}]*?)\s*\}")
_PRONUNCIATION = re.compile(r"[ \n]*\\[^\\\n]*\\(?:\s*\([^()\n]*\[[^()\n]*\))?")
_ACCENTED = re.compile(r"\[([=~'\"^`.,*-])([A-Za-z])\]|\[([A-Za-z])\^\]")
_COMBINING = {"=": "\u0304", "~": "\u0303", "'": "\u0301", '"': "\u0308", "^": "\u0302", "`": "\u0300",
              ".": "\u0307", ",": "\u0327", "-": "\u0304", "*": "\u0307"}  # fmt: skip
_LIGATURES = {"[ae]": "æ", "[AE]": "Æ", "[oe]": "œ", "[OE]": "Œ", "[eth]": "ð", "[th]": "þ", "[deg]": "°",
              "[=ae]": "ǣ", "[=oo]": "oo", "[oo^]": "oo", "[aum]": "a", "[asl]": "a", "[add]": "a",
              "[udd]": "u", "[ng]": "ng", "[frac12]": "½", "[root]": "√"}  # fmt: skip


def split_dictionary(files):
    """Neighbouring entries together, some 4,000 characters; the file's own preface is left out."""
    for file in files:
        entries = re.split(r"\n(?=[^\s])", decode(file))
        start = max((i for i, e in enumerate(entries[:200]) if e.startswith("00-")), default=-1) + 1
        yield from group((e.strip("\n") for e in entries[start:] if len(e) > 20), 4000, "\n\n")


def render_dictionary(piece):
    """Entries without pronunciations, source tags and link braces, their lines joined."""
    text = re.sub(r"\n[ \t]+\n", "\n\n", _SOURCE_TAG.sub("", piece))
    text = "\n\n".join(_reflow(p) for p in re.split(r"\n{2,}", text))
    text = _LINK.sub(r"\1", _PRONUNCIATION.sub("", text))
    text = re.sub(r"[ \n]+--(?=[A-Z])", " --", text)  # who is quoted
    text = _ACCENTED.sub(_accent, text)
    for name, character in _LIGATURES.items():
        text = text.replace(name, character)
    return clean(text.replace("%%%", ", "))


def _accent(m):
    mark, letter = (m[1], m[2]) if m[2] else ("\u0306", m[3])
    return unicodedata.normalize("NFC", letter + _COMBINING.get(mark, mark))


def _reflow(paragraph):
    """Joins wrapped lines; quoted verse (deep indents), tables and numbered senses keep theirs."""
    lines, joinable = [], False
    for line in paragraph.split("\n"):
        stripped = line.strip()
        own = len(line) - len(line.lstrip()) >= 9 or re.match(r"\(\w\)|\d+\. |[*|┌│├└]", stripped)
        if joinable and stripped and not own:
            lines[-1] += " " + stripped
        elif stripped:
            lines.append(stripped)
        joinable = len(line) >= 50 and not stripped.startswith(("┌", "│", "├", "└", "|"))
    return "\n".join(lines)
