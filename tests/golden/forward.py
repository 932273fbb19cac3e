#!/usr/bin/env python3
"""Golden traces: little models of every gate, written as Hugging Face folders, with the logits they must give.

    forward.py OUT        makes OUT/CASE/{config.json, model.safetensors, golden.json}

Plain Python floats (double), straight from the formulae of DeepSeekMoE and of the DeepSeek-V2 and V3 reports; shares
nothing with src/. golden.json: {"tokens", "logits" [T][V], "experts" {layer: [T][K]}, "margin": the smallest gap that
decided a selection}.
"""
import json
import math
import pathlib
import random
import struct
import sys

BASE = dict(
    vocab_size=41, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
    intermediate_size=20, max_position_embeddings=128, n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3,
    moe_intermediate_size=6, first_k_dense_replace=0, moe_layer_freq=1, norm_topk_prob=False, scoring_func="softmax",
    rms_norm_eps=1e-6, rope_theta=10000.0, bos_token_id=0, eos_token_id=1)
V3 = dict(scoring_func="sigmoid", topk_method="noaux_tc", norm_topk_prob=True, routed_scaling_factor=2.5)
CASES = {
    "deepseekmoe": dict(first_k_dense_replace=1),
    "deepseekmoe_bf16": dict(first_k_dense_replace=1, torch_dtype="bfloat16"),
    "normalised": dict(norm_topk_prob=True, routed_scaling_factor=16.0, topk_method="greedy"),
    "switch": dict(num_experts_per_tok=1, n_shared_experts=None),
    "one_is_never_normalised": dict(num_experts_per_tok=1, norm_topk_prob=True, routed_scaling_factor=3.0),
    "v3_one": dict(V3, num_experts_per_tok=1),
    "sigmoid": dict(V3, topk_method="greedy"),
    "hash": dict(router_type="hash", num_experts_per_tok=1, n_shared_experts=None),
    "gshard": dict(router_type="gshard", num_experts_per_tok=2, n_shared_experts=None),
    "group_limited": dict(topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=16.0),
    "v3": dict(V3),
    "v3_groups": dict(V3, n_group=4, topk_group=2),
    "long": dict(num_key_value_heads=2, moe_layer_freq=2, num_hidden_layers=3, length=70),
    "llama": dict(n_routed_experts=None, num_key_value_heads=1),
}


def tensors_of(c):
    """Names and shapes, in Hugging Face's convention [out, in]."""
    D, kv = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    yield "model.embed_tokens.weight", [c["vocab_size"], D]
    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        yield p + "input_layernorm.weight", [D]
        for name, rows in ("q", D), ("k", kv), ("v", kv), ("o", D):
            yield p + f"self_attn.{name}_proj.weight", [rows, D]
        yield p + "post_attention_layernorm.weight", [D]
        if not is_moe(c, l):
            yield from ffn_tensors(p + "mlp.", D, c["intermediate_size"])
            continue
        if c.get("router_type") == "hash":
            yield p + "mlp.gate.hash_table", [c["vocab_size"], c["num_experts_per_tok"]]
        else:
            yield p + "mlp.gate.weight", [c["n_routed_experts"], D]
        if c.get("topk_method") == "noaux_tc":
            yield p + "mlp.gate.e_score_correction_bias", [c["n_routed_experts"]]
        for e in range(c["n_routed_experts"]):
            yield from ffn_tensors(p + f"mlp.experts.{e}.", D, c["moe_intermediate_size"])
        if c["n_shared_experts"]:
            yield from ffn_tensors(p + "mlp.shared_experts.", D, c["n_shared_experts"] * c["moe_intermediate_size"])
    yield "model.norm.weight", [D]
    yield "lm_head.weight", [c["vocab_size"], D]


def ffn_tensors(prefix, D, F):
    yield prefix + "gate_proj.weight", [F, D]
    yield prefix + "up_proj.weight", [F, D]
    yield prefix + "down_proj.weight", [D, F]


