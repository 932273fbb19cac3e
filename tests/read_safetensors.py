#!/usr/bin/env python3
"""Reads safetensors files by the format's description alone, to check what dsmoe writes.

Prints a JSON array, one object a file: name -> {"dtype", "shape", "bytes" as hex digits}. Shares nothing with src/.
"""
import json
import sys


def read(path):
    content = open(path, "rb").read()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:8 + length].decode("utf-8")), content[8 + length:]
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        tensors[name] = dict(dtype=tensor["dtype"], shape=tensor["shape"], bytes=data[begin:end].hex())
    assert sum(end - begin for begin, end in (t["data_offsets"] for t in header.values())) == len(data), path
    return tensors


json.dump([read(path) for path in sys.argv[1:]], sys.stdout)
