#!/usr/bin/env python3
"""Makes data/calibrated/layer.safetensors of the large golden set's gptqawq/quant.

usage: make_calibrated.py GOLDEN_DIR

The inputs X [512, 128] of both layers, which are the same, become the mean of x·xᵀ and of |x| over
each half of them: X.gram_cal and X.mean_cal, X.gram_eval. The other tensors are copied, those of the
AWQ layer as awq.NAME.
"""
import array
import json
import pathlib
import struct
import sys


def load(path):
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    return {name: (info["dtype"], info["shape"],
                   data[8 + size + info["data_offsets"][0]:8 + size + info["data_offsets"][1]])
            for name, info in header.items()}


def floats(values):
    return array.array("f", values).tobytes()


def means(rows):
    cols = len(rows[0])
    gram = [0.0] * (cols * cols)
    for row in rows:
        for i, a in enumerate(row):
            for j in range(i, cols):
                gram[i * cols + j] += a * row[j]
    for i in range(cols):
        for j in range(i):
            gram[i * cols + j] = gram[j * cols + i]
    magnitude = [sum(abs(row[i]) for row in rows) / len(rows) for i in range(cols)]
    return [value / len(rows) for value in gram], magnitude


def main():
    quant = pathlib.Path(sys.argv[1]) / "gptqawq/quant"
    gptq, awq = load(quant / "gptq_layer.safetensors"), load(quant / "awq_layer.safetensors")
    assert gptq["X"] == awq["X"] and gptq["W"] == awq["W"]
    _, (count, cols), data = gptq.pop("X")
    x = array.array("f", data)
    rows = [x[i * cols:(i + 1) * cols] for i in range(count)]
    first, magnitude = means(rows[:count // 2])
    second, second_magnitude = means(rows[count // 2:])
    out = {"X.gram_cal": ("F32", [cols, cols], floats(first)),
           "X.mean_cal": ("F32", [cols], floats(magnitude)),
           "X.gram_eval": ("F32", [cols, cols], floats(second)),
           "X.mean_eval": ("F32", [cols], floats(second_magnitude))}
    out.update({name: tensor for name, tensor in gptq.items() if not name.endswith(".g_idx")})
    # Of the groups' numbers only those of the act-order vectors say something.
    out.update({name: tensor for name, tensor in gptq.items()
                if name in ("gptq_desc_sym.g_idx", "gptq_desc_asym.g_idx")})
    out.update({"awq." + name: tensor for name, tensor in awq.items() if name not in ("X", "W", "xmean")})
    header, data = {}, b""
    for name, (dtype, shape, values) in sorted(out.items(), key=lambda item: -len(item[1][2])):
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(__file__).parent / "data/calibrated/layer.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


main()
