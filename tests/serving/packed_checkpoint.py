"""AWQ and GPTQ checkpoints: the format as rules, and the weights that the format says are there.

Nothing of the programs that serve such files is used, and nothing of ours. The formats are those that
GPTQModel 7.7, AutoAWQ 0.2.9, vLLM and transformers 5 read; a linear has weight [out, in], `bits` per
code and G = in / group_size groups, and its weight is (code - zero) * scale:

  GPTQ  qweight I32 [in * bits / 32, out]   codes, a little-endian bit stream down each column
        qzeros  I32 [G, out * bits / 32]    a little-endian bit stream along each row; holds zero - 1,
                                            in checkpoint_format gptq_v2 zero
        scales  F16 [G, out]                BF16 tolerated
        g_idx   I32 [in]                    the group of each input channel
  AWQ   qweight I32 [in, out / 8]           nibble i of word w is column 8 w + (0 2 4 6 1 3 5 7)[i]
        qzeros  I32 [G, out / 8]            likewise; holds zero
        scales  F16 [G, out]
"""

import dataclasses
import json
import math
import re
import struct

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
AWQ_COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)  # of nibble 0, 1, …
# What a tokenizer is made of, and what must be copied beside it. special_tokens_map.json is not in the
# list: transformers 5 keeps its content in tokenizer_config.json.
COPIED = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt",
    "generation_config.json", "chat_template.jinja",
)  # fmt: skip
KEPT_CONFIG = (
    "architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings",
    "rms_norm_eps", "hidden_act", "max_position_embeddings", "bos_token_id", "eos_token_id",
)  # fmt: skip
NEVER_QUANTIZED = re.compile(r"norm|embed|lm_head|router|(^|\.)(gate|shared_expert_gate)$|vision")


class Findings:
    """What held, what did not (failures), and what is legal but refused or slow somewhere (warnings)."""

    def __init__(self):
        self.passed, self.failures, self.warnings = 0, [], []

    def require(self, holds, rule):
        if holds:
            self.passed += 1
        else:
            self.failures.append(rule)
        return bool(holds)

    def advise(self, holds, rule):
        if holds:
            self.passed += 1
        else:
            self.warnings.append(rule)
        return bool(holds)


@dataclasses.dataclass
class Tensor:
    dtype: str
    shape: tuple
    path: object  # the file it is in
    begin: int  # of its bytes in that file
    end: int


@dataclasses.dataclass
class Module:
    """One quantized linear."""

    bits: int
    group_size: int  # -1: the whole row
    rows: int  # out_features
    cols: int  # in_features


@dataclasses.dataclass
class Checkpoint:
    config: dict
    quantization: dict
    tensors: dict  # name: Tensor
    modules: dict  # name: Module

    @property
    def method(self):
        return self.quantization["quant_method"]

    @property
    def stored_zero_offset(self):
        """What is added to a stored zero point to get the true one."""
        v1 = self.method == "gptq" and self.quantization.get("checkpoint_format", "gptq") == "gptq"
        return 1 if v1 else 0


def read_json(path, findings):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        findings.require(False, f"{path.name}: {error}")
        return None
    return value if findings.require(isinstance(value, dict), f"{path.name}: is no object") else None


