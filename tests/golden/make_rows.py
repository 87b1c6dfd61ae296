#!/usr/bin/env python3
"""Makes tests/golden/data/rows from the large golden set and a build of the reference.

    tests/golden/make_rows.py GOLDEN_DIR LIBGGML_BASE

GOLDEN_DIR has gguf/rows: rows, weights, and the reference's verdict and hash for each row, type and
variant. LIBGGML_BASE, a default build of the reference's libggml-base.so, decodes the bytes that
belong to these hashes. Types that ignore importance are kept without it only.
"""

import ctypes
import hashlib
import json
import pathlib
import shutil
import sys

COLS = 1024
# name in GGUF: id, values per block, bytes per block
TYPES = {
    "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
    "IQ2_XXS": (16, 256, 66), "IQ2_XS": (17, 256, 74), "IQ3_XXS": (18, 256, 98),
    "IQ1_S": (19, 256, 50), "IQ4_NL": (20, 32, 18), "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82), "IQ4_XS": (23, 256, 136), "IQ1_M": (29, 256, 56), "BF16": (30, 1, 2),
    "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66), "MXFP4": (39, 32, 17), "NVFP4": (40, 64, 36),
    "Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18),
}  # fmt: skip
IGNORE_IMPORTANCE = {"F16", "BF16", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"}
STATUS = {"ok": "ok", "invalid-output": "invalid", "abort": "invalid"}
HEAD = """\
# Rows of rows.f32 (1024 f32 values each) as the reference encodes them: docs/design/exactness.md.
# Encoded and decoded by llama.cpp of October 2026, default Release build, GCC 12, x86-64. Values:
# from SmolLM2-135M-Instruct (Apache-2.0), rescaled and with noise added, or synthetic. Made by
# tests/golden/make_rows.py.
# type variant row-index row-name status sha256-of-bytes sha256-of-decoded-f32 (first 32 hex digits)
# variant: none = without importance; im, imz = with the first, second row of weights.f32. status:
# ok, or invalid where the reference tool refuses the bytes or stops. A row with NaN or infinity, or
# at which the reference stops, has '-' for both hashes: its bytes are not part of the contract.
"""


class TypeTraits(ctypes.Structure):
    """The first fields of the reference's struct ggml_type_traits."""

    _fields_ = [
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    ]


def short_hash(data):
    return hashlib.sha256(data).hexdigest()[:32]


def main():
    golden, library = pathlib.Path(sys.argv[1]) / "gguf/rows", ctypes.CDLL(sys.argv[2])
    library.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
    target = pathlib.Path(__file__).parent / "data/rows"
    for name in ("rows.f32", "weights.f32"):
        shutil.copyfile(golden / name, target / name)
    lines = [HEAD]
    recorded = json.loads((golden / "rows.json").read_text())["results"]
    for type_name, (type_id, values, size) in TYPES.items():
        row_bytes = COLS // values * size
        traits = library.ggml_get_type_traits(type_id).contents
        assert traits.type_size == size and traits.blck_size == values
        for variant in ("none", "im", "imz"):
            if variant != "none" and type_name in IGNORE_IMPORTANCE:
                continue
            key = f"{type_name.lower().replace('_k', '_K')}.{variant}"
            if key not in recorded:
                continue  # needs importance
            encoded = (golden / "out" / f"{key}.bin").read_bytes()
            for index, (row, status, digest) in enumerate(recorded[key]):
                bytes_of_row = encoded[index * row_bytes :][:row_bytes]
                decoded = "-"
                if status == "abort" or row in ("nan-first", "one-neg-inf", "all-nan"):
                    digest = "-"
                else:
                    assert short_hash(bytes_of_row) == digest, (key, row)
                    out = (ctypes.c_float * COLS)()
                    traits.to_float(bytes_of_row, out, COLS)
                    decoded = short_hash(bytes(out))
                lines.append(
                    f"{type_name} {variant} {index} {row} {STATUS[status]} {digest} {decoded}\n"
                )
    (target / "rows.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
