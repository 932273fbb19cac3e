#!/usr/bin/env python3
"""A PEFT adapter merged into a Hugging Face folder, and the logits that come of it.

    adapter.py logits BASE ADAPTER 1,2,3    {"tokens", "logits" [T][V], ...} on standard output
    adapter.py make OUT                     makes OUT/adapted, a little mixture with golden.json, and OUT/adapted/adapter

Plain Python floats: W + alpha / r * B A for every module of the adapter, then the formulae of forward.py. Nothing is
shared with src/.
"""
import json
import math
import pathlib
import random
import struct
import sys

sys.dont_write_bytecode = True
import forward  # noqa: E402

PREFIX = "base_model.model."


def read_tensors(path):
    """Name to (shape, values) of a safetensors file of floats and integers."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[8 + length + begin:8 + length + end]
        if entry["dtype"] == "BF16":
            raw = b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))
        kind = dict(F32="f", BF16="f", F16="e", F64="d", I32="i")[entry["dtype"]]
        count = math.prod(entry["shape"])
        tensors[name] = entry["shape"], list(struct.unpack(f"<{count}{kind}", raw))
    return tensors


def write_tensors(path, tensors):
    header, blob = {}, b""
    for name, (shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}f", *values)
        header[name] = dict(dtype="F32", shape=shape, data_offsets=[len(blob), len(blob) + len(data)])
        blob += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def rows_of(shape, values):
    if len(shape) != 2:
        return values
    return [values[i:i + shape[1]] for i in range(0, len(values), shape[1])]


def read_model(folder):
    c = dict(forward.BASE, **json.loads((folder / "config.json").read_text()))
    for key in "n_routed_experts", "n_shared_experts":
        c.setdefault(key, None)
    return c, {name: rows_of(*tensor) for name, tensor in read_tensors(folder / "model.safetensors").items()}


def by_pattern(pattern, module, otherwise):
    for name, value in (pattern or {}).items():
        if module == name or module.endswith("." + name):
            return value
    return otherwise


def merge(weights, adapter):
    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = read_tensors(adapter / "adapter_model.safetensors")
    for name in tensors:
        if not name.endswith(".lora_A.weight"):
            continue
        module = name[len(PREFIX):-len(".lora_A.weight")]
        a, b = rows_of(*tensors[name]), rows_of(*tensors[PREFIX + module + ".lora_B.weight"])
        rank = by_pattern(config.get("rank_pattern"), module, config["r"])
        assert rank == len(a)
        scale = by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
        scale /= math.sqrt(rank) if config.get("use_rslora") else rank
        columns = list(zip(*a))
        weights[module + ".weight"] = [
            forward.plus(row, [forward.dot(b_row, column) for column in columns], scale)
            for row, b_row in zip(weights[module + ".weight"], b)]


def make(out):
    rng = random.Random(99)
    c = dict(forward.BASE, first_k_dense_replace=1, num_key_value_heads=2)
    folder = out / "adapted"
    (folder / "adapter").mkdir(parents=True)
    content, weights = forward.make_weights(c, rng)
    (folder / "model.safetensors").write_bytes(content)
    config = dict(c, model_type="deepseek", hidden_act="silu", torch_dtype="float32")
    (folder / "config.json").write_text(json.dumps(config))
    ranks = {"self_attn.q_proj": 3, "experts.5.down_proj": 1}
    alphas = {"experts.2.gate_proj": 5, "o_proj": 3.5}
    tensors = {}
    for name, shape in forward.tensors_of(c):
        module = name[:-len(".weight")]
        if "_proj" not in name or rng.random() < 0.3:  # some have none
            continue
        rank = by_pattern(ranks, module, 2)
        values = [rng.gauss(0, 1) / math.sqrt(shape[1]) for _ in range(rank * shape[1])]
        tensors[PREFIX + module + ".lora_A.weight"] = [rank, shape[1]], values
        values = [0.3 * rng.gauss(0, 1) for _ in range(shape[0] * rank)]
        tensors[PREFIX + module + ".lora_B.weight"] = [shape[0], rank], values
    write_tensors(folder / "adapter" / "adapter_model.safetensors", tensors)
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(dict(
        peft_type="LORA", task_type="CAUSAL_LM", r=2, lora_alpha=4, rank_pattern=ranks, alpha_pattern=alphas,
        target_modules=[name[len(PREFIX):-len(".lora_A.weight")] for name in tensors if "lora_A" in name])))
    _, weights = read_model(folder)
    merge(weights, folder / "adapter")
    golden = forward.forward(c, weights, [rng.randrange(c["vocab_size"]) for _ in range(12)])
    (folder / "golden.json").write_text(json.dumps(golden))


def main(arguments):
    if arguments[0] == "make":
        return make(pathlib.Path(arguments[1]))
    config, weights = read_model(pathlib.Path(arguments[1]))
    merge(weights, pathlib.Path(arguments[2]))
    print(json.dumps(forward.forward(config, weights, [int(token) for token in arguments[3].split(",")])))


if __name__ == "__main__":
    main(sys.argv[1:])