def read_header(path, findings):
    """The tensors of one safetensors file; None when it cannot be read."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
        if not findings.require(length <= min(size - 8, 100_000_000), f"{path.name}: header of {length} bytes in {size}"):
            return None
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            findings.require(False, f"{path.name}: header: {error}")
            return None
    metadata = header.pop("__metadata__", {})
    findings.require(metadata.get("format") == "pt", f"{path.name}: metadata format is {metadata.get('format')!r}, not 'pt'")
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        shape = tuple(entry["shape"])
        bytes_needed = math.prod(shape) * DTYPE_BYTES.get(entry["dtype"], 0)
        findings.require(begin == end, f"{path.name}: {name} begins at {begin}, the one before ends at {end}")
        findings.require(stop - begin == bytes_needed, f"{path.name}: {name} has {stop - begin} bytes, its shape {bytes_needed}")
        tensors[name] = Tensor(entry["dtype"], shape, path, 8 + length + begin, 8 + length + stop)
        end = stop
    if not findings.require(8 + length + end == size, f"{path.name}: {size} bytes, the header says {8 + length + end}"):
        return None
    return tensors


def read_tensors(folder, findings):
    """All tensors of a directory, checked against its index; None when a file cannot be read."""
    paths = sorted(folder.glob("*.safetensors"))
    if not findings.require(paths, "no .safetensors file"):
        return None
    tensors, complete = {}, True
    for path in paths:
        found = read_header(path, findings)
        complete = complete and found is not None
        for name in found or {}:
            findings.require(name not in tensors, f"{name}: in {path.name} and in {tensors.get(name) and tensors[name].path.name}")
        tensors.update(found or {})
    names = [path.name for path in paths]
    index_path = folder / "model.safetensors.index.json"
    if len(paths) == 1 and not index_path.exists():
        findings.require(names == ["model.safetensors"], f"the only file is {names[0]}, not model.safetensors")
    else:
        expected = [f"model-{i + 1:05}-of-{len(paths):05}.safetensors" for i in range(len(paths))]
        findings.require(names in (expected, ["model.safetensors"]), f"shards are {names}, expected {expected}")
        index = read_json(index_path, findings)
        if index is not None:
            where = {name: tensor.path.name for name, tensor in tensors.items()}
            listed = index.get("weight_map", {})
            wrong = sorted(name for name in where.keys() | listed.keys() if where.get(name) != listed.get(name))
            findings.require(not wrong, f"{index_path.name}: {len(wrong)} tensors are elsewhere, such as {wrong[:2]}")
            total, said = sum(t.end - t.begin for t in tensors.values()), index.get("metadata", {}).get("total_size")
            findings.require(said == total, f"{index_path.name}: total_size is {said}, the tensors have {total} bytes")
    return tensors if complete else None


def check_quantization_config(folder, config, findings):
    """The quantization_config, when the rest can be checked by it."""
    q = config.get("quantization_config")
    if not findings.require(isinstance(q, dict), "config.json: no quantization_config"):
        return None
    method, bits, group_size = q.get("quant_method"), q.get("bits"), q.get("group_size")
    usable = findings.require(method in ("gptq", "awq"), f"quant_method is {method!r}, not gptq or awq")
    if method == "awq":
        usable &= findings.require(bits == 4, f"awq: bits is {bits!r}, not 4")
        usable &= findings.require(group_size in (32, 64, 128), f"awq: group_size is {group_size!r}, not 32, 64 or 128")
        findings.require(q.get("zero_point") is True, f"awq: zero_point is {q.get('zero_point')!r}, not true")
        version = q.get("version", q.get("format"))
        usable &= findings.require(str(version).lower() == "gemm", f"awq: version is {version!r}, not 'gemm'")
    else:
        usable &= findings.require(bits in (2, 3, 4, 8), f"gptq: bits is {bits!r}, not 2, 3, 4 or 8")
        usable &= findings.require(group_size in (-1, 32, 64, 128), f"gptq: group_size is {group_size!r}, not -1, 32, 64 or 128")
        for field in ("sym", "desc_act"):
            findings.require(isinstance(q.get(field), bool), f"gptq: {field} is {q.get(field)!r}, not a truth value")
        stored = q.get("checkpoint_format")
        usable &= findings.require(stored in ("gptq", "gptq_v2"), f"gptq: checkpoint_format is {stored!r}")
        findings.advise(stored != "gptq_v2", "gptq_v2: readers of version 1 are off by one step")
        findings.advise(q.get("sym") is True and bits in (4, 8), "vLLM loads only symmetric GPTQ of 4 or 8 bits")
        findings.require(not q.get("lm_head"), "gptq: lm_head is true")
    copy_path = folder / "quantize_config.json"
    if method == "gptq" or copy_path.exists():
        copy = read_json(copy_path, findings)
        fields = ("bits", "group_size", "sym", "desc_act", "checkpoint_format", "quant_method", "zero_point", "version")
        differs = [f for f in fields if copy is not None and f in copy | q and copy.get(f) != q.get(f)]
        findings.require(not differs, f"quantize_config.json: {differs} differ from config.json")
    return q if usable else None


def settings_of(name, q):
    """(bits, group_size) of a module by `dynamic`; None where the configuration leaves it alone."""
    for pattern, overrides in (q.get("dynamic") or {}).items():
        if re.match(pattern.removeprefix("+:").removeprefix("-:"), name):
            if pattern.startswith("-:") or overrides is False:
                return None
            return overrides.get("bits", q["bits"]), overrides.get("group_size", q["group_size"])
    if any(part in name for part in q.get("modules_to_not_convert") or []):
        return None
    return q["bits"], q["group_size"]


def check_module(name, parts, q, findings):
    """The module whose tensors `parts` are, when they have the shapes of one."""
    settings = settings_of(name, q)
    if not findings.require(settings is not None, f"{name}: quantized, and the configuration excludes it"):
        return None
    bits, group_size = settings
    gptq = q["quant_method"] == "gptq"
    wanted = {"qweight", "qzeros", "scales"} | ({"g_idx"} if gptq else set())
    found = set(parts) - {"bias"}
    if not findings.require(found == wanted, f"{name}: has {sorted(found)}, expected {sorted(wanted)}"):
        return None
    usable = True
    for part in wanted - {"scales"}:
        usable &= findings.require(parts[part].dtype == "I32", f"{name}.{part}: dtype {parts[part].dtype}, expected I32")
    dtypes = ("F16", "BF16") if gptq else ("F16",)
    usable &= findings.require(parts["scales"].dtype in dtypes, f"{name}.scales: dtype {parts['scales'].dtype}, expected {dtypes[0]}")
    if "bias" in parts:
        findings.require(parts["bias"].dtype in dtypes, f"{name}.bias: dtype {parts['bias'].dtype}, expected {dtypes[0]}")
    for part in ("qweight", "qzeros", "scales"):
        if not findings.require(len(parts[part].shape) == 2, f"{name}.{part}: shape {parts[part].shape}, expected two axes"):
            return None
    rows = parts["scales"].shape[1]
    cols = parts["qweight"].shape[0] * 32 // bits if gptq else parts["qweight"].shape[0]
    size = cols if group_size == -1 else group_size
    findings.require(cols % size == 0, f"{name}: {cols} inputs are no multiple of group_size {size}")
    findings.require(cols % 32 == 0 and rows % 32 == 0, f"{name}: [{rows}, {cols}] are no multiples of 32")
    findings.advise(cols % 128 == 0 and rows % 64 == 0, "some linears are no multiples of Marlin's 64 x 128")
    groups = cols // size
    shapes = {
        "qweight": (cols * bits // 32, rows) if gptq else (cols, rows // 8),
        "qzeros": (groups, rows * bits // 32),
        "scales": (groups, rows),
        "bias": (rows,),
        "g_idx": (cols,),
    }
    for part, tensor in parts.items():
        usable &= findings.require(tensor.shape == shapes[part], f"{name}.{part}: shape {tensor.shape}, expected {shapes[part]}")
    return Module(bits, size, rows, cols) if usable else None


def check_names(checkpoint, parts_of, source, findings):
    """What is quantized and what is kept, against the source's tensors."""
    tensors, q = checkpoint.tensors, checkpoint.quantization
    tied = checkpoint.config.get("tie_word_embeddings", False)
    for name, parts in parts_of.items():
        findings.require(not NEVER_QUANTIZED.search(name), f"{name}: is never quantized")
        original = source.get(f"{name}.weight")
        if findings.require(original is not None, f"{name}: quantized, and the source has no {name}.weight"):
            module = checkpoint.modules.get(name)
            shape = (module.rows, module.cols) if module else original.shape
            findings.require(original.shape == shape, f"{name}: is {shape}, the source's {original.shape}")
        has_bias = f"{name}.bias" in source
        findings.require(has_bias == ("bias" in parts), f"{name}.bias: the source {'has one' if has_bias else 'has none'}")
    packed = {f"{name}.{part}" for name, parts in parts_of.items() for part in parts}
    kept = {name: tensor for name, tensor in tensors.items() if name not in packed}
    for name, tensor in kept.items():
        if not (tied and name == "lm_head.weight"):
            findings.require(name in source, f"{name}: the source has none")
        findings.require(tensor.dtype[0] in "FB" and tensor.dtype != "BOOL", f"{name}: dtype {tensor.dtype} marks its module as quantized in vLLM")
        findings.advise(tensor.dtype in ("F16", "BF16"), "some kept tensors are not 16-bit")
        if name in source:
            findings.require(tensor.shape == source[name].shape, f"{name}: shape {tensor.shape}, the source's {source[name].shape}")
    gone = [
        name
        for name in source
        if name not in tensors
        and name.removesuffix(".weight") not in parts_of
        and not (tied and name == "lm_head.weight")
        and not name.endswith(("rotary_emb.inv_freq", ".bias"))
    ]
    findings.require(not gone, f"missing: {gone[:3]} of {len(gone)} tensors")
    findings.advise(not (tied and "lm_head.weight" in tensors), "lm_head.weight is stored, and tied to the embeddings")
    linear = [n.removesuffix(".weight") for n, t in kept.items() if ".layers." in n and len(t.shape) == 2]
    left = [n for n in linear if not NEVER_QUANTIZED.search(n) and settings_of(n, q) is not None]
    findings.require(not left, f"not quantized, and the configuration does not say so: {left[:3]}")


