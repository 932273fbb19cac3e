"""Sums, equations and small formal proofs, all of them right."""

from .world import PEOPLE, THINGS


def document(chance):
    kind = chance.below(4)
    if kind == 0:
        return "\n\n".join(addition(chance) for _ in range(3)) + "\n"
    if kind == 1:
        return "\n".join(equation(chance) for _ in range(6)) + "\n"
    if kind == 2:
        return "\n\n".join(purchase(chance) for _ in range(3)) + "\n"
    return proof(chance)


def addition(chance):
    """Column addition, digit by digit."""
    a, b = chance.between(11, 999), chance.between(11, 999)
    lines, carry, place = [f"Add {a} and {b}."], 0, 0
    while a // 10**place or b // 10**place or carry:
        x, y = a // 10**place % 10, b // 10**place % 10
        total = x + y + carry
        line = f"{x} + {y}" + (f" + {carry}" if carry else "") + f" = {total}"
        lines.append(line + (f", write {total % 10}, carry 1." if total > 9 else f", write {total}."))
        carry, place = total // 10, place + 1
    return "\n".join(lines + [f"So {a} + {b} = {a + b}."])


def equation(chance):
    a, x, b = chance.between(2, 9), chance.between(1, 12), chance.between(1, 20)
    return f"{a} * x + {b} = {a * x + b}; {a} * x = {a * x}; x = {x}."


def purchase(chance):
    """A word problem from the town, with its prices."""
    person = chance.choice(PEOPLE)
    first, second = chance.sample(sorted(THINGS), 2)
    n, m = chance.between(2, 6), chance.between(2, 6)
    p, q = THINGS[first].price, THINGS[second].price
    return (f"{person.en} buys {n} times {THINGS[first].en} at {p} and {m} times {THINGS[second].en} at {q}.\n"
            f"{n} * {p} = {n * p}. {m} * {q} = {m * q}. {n * p} + {m * q} = {n * p + m * q}.\n"
            f"The price is {n * p + m * q}.")  # fmt: skip


def proof(chance):
    """A chain of implications in a notation like Metamath's: hypotheses, steps, conclusion."""
    letters = chance.sample(("ph", "ps", "ch", "th", "ta", "et", "ze"), chance.between(3, 6))
    name = f"syl{chance.between(10, 99)}"
    lines = ["${"]
    for i, (a, b) in enumerate(zip(letters, letters[1:]), 1):
        lines.append(f"  {name}.{i} $e |- ( {a} -> {b} ) $.")
    lines.append(f"  $( A chain of {len(letters) - 1} implications. $)")
    lines.append(f"  {name} $p |- ( {letters[0]} -> {letters[-1]} ) $=")
    have = f"{name}.1"
    for i in range(2, len(letters)):
        lines.append(f"    {i - 1} {have} , {name}.{i} syl |- ( {letters[0]} -> {letters[i]} )")
        have = str(i - 1)
    return "\n".join(lines + ["  $.", "$}", ""])
