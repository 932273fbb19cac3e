"""What every extractor shares: cleaning, joining broken lines, grouping, telling languages apart.

Knows nothing of packages or formats. A paragraph is a run of lines between blank lines.
"""

import re

CJK = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef"
_BETWEEN_CJK = re.compile(f"(?<=[{CJK}]) (?=[{CJK}])")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u00ad\u200b\u2028\u2029\ufeff\ufffe\uffff]")
_ANSI = re.compile(r"\x1b?\[[0-9;]*m|\x1b")
_OVERSTRIKE = re.compile("[^\n]\x08")

# Words frequent in English prose that are no words of German or French.
_ENGLISH = frozenset("the of to is and be that for with are this it by if which from can when you".split())
_SCRIPTS = {
    "zh": re.compile("[\u4e00-\u9fff]"),
    "ja": re.compile("[\u3040-\u30ff\u4e00-\u9fff]"),
    "ru": re.compile("[\u0400-\u04ff]"),
}
_LATIN = re.compile("[A-Za-z]")
_HEADING = re.compile("[^\n.!?:;,()<>»”\"。！？，（）：、]{1,40}")


def decode(data):
    """Bytes to text: UTF-8, or Latin-1 where that fails (a few old manual pages)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def clean(text):
    """One way of ending lines, no control characters, no trailing blanks, no runs of empty lines.

    Form feeds go too: in plain-text corpora they separate documents.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    text = _OVERSTRIKE.sub("", text)
    text = _CONTROL.sub("", text)
    text = re.sub(r"[ \t\u3000]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
    return text.rstrip() + "\n" if text.strip() else ""


def strip_ansi(text):
    """Removes terminal colour codes, also those that lost their escape character."""
    return re.sub(r";m", "", _ANSI.sub("", text))


def squeeze(text):
    """Blanks and newlines to single spaces; none between two CJK characters, which use none."""
    return _BETWEEN_CJK.sub("", " ".join(text.split()))


def unwrap(text, width=50):
    """Joins hard-wrapped lines of a paragraph; a line shorter than `width` ended on purpose."""
    lines, long_before = [], False
    for line in text.split("\n"):
        if long_before and line.strip():
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
        long_before = len(line.rstrip()) >= width
    return "\n".join(lines)


def paragraphs(text):
    return [p for p in re.split(r"\n[ \t]*\n", text) if p.strip()]


def is_english(paragraph):
    """True for a run of English prose: enough words, a fifth of them function words, no code."""
    words = re.findall("[a-z]+", paragraph.lower())
    if len(words) < 6 or sum(w in _ENGLISH for w in words) * 5 < len(words):
        return False
    return len(re.findall("[{};=|]", paragraph)) * 20 < len(paragraph)


def keep_language(text, language):
    """Drops paragraphs left in English; empty when too little of the language remains.

    Translated manuals fall back to English where the translation is behind, up to half their bytes.
    """
    script = _SCRIPTS.get(language)
    kept = []
    for paragraph in paragraphs(text):
        native = script is not None and script.search(paragraph)
        if native or not is_english(paragraph):
            kept.append(paragraph)
    text = "\n\n".join(kept)
    if script is None:
        return text
    native, latin = len(script.findall(text)), len(_LATIN.findall(text))
    return text if native * 3 >= latin else ""


def group(pieces, size, separator="\n"):
    """Joins neighbouring pieces until each document holds at least `size` characters."""
    batch, length = [], 0
    for piece in pieces:
        batch.append(piece)
        length += len(piece)
        if length >= size:
            yield separator.join(batch)
            batch, length = [], 0
    if batch:
        yield separator.join(batch)


def drop_last_headings(text):
    """Takes off headings at the end, whose sections were dropped."""
    kept = paragraphs(text)
    while len(kept) > 1 and _HEADING.fullmatch(kept[-1].strip()):
        kept.pop()
    return "\n\n".join(kept)


class Repeats:
    """Drops paragraphs met too often: licence blurbs, translators' notes, page footers."""

    def __init__(self, limit=3, shortest=40):
        self.limit_ = limit
        self.shortest_ = shortest
        self.counts_ = {}

    def filter(self, text):
        kept = []
        for paragraph in paragraphs(text):
            key = hash_key(paragraph)
            if len(key) >= self.shortest_:
                self.counts_[key] = self.counts_.get(key, 0) + 1
                if self.counts_[key] > self.limit_:
                    continue
            kept.append(paragraph)
        return "\n\n".join(kept)


def hash_key(text):
    """The text with digits and blanks evened out, so that only years or numbers make no difference."""
    return re.sub(r"[\d\s]+", " ", text).strip()
