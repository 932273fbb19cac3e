"""Cleaning, HTML, POD, dictionaries, novels, sayings, code, metamath and JSON."""

import json
import struct
import unittest
import zlib

from parts import markup, prose, structured, text


class Cleaning(unittest.TestCase):
    def test_lines_and_controls(self):
        self.assertEqual(text.clean("\ufeffa \r\nb\r\n\n\n\nc\f\x00\u00a0d\n\n"), "a\nb\n\nc d\n")
        self.assertEqual(text.clean(" \n\n"), "")

    def test_overstrikes_and_colours(self):
        self.assertEqual(text.clean("N\bNA\bAM\bM_\bE"), "NAME\n")
        self.assertEqual(text.strip_ansi("\x1b[35;1mfoo\x1b[;m [32mbar[0m"), "foo bar")

    def test_clean_is_idempotent(self):
        for sample in ("a\r\r\nb", "x\b\by\n\n\n\n", "\f\n\f", "中\u3000\n文"):
            self.assertEqual(text.clean(text.clean(sample)), text.clean(sample))

    def test_decode_falls_back(self):
        self.assertEqual(text.decode("é".encode("latin-1")), "é")
        self.assertEqual(text.decode("é中".encode()), "é中")

    def test_unwrap_joins_long_lines_only(self):
        long = "word " * 11 + "end"
        self.assertEqual(text.unwrap(f"{long}\nmore\nshort\nlast"), f"{long} more\nshort\nlast")

    def test_group_loses_nothing(self):
        pieces = [str(i) * (i % 7 + 1) for i in range(50)]
        grouped = list(text.group(pieces, 20, "|"))
        self.assertEqual("|".join(grouped).split("|"), pieces)
        self.assertTrue(all(len(g.replace("|", "")) >= 20 for g in grouped[:-1]))
        self.assertEqual(list(text.group([], 20)), [])


class Languages(unittest.TestCase):
    ENGLISH = "On success the function returns the number of bytes that can be read from it."

    def test_english_prose_is_told_from_code_and_german(self):
        self.assertTrue(text.is_english(self.ENGLISH))
        for other in ("int main(void) { for (;;) { if (x) return y; } }", "Das ist die Ausgabe, wenn es in der Datei steht.",
                      "La fonction renvoie la valeur qui est dans le fichier."):  # fmt: skip
            self.assertFalse(text.is_english(other), other)

    def test_untranslated_paragraphs_go(self):
        russian = "Функция возвращает количество прочитанных байт из файла."
        self.assertEqual(text.keep_language(f"{russian}\n\n{self.ENGLISH}\n\nint x;", "ru"), f"{russian}\n\nint x;")
        self.assertEqual(text.keep_language(f"Das da.\n\n{self.ENGLISH}", "de"), "Das da.")

    def test_pages_with_little_of_the_language_go(self):
        self.assertEqual(text.keep_language("选项\n\nprintf(format, argument, another)", "zh"), "")

    def test_repeated_paragraphs_go_after_the_limit(self):
        notice = "This page is part of release {} of the manual, see the project for more."
        repeats = text.Repeats(limit=2)
        kept = [repeats.filter(f"body {i} of the page\n\n" + notice.format(i)) for i in range(4)]
        self.assertEqual([k.count("release") for k in kept], [1, 1, 0, 0])
        self.assertTrue(all(k.startswith("body") for k in kept))

    def test_headings_left_alone_at_the_end_go(self):
        self.assertEqual(text.drop_last_headings("A\n\nIt is.\n\nSEE ALSO\n\nAUTHORS"), "A\n\nIt is.")
        self.assertEqual(text.drop_last_headings("ONLY"), "ONLY")


class Markup(unittest.TestCase):
    def test_html(self):
        source = """<html><head><title>no</title></head><body><div class="navheader"><p>Prev</p></div>
          <h1>Title</h1><p>One
          <b>bold</b>&nbsp;word &lt;x&gt;.<br>Next</p><script>no()</script>
          <ul><li>a</li><li><p>b</p></li></ul><pre>x
            y</pre><table><tr><th>h</th><td>1</td></tr></table><div class="toc"><p>no</p></div><footer>no</footer></body>"""
        expected = "Title\n\nOne bold word <x>.\nNext\n\n• a\n\nb\n\nx\n            y\n\nh | 1\n"
        self.assertEqual(markup.render_html(source.encode()), expected)

    def test_broken_html_ends(self):
        for source in ("<p>a</div></p>b", "<li>", "</p></p>", "<pre>x", "<a <b", "&#xffffffff;", "<!--"):
            markup.render_html(source.encode())

    def test_sections(self):
        chapter = "<h1>c</h1>" + "x" * 300 + "<h2 class='t'>s</h2>" + "y" * 300
        self.assertEqual([s[:3] for s in markup.split_sections([chapter.encode()])], ["<h1", "<h2"])

    def test_pod(self):
        source = ("=head1 NAME\n\nB<bold I<it>> C<< a->b <c> >> L<perlfunc/open> L<text|url> E<lt>X<index>\n\n    code  C<x>\n\n"
                  "=over 4\n\n=item *\n\nitem\n\n=item 1.\n\n=back\n\n=begin html\n\nno\n\n=end html\n\nlast\n")  # fmt: skip
        self.assertEqual(markup.render_pod(source.encode()), "NAME\n\nbold it a->b <c> perlfunc/open text <\n\n    code  C<x>\n\nitem\n\nlast\n")