def is_moe(c, layer):
    return bool(c["n_routed_experts"]) and layer >= c["first_k_dense_replace"] and layer % c["moe_layer_freq"] == 0


def stored(values, dtype):
    """Bytes in the file, and the values that they mean."""
    if dtype == "I32":
        return struct.pack(f"<{len(values)}i", *values), values
    data = struct.pack(f"<{len(values)}f", *values)
    if dtype == "BF16":
        words = struct.unpack(f"<{2 * len(values)}H", data)[1::2]  # the upper halves: cut, not rounded
        data = struct.pack(f"<{len(words)}H", *words)
        full = struct.pack(f"<{2 * len(words)}H", *(x for word in words for x in (0, word)))
        return data, list(struct.unpack(f"<{len(words)}f", full))
    return data, list(struct.unpack(f"<{len(values)}f", data))


def make_weights(c, rng):
    header, blob, weights, at = {}, b"", {}, 0
    for name, shape in tensors_of(c):
        count = math.prod(shape)
        dtype = "BF16" if c.get("torch_dtype") == "bfloat16" else "F32"
        if name.endswith("hash_table"):
            dtype, values = "I32", [rng.randrange(c["n_routed_experts"]) for _ in range(count)]
        elif name.endswith("norm.weight"):
            values = [1 + 0.2 * rng.gauss(0, 1) for _ in range(count)]
        elif name.endswith("bias"):
            dtype, values = "F32", [0.1 * rng.gauss(0, 1) for _ in range(count)]
        else:
            scale = 2 if "mlp.gate." in name else 1  # routers more decided than the rest
            deviation = 1.0 if "embed" in name else scale / math.sqrt(shape[1])
            values = [deviation * rng.gauss(0, 1) for _ in range(count)]
        data, values = stored(values, dtype)
        header[name] = dict(dtype=dtype, shape=shape, data_offsets=[at, at + len(data)])
        blob, at = blob + data, at + len(data)
        width = shape[-1] if len(shape) == 2 else count
        weights[name] = [values[i:i + width] for i in range(0, count, width)] if len(shape) == 2 else values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + blob, weights


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def times(matrix, x):
    return [dot(row, x) for row in matrix]


def plus(a, b, scale=1.0):
    return [x + scale * y for x, y in zip(a, b)]


def norm(x, weight, eps):
    inverse = 1 / math.sqrt(dot(x, x) / len(x) + eps)
    return [v * inverse * w for v, w in zip(x, weight)]


