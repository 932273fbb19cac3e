r"""Manual pages to text: a reader of the man macros, without groff.

It evaluates what pages really use (conditions, strings, fonts, tables, no-fill blocks) and throws
the layout away: a paragraph becomes one line, so that a model doesn't learn the terminal's width.
Pages in the mdoc language (one in twenty) are left out. Unknown requests are dropped, as groff does.
"""

import re

from .text import clean, decode, squeeze

_CHARACTERS = {
    "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "bu": "•", "em": "—", "en": "–",
    "co": "©", "rg": "®", "tm": "™", "ha": "^", "ti": "~", "rs": "\\", "at": "@", "hy": "-", "mi": "-",
    "pl": "+", "ga": "`", "aa": "´", "la": "<", "ra": ">", "sl": "/", "bv": "|", "or": "|", "ba": "|",
    "br": "|", "ul": "_", "ru": "_", "+-": "±", ">=": "≥", "<=": "≤", "!=": "≠", "==": "≡", "->": "→",
    "<-": "←", "**": "*", "de": "°", "mc": "µ", "mu": "×", "di": "÷", "eq": "=", "fm": "′", "sc": "§",
    "Fo": "«", "Fc": "»", "fo": "‹", "fc": "›", "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ",
    "/o": "ø", "/O": "Ø", "oa": "å", "12": "½", "14": "¼", "34": "¾", "S2": "²", "S1": "¹", "S3": "³",
    "dg": "†", "dd": "‡", "md": "⋅", "if": "∞", "is": "∫", "pd": "∂", "sr": "√", "ne": "≠", "..": "…",
    "*a": "α", "*b": "β", "*g": "γ", "*d": "δ", "*e": "ε", "*l": "λ", "*m": "μ", "*p": "π", "*s": "σ",
    "*S": "Σ", "*W": "Ω", "*D": "Δ", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "sh": "#", "Do": "$",
    "Eu": "€", "ct": "¢", "Po": "£", "Ye": "¥", "sd": "″", "nb": "⊄", "mo": "∈", "cu": "∪", "ca": "∩",
}  # fmt: skip
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327", "v": "\u030c"}
_STRINGS = {"R": "®", "Tm": "™", "lq": "“", "rq": "”", "C`": "", "C'": "", "L\"": '"', "R\"": '"', "Aq": "'",
            "--": "—", "PI": "π"}  # fmt: skip

_ESCAPE = re.compile(
    r"\\(?:"
    r"[fFmMgkVY](?:\((?P<f2>..)|\[[^\]]*\]|.)"  # fonts, colours, marks: no text
    r"|s(?:[-+]?\d|\([-+]?\d\d|[-+]?\[[^\]]*\]|[-+]?'[^']*')"  # sizes
    r"|[hvwlLDoxXZAHSRbB](?P<quote>['^|])(?P<arg>.*?)(?P=quote)"  # movements, lines, widths, overstrikes
    r"|N'(?P<code>\d+)'"
    r"|n[-+]?(?:\((?P<n2>..)|\[(?P<nx>[^\]]*)\]|(?P<n1>.))"
    r"|\*(?:\((?P<s2>..)|\[(?P<sx>[^\]]*)\]|(?P<s1>.))"
    r"|\$[\d*@]"
    r"|\((?P<c2>..)|\[(?P<cx>[^\]]*)\]"
    r"|(?P<one>.)|$)"
)
_REQUEST = re.compile(r"^[.'][ \t]*(?:\\[\"#].*|(?P<name>[^ \t\\]+|\\\})?[ \t]*(?P<rest>.*))$")
_ARGUMENT = re.compile(r'[ ]*(?:"((?:[^"]|"")*)(?:"|$)|((?:\\.|[^ \\])+|\\))')
_CONTINUE = "\x01"  # what \c leaves: the next word joins without a space
_DEFINES = {"de", "de1", "am", "am1", "ig", "dei", "ami"}
_HEADINGS = {"SH", "SS", "Sh", "Ss"}
_FONTS = {"B", "I", "SM", "SB", "R", "CW", "b", "i", "nop"}
_PAIRS = {"BI", "BR", "IB", "IR", "RB", "RI"}
_BREAKS = {"PP", "LP", "P", "sp", "HP", "Sp", "RE", "ne", "ce", "bp", "pp", "UNINDENT", "INDENT"}
_NOFILL = {"nf", "EX", "Vb", "DS", "CS", "NF"}
_FILL = {"fi", "EE", "Ve", "DE", "CE", "FI"}


def render(data):
    """A page's source to text; empty for pages that only point elsewhere and for mdoc pages."""
    source = decode(data)
    if re.search(r"^\.(?:Sh|Dd) ", source, re.M) or re.match(r"\s*\.so\b", source):
        return ""
    page = Page()
    page.read(source.split("\n"))
    return clean(page.text())


