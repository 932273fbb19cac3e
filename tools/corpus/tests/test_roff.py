"""The manual-page reader: what pages use, and what must not leak into the text."""

import unittest

from parts import roff


def page(*lines):
    return roff.render("\n".join(lines).encode())


class Text(unittest.TestCase):
    def test_a_paragraph_becomes_one_line(self):
        self.assertEqual(page(".TH X 1", ".SH NAME", "x \\- does", "one thing", ".PP", "Then."), "NAME\n\nx - does one thing\n\nThen.\n")

    def test_cjk_lines_join_without_a_space(self):
        self.assertEqual(page("守护进程的", "意思是在"), "守护进程的意思是在\n")
        self.assertEqual(page("意思是", "daemon"), "意思是 daemon\n")

    def test_font_macros_join_their_arguments(self):
        self.assertEqual(page("See", ".BR kill (2),", ".IR \"a b\" c", "and", ".B bold words"), "See kill(2), a bc and bold words\n")

    def test_escapes(self):
        cases = {
            "\\fBa\\fP\\-\\f(CWb\\fR\\f[I]c": "a-bc",
            "\\(aq\\(lqx\\(rq \\[u00E9]\\[u0041_0301]": "'“x” éA\u0301",
            "50\\ %\\~x\\&y\\|z": "50 % xyz",
            "a\\e\\\\n": "a\\\\n",
            "\\s-2small\\s+2 \\s'10'x\\s0": "small x",
            "\\h'+04'a\\v'1'b": "ab",
            "x\\\" a comment": "x",
            "\\m[blue]link\\m[]": "link",
            "\\o'e^'": "e",
            "\\N'65'": "A",
        }
        for source, text in cases.items():
            with self.subTest(source):
                self.assertEqual(page(source), text + "\n")

    def test_blocks_without_filling_keep_their_lines(self):
        self.assertEqual(page("a", ".nf", "int  x;", "  y;", ".fi", "b"), "a\n\nint  x;\n  y;\n\nb\n")

    def test_comments_and_unknown_requests_leave_nothing(self):
        self.assertEqual(page('.\\" licence', "'\\\" t", ".xyzzy a b", ".", "text"), "text\n")


class Lists(unittest.TestCase):
    def test_tag_stands_above_its_paragraph(self):
        self.assertEqual(page(".TP", ".B EINVAL", "Bad", "value."), "EINVAL\nBad value.\n")

    def test_bullets_open_their_line(self):
        self.assertEqual(page(".IP \\(bu 2", "one", ".IP (long) 3", "two"), "• one\n\n(long)\ntwo\n")

    def test_asciidoc_bullets(self):
        lines = [".RS 4", ".ie n \\{\\", "\\h'-04' 1.\\h'+01'\\c", ".\\}", ".el \\{\\", ".sp -1", ".IP \"  1.\" 4.2", ".\\}", "Close.", ".RE"]
        self.assertEqual(page(*lines), "1. Close.\n")

    def test_links(self):
        self.assertEqual(page(".UR http://a.b", "text", ".UE ."), "text <http://a.b>.\n")


class Control(unittest.TestCase):
    def test_conditions(self):
        cases = [
            ([".if n yes", ".if t no"], "yes"),
            ([".ie t no", ".el yes"], "yes"),
            ([".ie n yes", ".el no"], "yes"),
            ([".if !n no", "yes"], "yes"),
            ([".if t \\{\\", "no", ".if n \\{ no \\}", ".\\}", "yes"], "yes"),
            ([".ie \\n(.g .ds Aq \\(aq", ".el .ds Aq x", "it\\*(Aqs"], "it's"),
            ([".if 'a'b' no", ".if 'a'a' yes"], "yes"),
        ]
        for lines, text in cases:
            with self.subTest(lines):
                self.assertEqual(page(*lines), text + "\n")

    def test_definitions_are_skipped(self):
        self.assertEqual(page(".de XX", "body \\$1", "..", ".ig end", "no", ".end", ".XX a", "yes"), "yes\n")
        self.assertEqual(page(".am URL", ".  ad l", ".  .", "yes"), "yes\n")

    def test_pages_left_out(self):
        self.assertEqual(page(".so man2/kill.2"), "")
        self.assertEqual(page(".Dd today", ".Sh NAME", ".Nm x"), "")

    def test_unfinished_pages_end(self):
        for lines in ([".TS", "l l.", "a\tT{"], [".de X", "y"], [".if t \\{", "no"], [".SH"], [".TP"], ["\\"], ["\\("], [".ds"]):
            with self.subTest(lines):
                self.assertNotIn(".", page(*lines, "")[:1])


class Tables(unittest.TestCase):
    def test_rows_become_bars(self):
        lines = [".TS", "allbox;", "lb lb", "l l.", "Interface\tValue", "_", "T{", ".BR f ()", "T}\tMT-Safe", ".TE", "after"]
        self.assertEqual(page(*lines), "Interface | Value\nf() | MT-Safe\n\nafter\n")

    def test_other_separators(self):
        self.assertEqual(page(".TS", "tab(;);", "l l.", "a;b", ".TE"), "a | b\n")


if __name__ == "__main__":
    unittest.main()
