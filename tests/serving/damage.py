#!/usr/bin/env python3
"""Copies a good GPTQ directory (4 bits, symmetric, one file) with one thing changed.

    damage.py list | KIND GOOD_DIR OUT_DIR

`awq` is no damage: the same weights as an AWQ checkpoint. The kinds that begin with awq- damage that.
Each kind is a function whose docstring is a regular expression that check_directory.py's output must
match; check_the_check.sh demands it.
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy as np

DTYPES = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8", "BF16": "<u2"}


class Directory:
    """A checkpoint in memory: JSON files, other files by name, tensors as name: (dtype, array)."""

    def __init__(self, folder):
        self.json, self.files, self.tensors, self.metadata = {}, {}, {}, {"format": "pt"}
        self.truncated = 0  # bytes that the file of tensors lacks at its end
        for path in sorted(folder.iterdir()):
            if path.name in ("config.json", "quantize_config.json"):
                self.json[path.name] = json.loads(path.read_text())
            elif path.suffix == ".safetensors":
                self.read_tensors(path)
            elif path.name != "model.safetensors.index.json":
                self.files[path.name] = path.read_bytes()

    def read_tensors(self, path):
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            self.tensors[name] = entry["dtype"], values.copy()

    def write(self, folder):
        folder.mkdir(parents=True)
        for name, value in self.json.items():
            (folder / name).write_text(json.dumps(value, indent=2))
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        header, offset = ({"__metadata__": self.metadata} if self.metadata else {}), 0
        for name, (dtype, values) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [offset, offset + values.nbytes]}
            offset += values.nbytes
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        body = b"".join(values.tobytes() for _, values in self.tensors.values())
        data = struct.pack("<Q", len(text)) + text + body
        (folder / "model.safetensors").write_bytes(data[: len(data) - self.truncated])

    def named(self, suffix):
        return [name for name in self.tensors if name.endswith(suffix)]

    def edit(self, suffix, change):
        """Replaces the values of each tensor whose name ends so."""
        for name in self.named(suffix):
            dtype, values = self.tensors[name]
            self.tensors[name] = dtype, np.ascontiguousarray(change(values))

    def configure(self, **fields):
        self.json["config.json"]["quantization_config"].update(fields)
        if "quantize_config.json" in self.json:
            self.json["quantize_config.json"].update(fields)


def nibbles(words):
    """int32 [n, words] as codes [n, words, 8], lowest nibble first."""
    return (words.view(np.uint32)[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15


def words(codes):
    """The inverse of nibbles."""
    return (codes.astype(np.uint32) << (4 * np.arange(8, dtype=np.uint32))).sum(-1, dtype=np.uint32).view(np.int32)


# Kinds that are a good directory of the other format.


def awq(d, column_of_nibble=(0, 2, 4, 6, 1, 3, 5, 7)):
    for name in d.named(".qweight"):
        module = name.removesuffix(".qweight")
        codes = nibbles(d.tensors[name][1].T).reshape(d.tensors[name][1].shape[1], -1).T  # [in, out]
        groups, out = d.tensors[f"{module}.scales"][1].shape
        zeros = np.full((groups, out), 8)
        for part, values in (("qweight", codes), ("qzeros", zeros)):
            packed = words(values.reshape(len(values), -1, 8)[..., list(column_of_nibble)])
            d.tensors[f"{module}.{part}"] = "I32", packed
        d.tensors.pop(f"{module}.g_idx")
    d.json.pop("quantize_config.json", None)
    config = d.json["config.json"]
    config.pop("dtype", None)
    config["torch_dtype"] = "float16"
    group_size = config["quantization_config"]["group_size"]
    config["quantization_config"] = {
        "quant_method": "awq", "bits": 4, "group_size": group_size, "zero_point": True, "version": "gemm",
        "modules_to_not_convert": None,
    }  # fmt: skip


# Damage to the format.


def missing_config(d):
    r"config\.json: .*No such file"
    d.json.pop("config.json")


def missing_quantize_config(d):
    r"quantize_config\.json: .*No such file"
    d.json.pop("quantize_config.json")


def missing_tokenizer(d):
    r"tokenizer\.json: the source has it"
    d.files.pop("tokenizer.json")


def missing_tensors_file(d):
    r"model\.safetensors: .* bytes, the header says"
    d.truncated = 1000


def missing_qzeros(d):
    r"q_proj: has \['g_idx', 'qweight', 'scales'\]"
    d.tensors.pop(d.named("q_proj.qzeros")[0])


def missing_norm(d):
    r"missing: \['model\.norm\.weight'\]"
    d.tensors.pop("model.norm.weight")


def missing_module(d):
    r"missing: \['model\.layers\.3\.mlp\.down_proj\.weight'\]"
    for name in [n for n in d.tensors if n.startswith("model.layers.3.mlp.down_proj.")]:
        d.tensors.pop(name)


def no_format_metadata(d):
    r"metadata format is None"
    d.metadata = {}


def scales_float32(d):
    r"q_proj\.scales: dtype F32, expected F16"
    for name in d.named("q_proj.scales"):
        d.tensors[name] = "F32", d.tensors[name][1].astype("<f4")


def qweight_int64(d):
    r"o_proj\.qweight: dtype I64, expected I32"
    for name in d.named("o_proj.qweight"):
        d.tensors[name] = "I64", d.tensors[name][1].astype("<i8")


def stray_integers(d):
    r"model\.norm\.position: dtype I32 marks its module"
    d.tensors["model.norm.position"] = "I32", np.arange(4, dtype="<i4")


def leftover_weight(d):
    r"v_proj: has \[.*'weight'"
    name = d.named("v_proj.qweight")[0].removesuffix("qweight")
    d.tensors[name + "weight"] = "F16", np.zeros((192, 576), "<f2")


def transposed_scales(d):
    r"k_proj\.(qweight|scales|qzeros): shape"
    d.edit("k_proj.scales", lambda values: values.T)


def group_size_in_config(d):
    r"scales: shape .* expected"
    d.configure(group_size=32)


def bits_in_config(d):
    r"qzeros: shape .* expected|g_idx: shape .* expected"
    d.configure(bits=8)


def other_quantize_config(d):
    r"quantize_config\.json: \['group_size'\] differ"
    d.json["quantize_config.json"]["group_size"] = 32


def no_quantization_config(d):
    r"config\.json: no quantization_config"
    d.json["config.json"].pop("quantization_config")


def untied(d):
    r"tie_word_embeddings is False, the source's True"
    d.json["config.json"]["tie_word_embeddings"] = False


def float32_config(d):
    r"config\.json: dtype is 'float32'"
    d.json["config.json"].pop("torch_dtype", None)
    d.json["config.json"]["dtype"] = "float32"


# Damage to values: every shape and dtype is right.


def zero_convention(d):
    r"qzeros: 9\.\.9, sym means 8"
    d.edit(".qzeros", lambda values: np.full_like(values, 0x88888888 - (1 << 32)))


def zero_convention_asymmetric(d):
    r"relative squared error .* of the weight"
    d.configure(sym=False)
    zero_convention(d)


def version_2_label(d):
    r"qzeros: 7\.\.7, sym means 8"
    d.configure(checkpoint_format="gptq_v2")


def wrapped_zero(d):
    r"1 hold 2\^bits - 1"
    name = d.named(".qzeros")[0]
    d.tensors[name][1][0, 0] |= 15


def swapped_nibbles(d):
    r"relative squared error .* of the weight"
    swap = lambda v: ((v & 0x0F0F0F0F) << 4) | ((v >> 4) & 0x0F0F0F0F)  # noqa: E731
    d.edit(".qweight", swap)


def swapped_nibbles_once(d):
    r"layers\.7\.mlp\.up_proj: relative squared error"
    d.edit("layers.7.mlp.up_proj.qweight", lambda values: words(nibbles(values)[..., ::-1]))


def infinite_scale(d):
    r"scales: not all finite"
    d.tensors[d.named(".scales")[0]][1][0, 0] = np.inf


def group_index_out_of_range(d):
    r"g_idx: 0\.\.9, there are 9 groups"
    d.tensors[d.named("q_proj.g_idx")[0]][1][-1] = 9


def group_index_permuted(d):
    r"g_idx: not channel / group_size"
    d.edit("q_proj.g_idx", lambda values: values[::-1])


def changed_norm(d):
    r"model\.norm\.weight: [0-9]+ values are not the source's"
    dtype, values = d.tensors["model.norm.weight"]
    quarter = {"BF16": 1 << 5, "F16": 1 << 8}[dtype]  # a bit of the fraction worth a quarter
    d.tensors["model.norm.weight"] = dtype, (values.view("<u2") ^ quarter).view(values.dtype)


def other_tokenizer(d):
    r"tokenizer: "
    tokenizer = json.loads(d.files["tokenizer.json"])
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:1000]
    d.files["tokenizer.json"] = json.dumps(tokenizer).encode()


# The same for AWQ, where only what the model computes can show it.


def awq_natural_order(d):
    r"KL divergence .*, at most"
    awq(d, column_of_nibble=range(8))


def awq_zero_convention(d):
    r"KL divergence .*, at most"
    awq(d)
    d.edit(".qzeros", lambda values: values - 0x11111111)


def awq_group_index(d):
    r"q_proj: has \['g_idx', 'qweight', 'qzeros', 'scales'\]"
    kept = {name: d.tensors[name] for name in d.named("q_proj.g_idx")}
    awq(d)
    d.tensors.update(kept)


def awq_symmetric_config(d):
    "awq: zero_point is False"
    awq(d)
    d.configure(zero_point=False)


KINDS = {
    name.replace("_", "-"): value
    for name, value in list(globals().items())
    if callable(value) and name not in ("Directory", "nibbles", "words")
}


def main():
    if sys.argv[1:] == ["list"]:
        for kind, change in KINDS.items():
            if change.__doc__:
                print(kind, change.__doc__, sep="\t")
        return
    kind, good, out = sys.argv[1:]
    directory = Directory(pathlib.Path(good))
    KINDS[kind](directory)
    shutil.rmtree(out, ignore_errors=True)
    directory.write(pathlib.Path(out))


if __name__ == "__main__":
    main()