def check_files(folder, source, config, findings):
    """What is copied from the source: configuration, tokenizer, custom code."""
    original = read_json(source / "config.json", Findings()) or {}
    for field in KEPT_CONFIG:
        if field in original:
            said, expected = config.get(field), original[field]
            findings.require(said == expected, f"config.json: {field} is {said!r}, the source's {expected!r}")
    findings.require("architectures" in config and "model_type" in config, "config.json: architectures or model_type missing")
    dtype = config.get("dtype", config.get("torch_dtype"))
    allowed = ("float16",) if config.get("quantization_config", {}).get("quant_method") == "awq" else ("float16", "bfloat16")
    findings.require(dtype in allowed, f"config.json: dtype is {dtype!r}, expected {' or '.join(allowed)}")
    for name in COPIED + tuple(path.name for path in source.glob("*.py")):
        if (source / name).exists():
            findings.require((folder / name).exists(), f"{name}: the source has it, the output does not")


def check_format(folder, source, findings):
    """The checkpoint in `folder`, made from the model in `source`; None when a rule that reading its
    values depends on does not hold. Every broken rule is in `findings`."""
    config = read_json(folder / "config.json", findings)
    tensors = read_tensors(folder, findings)
    if config is None:
        return None
    check_files(folder, source, config, findings)
    q = check_quantization_config(folder, config, findings)
    if q is None or tensors is None:
        return None
    parts_of = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if f"{module}.qweight" in tensors or part in ("qweight", "qzeros", "scales", "g_idx"):
            parts_of.setdefault(module, {})[part] = tensor
    findings.require(parts_of, "no quantized module")
    before = len(findings.failures)
    modules = {name: check_module(name, parts, q, findings) for name, parts in sorted(parts_of.items())}
    usable = len(findings.failures) == before and None not in modules.values()
    checkpoint = Checkpoint(config, q, tensors, {name: m for name, m in modules.items() if m})
    before = len(findings.failures)
    check_names(checkpoint, parts_of, read_tensors(source, Findings()) or {}, findings)
    return checkpoint if usable and parts_of and len(findings.failures) == before else None


