"""Small programs in Python and C. Every program checks itself, and every check holds."""

_NOUNS = ("total", "score", "weight", "length", "price", "level", "depth", "distance", "harvest", "ticket", "tide", "load", "ration", "signal",
          "margin", "budget", "angle", "queue", "crowd", "shadow")  # fmt: skip
_VERBS = ("sum", "scale", "shift", "limit", "mix", "count", "fold", "step", "share", "trim", "rank", "merge", "grow", "split", "raise", "lower")


def name(chance):
    return f"{chance.choice(_VERBS)}_{chance.choice(_NOUNS)}"


class Function:
    """One function in both languages, with what it gives for some arguments."""

    def __init__(self, chance, used):
        self.name = name(chance)
        while self.name in used:
            self.name = name(chance)
        used.add(self.name)
        a, b = chance.between(2, 9), chance.between(1, 9)
        self.about, self.arguments, self.python, self.c, self.value = chance.choice(_KINDS)(a, b, self.name)
        self.calls = [tuple(chance.between(1, 12) for _ in self.arguments) for _ in range(chance.between(2, 3))]


def linear(a, b, _):
    return (f"Multiplies x by {a}, y by {b} and adds them.", ("x", "y"), [f"return {a} * x + {b} * y"],
            [f"return {a} * x + {b} * y;"], lambda x, y: a * x + b * y)  # fmt: skip


def loop_sum(a, b, _):
    return (f"Sums i * {a} + {b} for i below n.", ("n",),
            ["total = 0", "for i in range(n):", f"    total += i * {a} + {b}", "return total"],
            ["int total = 0;", "for (int i = 0; i < n; i++) {", f"    total += i * {a} + {b};", "}", "return total;"],
            lambda n: sum(i * a + b for i in range(n)))  # fmt: skip


def count_if(a, b, _):
    return (f"Counts the numbers up to n that leave {b % a} when divided by {a}.", ("n",),
            ["found = 0", "for i in range(1, n + 1):", f"    if i % {a} == {b % a}:", "        found += 1", "return found"],
            ["int found = 0;", "for (int i = 1; i <= n; i++) {", f"    if (i % {a} == {b % a}) {{", "        found++;", "    }", "}", "return found;"],
            lambda n: sum(i % a == b % a for i in range(1, n + 1)))  # fmt: skip


def clamp(a, b, _):
    low, high = a, a + b
    return (f"Keeps x between {low} and {high}.", ("x",),
            [f"if x < {low}:", f"    return {low}", f"if x > {high}:", f"    return {high}", "return x"],
            [f"if (x < {low}) {{", f"    return {low};", "}", f"if (x > {high}) {{", f"    return {high};", "}", "return x;"],
            lambda x: min(max(x, low), high))  # fmt: skip


def recursion(a, b, own):
    def value(n):
        return b if n == 0 else a + value(n - 1)

    return (f"Adds {a} to itself n times, starting from {b}.", ("n",),
            ["if n == 0:", f"    return {b}", f"return {a} + {own}(n - 1)"],
            ["if (n == 0) {", f"    return {b};", "}", f"return {a} + {own}(n - 1);"], value)  # fmt: skip


def greatest_divisor(a, b, _):
    def value(x, y):
        while y:
            x, y = y, x % y
        return x

    return ("Finds the greatest number that divides both x and y.", ("x", "y"),
            ["while y != 0:", "    x, y = y, x % y", "return x"],
            ["while (y != 0) {", "    int rest = x % y;", "    x = y;", "    y = rest;", "}", "return x;"], value)  # fmt: skip


_KINDS = (linear, loop_sum, count_if, clamp, recursion, greatest_divisor)


def functions(chance):
    used = set()
    return [Function(chance, used) for _ in range(chance.between(1, 3))]


def python(chance):
    lines = []
    for f in functions(chance):
        lines += [f"def {f.name}({', '.join(f.arguments)}):", f'    """{f.about}"""']
        lines += ["    " + line for line in f.python] + ["", ""]
        lines += [f"assert {f.name}({', '.join(map(str, call))}) == {f.value(*call)}" for call in f.calls] + ["", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def c(chance):
    lines, checks = ["#include <assert.h>", ""], []
    for f in functions(chance):
        lines += [f"/* {f.about} */", f"int {f.name}({', '.join('int ' + a for a in f.arguments)})", "{"]
        lines += ["    " + line for line in f.c] + ["}", ""]
        checks += [f"    assert({f.name}({', '.join(map(str, call))}) == {f.value(*call)});" for call in f.calls]
    return "\n".join(lines + ["int main(void)", "{"] + checks + ["    return 0;", "}", ""])
