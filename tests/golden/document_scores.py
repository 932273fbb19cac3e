#!/usr/bin/env python3
"""Golden statistics of scores by document.

    document_scores.py OURS THEIRS OUT

OURS and THEIRS are records as `dsmoe eval perplexity --samples` writes them, of the same documents. OUT gets, under the
name of each domain and under "" for all: the figures of OURS, and under "against" those of the differences.

The error of a ratio y/x of sums over n documents is that of a sample survey, from variances and covariance:
n (var y + R^2 var x - 2 R cov) / (sum x)^2; of one document there is none. Sums are exact fractions; nothing is shared
with src/.
"""
import json
import math
import sys
from fractions import Fraction


def ratio(amounts, sizes):
    y, x, n = [Fraction(a) for a in amounts], [Fraction(s) for s in sizes], len(amounts)
    value = sum(y) / sum(x)
    if n < 2:
        return float(value), None
    centred = lambda values: [v - sum(values) / n for v in values]
    product = lambda a, b: sum(p * q for p, q in zip(centred(a), centred(b))) / (n - 1)
    variance = n * (product(y, y) + value**2 * product(x, x) - 2 * value * product(y, x)) / sum(x) ** 2
    return float(value), math.sqrt(variance)


def figures(nats, records):
    per_token = ratio(nats, [r["tokens"] for r in records])
    bits = ratio(nats, [r["bytes"] for r in records])
    return {"nats_per_token": per_token[0], "nats_per_token_stderr": per_token[1],
            "bits_per_byte": bits[0] / math.log(2), "bits_per_byte_stderr": bits[1] and bits[1] / math.log(2)}


def main(ours, theirs, out):
    read = lambda name: [json.loads(line) for line in open(name, encoding="utf-8")]
    pairs = list(zip(read(ours), read(theirs), strict=True))
    golden = {}
    for domain in ["", *dict.fromkeys(a["domain"] for a, _ in pairs)]:
        chosen = [(a, b) for a, b in pairs if domain in ("", a["domain"])]
        records = [a for a, _ in chosen]
        golden[domain] = figures([a["nats"] for a in records], records)
        golden[domain]["against"] = figures([Fraction(a["nats"]) - Fraction(b["nats"]) for a, b in chosen], records)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(golden, file)


main(*sys.argv[1:])
