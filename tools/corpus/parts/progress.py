"""Says how far a long task is: a bar with rate and time left on a terminal, plain lines elsewhere.

Everything goes to standard error. NO_COLOR (and TERM=dumb) turn colours off.
"""

import os
import sys
import time


def say(text):
    print(text, file=sys.stderr, flush=True)


def warn(text):
    say(paint("33", "! ") + text)


def paint(code, text):
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def duration(seconds):
    seconds = int(seconds + 0.5)
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"


class Progress:
    """Counts megabytes towards `total` (0: unknown). Call update() as often as you like, then finish()."""

    WIDTH, PLAIN_SECONDS, TERMINAL_SECONDS = 24, 5.0, 0.1

    def __init__(self, title, total=0.0, stream=None, clock=time.monotonic):
        self.title_, self.total_, self.clock_ = title, total, clock
        self.stream_ = stream or sys.stderr
        self.terminal_ = self.stream_.isatty()
        self.start_ = self.said_ = clock()
        self.drawn_ = False

    def update(self, done, detail="", total=None):
        if total is not None:
            self.total_ = total
        now = self.clock_()
        if now - self.said_ >= (self.TERMINAL_SECONDS if self.terminal_ else self.PLAIN_SECONDS):
            self.said_ = now
            self.draw_(self.line(done, detail))

    def line(self, done, detail=""):
        passed = max(self.clock_() - self.start_, 1e-9)
        rate = done / passed
        parts = [f"{self.title_:<10}"]
        if self.total_ > 0:
            share = min(done / self.total_, 1.0)
            filled = int(share * self.WIDTH)
            if self.terminal_:
                parts.append(paint("32", "█" * filled) + "·" * (self.WIDTH - filled))
            parts.append(f"{share * 100:3.0f}% {done:.1f}/{self.total_:.1f} MB")
        else:
            parts.append(f"{done:.1f} MB")
        parts.append(f"{rate:.1f} MB/s")
        if self.total_ > done and rate > 0:
            parts.append(f"{duration((self.total_ - done) / rate)} left")
        return " ".join(parts + [detail]).rstrip()

    def finish(self, text):
        """Replaces the bar by a closing line."""
        self.draw_(f"{self.title_:<10} {text} in {duration(self.clock_() - self.start_)}")
        if self.terminal_:
            self.stream_.write("\n")
        self.stream_.flush()

    def draw_(self, line):
        self.stream_.write(f"\r\x1b[K{line}" if self.terminal_ else line + "\n")
        self.stream_.flush()
