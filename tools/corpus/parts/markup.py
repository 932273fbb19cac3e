"""HTML and Perl's POD to text, without navigation, scripts and footers.

Block elements become paragraphs, table rows become cells joined by bars, <pre> keeps its lines.
"""

import re
from html.parser import HTMLParser

from .text import clean, decode, squeeze

_VOID = {"img", "hr", "meta", "link", "input", "col", "area", "base", "wbr", "source"}
_SILENT = {"script", "style", "head", "nav", "noscript", "svg", "form", "button", "select", "footer", "header", "aside"}
# Words in class or id attributes that mark what isn't the page's own text.
_NAVIGATION = re.compile(
    r"\b(navheader|navfooter|navbar|breadcrumb|toc|headerlink|menu|sidebar|relatedtopics|howtoget|indexterm|debug|DEBUG|MAC)\b"
)
_PARAGRAPH = {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol", "dl", "section", "blockquote"}
_LINE = {"li", "tr", "dt", "dd", "caption"}


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.blocks_ = []  # (text, 1 or 2 newlines before it)
        self.words_ = []
        self.gap_ = 0
        self.open_ = []  # (tag, silences)
        self.silent_ = 0
        self.pre_ = 0

    def flush(self, gap):
        text = "".join(self.words_)
        self.words_ = []
        text = text.strip("\n").rstrip() if self.pre_ else squeeze(text).strip(" |")
        if text and text not in ("•", "-"):
            self.blocks_.append((text, self.gap_))
            self.gap_ = 0
        self.gap_ = max(self.gap_, gap)

    def handle_starttag(self, tag, attributes):
        if tag in _VOID:
            return
        if tag == "br":
            self.words_.append("\n") if self.pre_ else self.flush(1)
            return
        named = " ".join(v or "" for k, v in attributes if k in ("class", "id"))
        silences = tag in _SILENT or bool(named and _NAVIGATION.search(named))
        self.open_.append((tag, silences))
        self.silent_ += silences
        if tag in _PARAGRAPH:
            self.flush(2)
        elif tag in _LINE:
            self.flush(1)
        if tag == "pre":
            self.pre_ += 1
        elif tag == "li" and not self.silent_:
            self.words_.append("• ")
        elif tag in ("td", "th") and not self.silent_:
            self.words_.append(" | ")

    def handle_endtag(self, tag):
        for at in range(len(self.open_) - 1, -1, -1):
            if self.open_[at][0] == tag:
                break
        else:
            return
        if tag in _PARAGRAPH:
            self.flush(2)
        elif tag in _LINE:
            self.flush(1)
        for name, silences in self.open_[at:]:
            self.silent_ -= silences
            self.pre_ -= name == "pre"
        del self.open_[at:]

    def handle_data(self, data):
        if not self.silent_:
            self.words_.append(data)

    def text(self):
        self.flush(0)
        return "".join("\n" * gap + block for block, gap in self.blocks_)


def render_html(source):
    reader = _Reader()
    reader.feed(decode(source) if isinstance(source, bytes) else source)
    reader.close()
    return clean(reader.text())


def split_sections(files):
    """Chapters cut before each second-level heading: whole ones make documents too long."""
    for file in files:
        yield from (part for part in re.split(r"(?=<h2\b)", decode(file)) if len(part) > 200)


_POD_CODE = re.compile(r"([BCEFILSXZ])(?:<<+ (.*?) >>+|<([^<>]*)>)", re.S)
_POD_ENTITIES = {"lt": "<", "gt": ">", "sol": "/", "verbar": "|", "mdash": "—", "eacute": "é", "uuml": "ü", "ouml": "ö"}


def _pod_code(m):
    kind, text = m[1], m[2] if m[2] is not None else m[3]
    if kind in "XZ":
        return ""
    if kind == "E":
        return {"<": "\x01", ">": "\x02"}.get(_POD_ENTITIES.get(text, ""), _POD_ENTITIES.get(text, ""))
    if kind == "L":
        text = text.split("|")[0].removeprefix("/").strip('"')
    return text.replace("<", "\x01").replace(">", "\x02")


def render_pod(source):
    """Perl's documentation format: commands, codes inside out, verbatim paragraphs as they are."""
    kept, skipping = [], False
    for paragraph in re.split(r"\n[ \t]*\n", clean(decode(source))):
        if paragraph.startswith("="):
            command, _, rest = paragraph.partition(" ")
            skipping = command == "=begin" or (skipping and command != "=end")
            heading = command.startswith(("=head", "=item"))
            paragraph = rest if heading and not re.fullmatch(r"\*?|\d+\.?", rest.strip()) else ""
        if skipping or not paragraph.strip():
            continue
        if paragraph[0] not in " \t":
            previous = None
            while previous != paragraph:
                previous, paragraph = paragraph, _POD_CODE.sub(_pod_code, paragraph)
            paragraph = squeeze(paragraph.replace("\x01", "<").replace("\x02", ">"))
        kept.append(paragraph)
    return clean("\n\n".join(kept))
