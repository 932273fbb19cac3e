#!/usr/bin/env python3
"""For compare.py: the squared errors of two quantised files against a file of floats, and tensors of different types.

usage: errors.py FLOATS.gguf OURS.gguf THEIRS.gguf
"""
import json
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

floats, ours, theirs = (gguf.GGUFReader(path) for path in sys.argv[1:4])
by_name = [{tensor.name: tensor for tensor in file.tensors} for file in (ours, theirs)]
sums, differ = [0.0, 0.0], []
for tensor in floats.tensors:
    pair = [names[tensor.name] for names in by_name]
    if pair[0].tensor_type != pair[1].tensor_type:
        differ.append([tensor.name, pair[0].tensor_type.name, pair[1].tensor_type.name])
    exact = dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
    for i in range(2):
        sums[i] += float(((dequantize(pair[i].data, pair[i].tensor_type) - exact) ** 2).sum())
print(json.dumps({"types_differ": differ, "ratio": sums[0] / sums[1]}))