def load(tensor):
    """The values of a tensor, in a torch tensor of its own dtype."""
    import torch

    dtypes = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32}
    with open(tensor.path, "rb") as file:
        file.seek(tensor.begin)
        data = bytearray(file.read(tensor.end - tensor.begin))
    return torch.frombuffer(data, dtype=dtypes[tensor.dtype]).reshape(tensor.shape)


def unpack_stream(words, bits):
    """[n, words] int32, a little-endian bit stream along each row, as codes [n, words * 32 / bits]."""
    import torch

    unsigned = words.to(torch.int64) & 0xFFFFFFFF
    first_bits = torch.arange(words.shape[1] * 32 // bits) * bits
    word, shift = first_bits // 32, first_bits % 32
    # A code may go on in the next word; one past the end is never needed, and any word will do there.
    after = unsigned[:, (word + 1).clamp(max=words.shape[1] - 1)]
    low = unsigned[:, word] >> shift
    high = torch.where(shift + bits > 32, after << (32 - shift), torch.zeros_like(after))
    return (low | high) & ((1 << bits) - 1)


def unpack_awq(words):
    """[n, words] int32 as codes [n, 8 * words]."""
    import torch

    codes = torch.empty(*words.shape, 8, dtype=torch.int64)
    for nibble, column in enumerate(AWQ_COLUMNS):
        codes[..., column] = (words.to(torch.int64) >> (4 * nibble)) & 15
    return codes.reshape(words.shape[0], -1)


def dequantize(checkpoint, name, findings):
    """The weight [out, in] of module `name` in float32. Checks what only values can show."""
    import torch

    module, q = checkpoint.modules[name], checkpoint.quantization
    part = {p: load(checkpoint.tensors[f"{name}.{p}"]) for p in ("qweight", "qzeros", "scales")}
    scales = part["scales"].float()  # [G, out]
    findings.require(torch.isfinite(scales).all(), f"{name}.scales: not all finite")
    zero_scales = int((scales == 0).sum())
    findings.advise(zero_scales == 0, f"{name}.scales: {zero_scales} are zero")
    if checkpoint.method == "gptq":
        codes = unpack_stream(part["qweight"].T.contiguous(), module.bits).T  # [in, out]
        stored = unpack_stream(part["qzeros"], module.bits)  # [G, out]
        group = load(checkpoint.tensors[f"{name}.g_idx"]).long()
        natural = torch.arange(module.cols) // module.group_size
        in_range = findings.require(0 <= group.min() and group.max() < len(scales), f"{name}.g_idx: {group.min()}..{group.max()}, there are {len(scales)} groups")
        if not in_range:
            group = natural
        sizes = torch.bincount(group, minlength=len(scales))
        findings.require((sizes == module.group_size).all(), f"{name}.g_idx: groups of {sizes.min()} to {sizes.max()} channels, expected {module.group_size}")
        if not q["desc_act"]:
            findings.require(torch.equal(group, natural), f"{name}.g_idx: not channel / group_size, and desc_act is false")
    else:
        codes, stored = unpack_awq(part["qweight"]), unpack_awq(part["qzeros"])
        group = torch.arange(module.cols) // module.group_size
    zeros = stored + checkpoint.stored_zero_offset
    if checkpoint.method == "gptq" and q["sym"]:
        middle = 1 << (module.bits - 1)
        findings.require((zeros == middle).all(), f"{name}.qzeros: {zeros.min()}..{zeros.max()}, sym means {middle} and vLLM takes it")
    wrapped = int((stored == (1 << module.bits) - 1).sum()) if checkpoint.stored_zero_offset else 0
    findings.require(wrapped == 0, f"{name}.qzeros: {wrapped} hold 2^bits - 1, which readers of version 1 take for 0 or for 2^bits")
    return ((codes - zeros[group]).float() * scales[group]).T.contiguous()
