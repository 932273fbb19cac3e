"""Text that breaks careless readers: emoji, combining marks, other scripts, CRLF, long runs.

Nothing here is normalised on purpose: é stands both as one character and as e with a mark.
"""

import unicodedata

from .world import PEOPLE, PLACES, THINGS

_FAMILIES = ("👩‍🌾", "👨‍🍳", "👩🏽‍🔧", "🧑‍🏫", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇯🇵", "👍🏿", "1️⃣")
_GREETINGS = ("Привет, город!", "こんにちは、町のみなさん。", "안녕하세요, 마을 여러분.", "שלום לכולם.", "مرحبا بالجميع.", "नमस्ते, नगर।",
              "สวัสดีชาวเมือง", "Xin chào thành phố.", "Καλημέρα, πόλη.", "Բարեւ, քաղաք։")  # fmt: skip


def chat(chance):
    """People of the town writing to each other in emoji."""
    lines = []
    for _ in range(chance.between(3, 6)):
        person, thing = chance.choice(PEOPLE), chance.choice(sorted(THINGS))
        lines.append(f"{chance.choice(_FAMILIES)} {person.en}: {THINGS[thing].emoji * chance.between(1, 3)} {chance.choice('👍🙂🎉❓❤')}")
    return "\n".join(lines) + "\n"


def marks(chance):
    """French place names with their accents as combining marks, or as single characters."""
    form = chance.choice(("NFD", "NFC"))
    words = [PLACES[p].fr for p in chance.sample(sorted(PLACES), 4)] + ["forêt", "Zoë", "naïve", "Å"]
    return unicodedata.normalize(form, ", ".join(words)) + ".\n"


def greetings(chance):
    return "\n".join(chance.sample(_GREETINGS, 4)) + "\n"


def table(chance):
    """Lines that end in CRLF, cells parted by tabs, as old programs write them."""
    rows = [f"{p.en}\t{THINGS[p.makes].price}\t{p.zh}" for p in chance.sample(PEOPLE, 3)]
    return "\r\n".join(["name\tprice\t名字", *rows, ""])


def fixed():
    """Shapes that matter by themselves."""
    nfc = "Le café de la forêt à côté de l'école."
    return [nfc, unicodedata.normalize("NFD", nfc), "x" * 400, "字" * 150, "🙂" * 60, " " * 64 + "end", "\t\t\ttab\n\n\n\nlines",
            "a\u0301\u0302\u0303\u0304\u0305 Z͑ͫ̓ͪ̂ͫ̽͏̴̙", "ｆｕｌｌ　ｗｉｄｔｈ １２３", "1234567890" * 12, "\u00a0no\u00a0break\u2009thin\u3000wide",
            "line\u2028separator\u2029paragraph\u0085next", "\ufeffmark at the start", "a NUL \0 inside", "<|end|> looks special", "don't I'll we've THEY'RE"]  # fmt: skip


def document(chance):
    return chance.choice((chat, marks, greetings, table))(chance)
