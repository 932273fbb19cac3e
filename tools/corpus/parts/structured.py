"""Code, formal mathematics and JSON to text."""

import html
import json
import re

from .text import clean, decode, group

# ---- source code ----

_COMMENT = re.compile(r"\s*(?:/\*.*?\*/|(?://[^\n]*\n)+|(?:#(?![!a-z])[^\n]*(?:\n|$))+)", re.S)
_LICENCE = re.compile(r"copyright|licen[cs]e|all rights reserved|redistribut", re.I)


def render_code(source):
    """A source file without the licence in its opening comments: one notice in 500 files teaches nothing."""
    text = clean(decode(source))
    kept, at = "", 0
    for _ in range(3):
        m = _COMMENT.match(text, at)
        if not m:
            break
        if not _LICENCE.search(m[0]):
            kept += m[0]
        at = m.end()
    return clean(kept + text[at:])


# ---- metamath ----


def split_metamath(files):
    """Whole theorems, some 6,000 characters: cut only after a statement, outside every ${ $} scope."""
    for file in files:
        yield from group(_statements(decode(file)), 6000, "\n")


def _statements(text):
    lines, depth, comment = [], 0, False
    for line in text.split("\n"):
        if line.strip() or lines:
            lines.append(line)
        last = ""
        for token in line.split():
            if comment or token == "$(":
                comment = token != "$)"
                continue
            depth += (token == "${") - (token == "$}")
            last = token
        if depth == 0 and not comment and last in ("$.", "$}"):
            yield "\n".join(lines)
            lines = []


def render_metamath(piece):
    return clean(re.sub(r"[#*=.-]{20,}", "", piece))


# ---- JSON ----


def split_compat_data(files):
    """Browser compatibility data: a document per feature, the values of a leaf on one line."""
    for file in files:
        data = json.loads(file)
        for area in ("api", "css", "javascript", "html", "http", "svg"):
            for name, value in sorted(data.get(area, {}).items()):
                text = json.dumps({name: value}, indent=1, ensure_ascii=False)
                if len(text) < 60000:
                    yield re.sub(r"\{[^{}\[\]]{1,160}\}", lambda m: re.sub(r"\n\s*", " ", m[0]), text)


def render_json(piece):
    return clean(piece)


def render_country(source):
    """A country's facts: the name, then a line per field."""
    data = json.loads(source)
    try:
        name = data["Government"]["Country name"]["conventional short form"]["text"]
    except (KeyError, TypeError):
        name = ""
    lines = [name] if name and name != "none" else []
    for section, fields in data.items():
        lines += ["", section]
        if isinstance(fields, dict):
            for field, value in fields.items():
                lines += _facts(field, value)
    return clean("\n".join(lines))


def _facts(field, value):
    if not isinstance(value, dict):
        return
    if isinstance(value.get("text"), str):
        text = re.sub(r"<[^>]+>", " ", html.unescape(value["text"])).replace(" ++ ", "; ")
        yield f"{field}: " + " ".join(text.split())
    for name, inner in value.items():
        if name != "text":
            yield from _facts(f"{field} - {name}" if isinstance(inner, dict) and "text" in inner else name, inner)
