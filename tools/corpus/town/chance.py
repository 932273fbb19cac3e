"""Random choices that are the same on every machine and in every version of Python."""

import hashlib


class Chance:
    """splitmix64, seeded by a name. The standard library's choice() and shuffle() changed over the years."""

    MASK = (1 << 64) - 1

    def __init__(self, name):
        self.state_ = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")

    def bits(self):
        self.state_ = (self.state_ + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state_
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.bits() * n >> 64

    def between(self, low, high):
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def choice(self, values):
        return values[self.below(len(values))]

    def yes(self, percent):
        return self.below(100) < percent

    def sample(self, values, count):
        """`count` different ones, in random order."""
        rest = list(values)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]
