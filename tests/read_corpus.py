#!/usr/bin/env python3
"""Reads a split of a corpus folder with nothing but the format's description (docs/formats.md), for the tests.

usage: read_corpus.py FOLDER SPLIT    prints one line a document: domain, bytes of text, token ids
"""
import array
import json
import pathlib
import struct
import sys

folder, split = pathlib.Path(sys.argv[1]), sys.argv[2]
idx = (folder / f"{split}.idx").read_bytes()
magic, version, code, sequences, boundaries = struct.unpack_from("<9sQBQQ", idx)
assert magic == b"MMIDIDX\0\0" and version == 1, (magic, version)
at = struct.calcsize("<9sQBQQ")
lengths = struct.unpack_from(f"<{sequences}i", idx, at)
pointers = struct.unpack_from(f"<{sequences}q", idx, at + 4 * sequences)
documents = struct.unpack_from(f"<{boundaries}q", idx, at + 12 * sequences)
assert documents == tuple(range(sequences + 1)), "one sequence a document"
assert at + 12 * sequences + 8 * boundaries == len(idx)

bin_bytes = (folder / f"{split}.bin").read_bytes()
sidecar = json.loads((folder / "domains.json").read_text())
for document, (length, pointer) in enumerate(zip(lengths, pointers)):
    ids = array.array({8: "H", 4: "i"}[code])
    ids.frombytes(bin_bytes[pointer:pointer + length * ids.itemsize])
    domain = sidecar["names"][sidecar[split]["domain"][document]]
    print(domain, sidecar[split]["bytes"][document], *ids)
