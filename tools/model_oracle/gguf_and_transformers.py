#!/usr/bin/env python3
"""For compare.py: what python's gguf package sees in a file, and transformers' logits of a llama folder.

usage: gguf_and_transformers.py FILE.gguf FOLDER|- IDS
Prints one JSON object: keys, tensors, and after the last id logits.
"""
import json
import sys

import gguf

path, folder, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
reader = gguf.GGUFReader(path)
for field in reader.fields.values():
    field.contents()
seen = {"keys": len(reader.fields), "tensors": len(reader.tensors)}
if folder != "-":
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        seen["logits"] = model(torch.tensor([ids])).logits[0, -1].tolist()
print(json.dumps(seen))