def arguments(rest):
    """A request's arguments, quotes taken off."""
    return [m[1].replace('""', '"') if m[1] is not None else m[2] for m in _ARGUMENT.finditer(rest) if m[0].strip(" ")]


class Page:
    """One page being read: strings defined so far, text put out, and the line being filled."""

    def __init__(self, strings=None):
        self.strings_ = dict(_STRINGS) if strings is None else strings
        self.blocks_ = []  # finished lines; "" stands for an empty one
        self.words_ = []  # source lines of the paragraph being filled
        self.fill_ = True
        self.else_ = []  # outcomes of .ie waiting for their .el
        self.tag_ = 0  # 1: the next line is a .TP tag, 2: the next one is a heading
        self.link_ = ""

    def text(self):
        self.flush()
        return "\n".join(self.blocks_)

    def flush(self):
        """Ends the paragraph being filled."""
        line = squeeze(re.sub(f"{_CONTINUE} ?", "", " ".join(self.words_)))
        self.words_ = []
        if line:
            self.blocks_.append(line)

    def gap(self):
        self.flush()
        if self.blocks_ and self.blocks_[-1]:
            self.blocks_.append("")

    # ---- escapes ----

    def plain(self, line):
        r"""Text without escapes. A comment (\") ends the line."""
        line = re.split(r'(?<!\\)(?:\\\\)*\\["#]', line, maxsplit=1)[0] if '\\"' in line or "\\#" in line else line
        return _ESCAPE.sub(self.escape_, line) if "\\" in line else line

    def escape_(self, m):
        one = m["one"]
        if one is not None:
            if one in "-.'`_":
                return one
            return {"e": "\\", "\\": "\\", "~": " ", " ": " ", "0": " ", "c": _CONTINUE, "t": "\t", "\t": "\t"}.get(one, "")
        name = m["c2"] or m["cx"]
        if name is not None:
            return character(name)
        string = m["s2"] or m["sx"] or m["s1"]
        if string is not None:
            return self.strings_.get(string.split(" ")[0] or string, "")
        register = m["n2"] or m["nx"] or m["n1"]
        if register is not None:
            return "1" if register == ".g" else "0"
        if m["code"]:
            return chr(int(m["code"])) if 32 <= int(m["code"]) < 0x110000 else ""
        if m["quote"] and m[0][1] == "o":  # overstrike: the first character is the letter
            return self.plain(m["arg"])[:1]
        return " " if m[0].startswith("\\h'+") else ""

    # ---- lines ----

    def read(self, lines):
        lines = iter(lines)
        for line in lines:
            if line.startswith((".", "'")):
                m = _REQUEST.match(line)
                if m and m["name"]:
                    self.request(m["name"], m["rest"], lines)
            else:
                self.say(line)

    def say(self, line):
        """A line of text."""
        text = self.plain(line.replace("\\}", ""))
        if self.tag_ == 2:
            self.tag_ = 0
            self.heading(text)
        elif not self.fill_:
            self.blocks_.append(text.replace(_CONTINUE, "").rstrip())
        elif not text.strip(" \t" + _CONTINUE):
            if not line.strip():
                self.gap()
        else:
            if text[0] in " \t":
                self.flush()
            self.words_.append(text)
            if self.tag_ == 1:
                self.flush()
        self.tag_ = 0

    def heading(self, text):
        self.gap()
        if text.strip():
            self.blocks_ += [squeeze(text), ""]

    def request(self, name, rest, lines):
        """Carries one request out; those that span lines take them from `lines`."""
        if name in _DEFINES:
            args = arguments(rest)
            named = args if name == "ig" else args[1:]  # the macro that ends it, where not ".."
            skip_until(named[0] if named else ".", lines)
        elif name in ("if", "ie", "el", "while"):
            self.conditional(name, rest, lines)
        elif name in _HEADINGS:
            text = self.plain(" ".join(arguments(rest)))
            self.fill_ = True
            if text.strip():
                self.heading(text)
            else:
                self.tag_ = 2
        elif name in _FONTS or name in _PAIRS:
            if rest.strip():
                self.say(("" if name in _PAIRS else " ").join(arguments(rest)))
        elif name in _BREAKS:
            self.gap()
        elif name in _NOFILL:
            self.gap()
            self.fill_ = False
        elif name in _FILL:
            self.gap()
            self.fill_ = True
        elif name == "TS":
            self.table(lines)
        elif name in ("EQ", "PS"):
            skip_until({"EQ": "EN", "PS": "PE"}[name], lines)
        else:
            self.small_request(name, rest)

    def small_request(self, name, rest):
        if name in ("TP", "TQ"):
            self.gap() if name == "TP" else self.flush()
            self.fill_ = True
            self.tag_ = 1
        elif name == "IP":
            self.item(arguments(rest))
        elif name in ("br", "RS", "YS"):
            self.flush()
        elif name == "ds":
            key, _, value = rest.partition(" ")
            self.strings_[key] = self.plain(value.strip().removeprefix('"'))
        elif name in ("UR", "MT"):
            self.link_ = self.plain((arguments(rest) or [""])[0])
        elif name in ("UE", "ME"):
            self.words_.append(f"<{self.link_}>" + self.plain("".join(arguments(rest)[:1])) if self.link_ else "")
            self.link_ = ""
        elif name in ("URL", "MTO"):
            url, text, tail = (arguments(rest) + ["", "", ""])[:3]
            self.say(f"{text} <{url}>{tail}")
        elif name == "OP":
            self.say("[" + " ".join(arguments(rest)) + "]")
        elif name == "SY":
            self.flush()
            self.say(" ".join(arguments(rest)))

    def item(self, args):
        """.IP: a bullet or number opens the paragraph's own line, a longer tag stands above it."""
        self.gap()
        self.fill_ = True
        tag = self.plain(args[0]).strip() if args else ""
        if tag:
            self.words_.append(tag)
            if len(tag) > 3:
                self.flush()

    # ---- conditions ----

    def conditional(self, name, rest, lines):
        if name == "el":
            holds = not (self.else_.pop() if self.else_ else True)
        else:
            holds, rest = self.condition(rest)
            holds = holds and name != "while"
            if name == "ie":
                self.else_.append(holds)
        rest = rest.strip()
        if not holds:
            skip_block(rest, lines)
            return
        self.read([re.sub(r"^\\\{\\?\s*", "", rest)] if rest.strip("\\{ ") else [])

    def condition(self, rest):
        """(holds, what follows) of a condition: this is nroff, a GNU one, and registers are 0."""
        negated = rest.startswith("!")
        rest = rest.removeprefix("!")
        m = re.match(r"'(.*?)'(.*?)'(.*)$", rest)
        if m:
            holds, rest = self.plain(m[1]) == self.plain(m[2]), m[3]
        else:
            m = re.match(r"((?:\\n?[(\[*][^\s\]]+\]?|[^\s\\])+)\s*(.*)$", rest)
            word, rest = (self.plain(m[1]), m[2]) if m else ("0", rest)
            number = re.match(r"\(?(\d+)", word)
            holds = word in ("n", "o") or bool(number and int(number[1]) and not re.search("[<=&]", word))
        return holds != negated, rest

    # ---- tables ----

    def table(self, lines):
        """.TS to .TE: the layout goes, each row becomes cells joined by bars."""
        self.gap()
        rows = take_until("TE", lines)
        separator = "\t"
        if rows and rows[0].rstrip().endswith(";"):
            m = re.search(r"tab\s*\((.)\)", rows.pop(0))
            separator = m[1] if m else separator
        while rows and not rows.pop(0).rstrip().endswith("."):
            pass  # the column formats end with a full stop
        rows = iter(rows)
        for row in rows:
            if re.match(r"^[.'][ \t]*T&", row):
                while not next(rows, ".").rstrip().endswith("."):
                    pass
            elif not row.startswith((".", "'")) and row.strip(" _=\t" + separator):
                cells = self.cells(row, separator, rows)
                self.blocks_.append(" | ".join(c for c in cells if c not in ("", "_", "=", "\\^")))
        self.gap()

    def cells(self, row, separator, rows):
        """A row's cells; T{ opens a block of lines that T} closes."""
        done = []
        while True:
            parts = row.split(separator)
            if parts[-1].strip() != "T{":
                return done + [squeeze(self.plain(p)) for p in parts]
            done += [squeeze(self.plain(p)) for p in parts[:-1]]
            block = []
            row = next(rows, "T}")
            while not row.startswith("T}"):
                block.append(row)
                row = next(rows, "T}")
            inner = Page(self.strings_)
            inner.read(block)
            done.append(squeeze(inner.text()))
            row = row[2:].removeprefix(separator)
            if not row.strip():
                return done


def character(name):
    """The character a named escape means: \\(bu, \\[u00E9], \\['e]."""
    if name in _CHARACTERS:
        return _CHARACTERS[name]
    if re.fullmatch("u[0-9A-F]{4,6}(?:_[0-9A-F]{4,6})*", name):
        return "".join(chr(int(c, 16)) for c in name[1:].split("_") if int(c, 16) < 0x110000)
    if re.fullmatch(r"char\d+", name):
        return chr(int(name[4:]))
    if len(name) == 2 and name[0] in _ACCENTS and name[1].isalpha():
        return name[1] + _ACCENTS[name[0]]
    return ""


def take_until(end, lines):
    taken = []
    for line in lines:
        if re.match(rf"^[.'][ \t]*{re.escape(end)}(?:\s|$)", line):
            break
        taken.append(line)
    return taken


def skip_until(end, lines):
    take_until(end, lines)


def skip_block(rest, lines):
    """Leaves out what a false condition guards: the rest of the line, or all of a braced block."""
    depth = rest.count("\\{") - rest.count("\\}")
    while depth > 0:
        line = next(lines, None)
        if line is None:
            return
        depth += line.count("\\{") - line.count("\\}")