def r_database(*objects):
    records = b""
    for data in objects:
        records += struct.pack(">I", len(data)) + zlib.compress(data)
    return records


def r_vector(lines, version=3):
    header = b"X\n" + struct.pack(">iii", version, 0, 0) + (struct.pack(">i", 5) + b"UTF-8" if version == 3 else b"")
    body = struct.pack(">ii", 16, len(lines))
    for line in lines:
        body += struct.pack(">ii", 0x00040009, len(line.encode())) + line.encode()
    return header + body


class Prose(unittest.TestCase):
    def test_r_strings(self):
        other = b"X\n" + struct.pack(">iiiii", 2, 0, 0, 13, 1) + b"\0\0\0\1"  # an integer vector
        database = r_database(r_vector(["EMMA", "", "é"]), other, r_vector(["two"], version=2))
        self.assertEqual(prose.r_strings(database), ["EMMA\n\né", "two"])
        self.assertEqual(prose.r_strings(b"\0\0\0\1nonsense"), [])
        self.assertEqual(prose.r_strings(b""), [])

    def test_novels_split_at_chapters(self):
        database = r_database(r_vector(["T", "CHAPTER I", "a", "Chapter 2", "b"]))
        self.assertEqual(list(prose.split_novels([database])), ["T", "CHAPTER I\na", "Chapter 2\nb"])

    def test_sayings(self):
        pieces = list(prose.split_sayings(["one\n%\n\x1b[32mtwo\x1b[m\n%\n│ table\n".encode()]))
        self.assertEqual([prose.render_sayings(p) for p in pieces], ["one\n\ntwo\n"])

    def test_dictionary(self):
        preface = "00-database-info\n   about\n"
        entry = ("Abbe \\Ab\"be`\\ ([a^]b\"b[=a]), n. [F. abb['e]. See {Abbot}.] words enough to fill the line of text\n"
                 "   and wrap. [1913 Webster]\n\n   2. The French\n      [1913 Webster]\n\n            A verse\n            --Shak.\n")  # fmt: skip
        piece, = prose.split_dictionary([(preface + entry).encode()])
        rendered = prose.render_dictionary(piece)
        self.assertEqual(rendered, "Abbe, n. [F. abbé. See Abbot.] words enough to fill the line of text and wrap.\n\n"
                                   "2. The French\n\nA verse --Shak.\n")  # fmt: skip

    def test_entities_in_sentences(self):
        self.assertEqual(prose.render_lines("a &lt; b&nbsp;c"), "a < b c\n")


class Structured(unittest.TestCase):
    def test_licences_go_from_the_top_only(self):
        code = "int x; /* Copyright of the body stays */\n"
        for notice in ("/*\n * Copyright 2000.\n */\n\n", "// Licensed under X\n// more\n\n", "/* -*- C -*- */\n/* All rights reserved */\n"):
            rendered = structured.render_code((notice + code).encode())
            self.assertTrue(rendered.endswith(code), rendered)
            self.assertNotIn("rights reserved", rendered)
            self.assertNotIn("2000", rendered)
        self.assertEqual(structured.render_code(b"/* What it does */\n#include <x>\n"), "/* What it does */\n#include <x>\n")
        self.assertEqual(structured.render_code(b"#!/usr/bin/python\n# Copyright\nx = 1\n"), "#!/usr/bin/python\n# Copyright\nx = 1\n")
        self.assertEqual(structured.render_code(b"# Copyright me\n# Licence\n\nx = 1\n"), "x = 1\n")

    def test_metamath_is_cut_between_theorems(self):
        theorem = "  ${\n    a.1 $e |- a $.\n    $( About ${ it. $)\n    a $p |- b $= c $.\n  $}\n"
        pieces = list(structured._statements(theorem * 3))
        self.assertEqual(len(pieces), 3)
        for piece in pieces:
            self.assertEqual((piece.count("${\n"), piece.count("$}")), (1, 1))

    def test_json_documents_are_json(self):
        data = {"api": {"X": {"__compat": {"support": {"a": {"version_added": "1"}, "b": [{"v": 1, "t": "{ x  y }"}]}}}}, "meta": {}}
        document, = structured.split_compat_data([json.dumps(data).encode()])
        self.assertEqual(json.loads(document), {"X": data["api"]["X"]})
        self.assertIn('"a": { "version_added": "1" }', document)

    def test_countries(self):
        data = {"Government": {"Country name": {"conventional short form": {"text": "Mali"}}},
                "Geography": {"Area": {"total": {"text": "1 &amp; 2<b>x</b>"}}, "Odd": "no", "Climate": {"text": "dry ++ hot"}}}  # fmt: skip
        rendered = structured.render_country(json.dumps(data).encode())
        self.assertTrue(rendered.startswith("Mali\n\nGovernment\n"))
        self.assertIn("Area - total: 1 & 2 x\nClimate: dry; hot", rendered)


if __name__ == "__main__":
    unittest.main()