def rotate(heads, A, theta, position):
    out = list(heads)
    for begin in range(0, len(heads), A):
        for i in range(A // 2):
            angle = position / theta ** (2 * i / A)
            a, b = heads[begin + i], heads[begin + i + A // 2]
            out[begin + i] = a * math.cos(angle) - b * math.sin(angle)
            out[begin + i + A // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def softmax(x):
    top = max(x)
    e = [math.exp(v - top) for v in x]
    return [v / math.fsum(e) for v in e]


def ffn(w, prefix, x):
    gate, up = times(w[prefix + "gate_proj.weight"], x), times(w[prefix + "up_proj.weight"], x)
    return times(w[prefix + "down_proj.weight"], [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)])


def best(scores, count, margins):
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if count < len(order) and scores[order[count]] > -math.inf:
        margins.append(scores[order[count - 1]] - scores[order[count]])
    return order[:count]


def choose(c, w, prefix, x, token, margins):
    """Experts, best first, and what their outputs are multiplied by."""
    K, E = c["num_experts_per_tok"], c["n_routed_experts"]
    if c.get("router_type") == "hash":
        return w[prefix + "hash_table"][token], [1.0] * K
    logits = times(w[prefix + "weight"], x)
    sigmoid = c["scoring_func"] == "sigmoid"
    s = [1 / (1 + math.exp(-v)) for v in logits] if sigmoid else softmax(logits)
    method = c.get("topk_method", "greedy")
    ranked = plus(s, w[prefix + "e_score_correction_bias"]) if method == "noaux_tc" else list(s)
    groups = c.get("n_group", 1)
    if groups > 1:
        size = E // groups
        members = [sorted(ranked[g * size:(g + 1) * size], reverse=True) for g in range(groups)]
        kept = best([m[0] + m[1] if method == "noaux_tc" else m[0] for m in members], c["topk_group"], margins)
        ranked = [v if e // size in kept else -math.inf for e, v in enumerate(ranked)]
    experts = best(ranked, K, margins)
    gates, scale = [s[e] for e in experts], c.get("routed_scaling_factor", 1.0)
    if c.get("router_type") == "gshard":
        gates = [g / (math.fsum(gates) + 1e-9) for g in gates]
    elif method == "noaux_tc" or sigmoid:  # DeepSeek-V3: normalise, then scale
        total = math.fsum(gates) + 1e-20 if c["norm_topk_prob"] and K > 1 else 1.0
        gates = [g / total * scale for g in gates]
    elif c["norm_topk_prob"] and K > 1:  # DeepSeek-V2: one or the other
        gates = [g / (math.fsum(gates) + 1e-20) for g in gates]
    else:
        gates = [g * scale for g in gates]
    return experts, gates


def forward(c, w, tokens):
    A = c["hidden_size"] // c["num_attention_heads"]
    share = c["num_attention_heads"] // c["num_key_value_heads"]
    keys, values = [[[] for _ in range(c["num_hidden_layers"])] for _ in range(2)]
    logits, experts_of, margins = [], {}, []
    for position, token in enumerate(tokens):
        x = w["model.embed_tokens.weight"][token]
        for l in range(c["num_hidden_layers"]):
            p = f"model.layers.{l}."
            h = norm(x, w[p + "input_layernorm.weight"], c["rms_norm_eps"])
            q, k, v = (times(w[p + f"self_attn.{n}_proj.weight"], h) for n in "qkv")
            q, k = (rotate(z, A, c["rope_theta"], position) for z in (q, k))
            keys[l].append(k)
            values[l].append(v)
            mixed = []
            for head in range(c["num_attention_heads"]):
                at = head // share * A
                p_j = softmax([dot(q[head * A:(head + 1) * A], key[at:at + A]) / math.sqrt(A) for key in keys[l]])
                mixed += [math.fsum(a * value[at + d] for a, value in zip(p_j, values[l])) for d in range(A)]
            x = plus(x, times(w[p + "self_attn.o_proj.weight"], mixed))
            h = norm(x, w[p + "post_attention_layernorm.weight"], c["rms_norm_eps"])
            if not is_moe(c, l):
                x = plus(x, ffn(w, p + "mlp.", h))
                continue
            experts, gates = choose(c, w, p + "mlp.gate.", h, token, margins)
            experts_of.setdefault(str(l), []).append(experts)
            for e, g in zip(experts, gates):
                x = plus(x, ffn(w, p + f"mlp.experts.{e}.", h), g)
            if c["n_shared_experts"]:
                x = plus(x, ffn(w, p + "mlp.shared_experts.", h))
        logits.append(times(w["lm_head.weight"], norm(x, w["model.norm.weight"], c["rms_norm_eps"])))
    return dict(tokens=tokens, logits=logits, experts=experts_of, margin=min(margins, default=1.0))


def main(out):
    for number, (name, changes) in enumerate(CASES.items()):
        c = dict(BASE, **changes)
        length = c.pop("length", 12)
        rng = random.Random(number + 1)
        folder = out / name
        folder.mkdir(parents=True)
        content, weights = make_weights(c, rng)
        golden = forward(c, weights, [rng.randrange(c["vocab_size"]) for _ in range(length)])
        config = {key: value for key, value in c.items() if value is not None}
        config.update(model_type="deepseek" if c["n_routed_experts"] else "llama", hidden_act="silu")
        config.setdefault("torch_dtype", "float32")
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(content)
        (folder / "golden.json").write_text(json.dumps(golden))
        print(name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
