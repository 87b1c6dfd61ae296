#!/usr/bin/env python3
"""Writes the seeds of the GGUF, importance matrix, safetensors, packed, frames and rebuild fuzz targets: tests/fuzz/make_seeds.py.

The files are committed; run this again only to change them. `valid` seeds open, `hostile` ones are
refused, each by another check (the unit tests of the readers assert the messages).
"""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
HUGE = 2**64 - 1


def write(target, kind, seeds):
    folder = CORPUS / target / kind
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


def flip(data, bit):
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << (bit % 8)
    return bytes(flipped)


# --- safetensors ---

def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def twice(name, first, second):
    return ('{"%s":%s,"%s":%s}' % (name, json.dumps(first), name, json.dumps(second))).encode()


def safetensors_seeds():
    dtypes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "U8": 1,
              "I8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
    header, end = {}, 0
    for dtype, size in dtypes.items():
        header["t." + dtype] = entry(dtype, [2, 1], end, end + 2 * size)
        end += 2 * size
    two = safetensors({"__metadata__": {"format": "pt"}, "layers.2.w": entry("F32", [1], 4, 8),
                       "layers.10.w": entry("U8", [2, 2], 0, 4), "none": entry("F16", [0], 8, 8)},
                      b"01234567")
    write("safetensors", "valid", {
        "all_dtypes": safetensors(header, bytes(end)),
        "empty": safetensors({}),
        "scalar": safetensors({"s": entry("F32", [], 0, 4)}, b"abcd"),
        "two": two,
    })
    one = entry("U8", [4], 0, 4)
    write("safetensors", "hostile", {
        "bit_flipped_length": flip(two, 3),
        "bit_flipped_name": flip(two, 8 * 40 + 5),
        "bit_flipped_offsets": flip(two, 8 * 100 + 1),
        "deep_nesting": safetensors(b'{"a":' + b"[" * 3000),
        "dtype_unknown": safetensors({"t": entry("F4", [8], 0, 4)}, b"0123"),
        "gap": safetensors({"a": entry("U8", [1], 0, 1), "b": entry("U8", [2], 2, 4)}, b"0123"),
        "git_lfs_pointer": POINTER,
        "huge_length": struct.pack("<Q", HUGE) + b"{}",
        "huge_offsets": safetensors({"t": entry("U8", [4], HUGE - 4, HUGE)}, b"0123"),
        "huge_shape": safetensors({"t": entry("F64", [2**32, 2**32], 0, 4)}, b"0123"),
        "key_twice": safetensors(b'{"t":{"dtype":"U8","dtype":"I8","shape":[4],'
                                 b'"data_offsets":[0,4]}}', b"0123"),
        "left_over": safetensors({"t": one}, b"01234"),
        "name_twice": safetensors(twice("t", entry("U8", [2], 0, 2), entry("U8", [2], 2, 4)),
                                  b"0123"),
        "negative": safetensors({"t": entry("U8", [-4], 0, 4)}, b"0123"),
        "no_file": b"",
        "overlap": safetensors({"a": entry("U8", [3], 0, 3), "b": entry("U8", [2], 2, 4)},
                               b"0123"),
        "short_data": safetensors({"t": one}, b"01"),
        "truncated_header": two[:60],
        "truncated_length": two[:5],
        "utf8": safetensors(b'{"\xff\xfe":{}}'),
    })


# --- GGUF ---

def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, value_type, value):
    return string(key) + struct.pack("<I", value_type) + value


def array(key, element_type, count, elements):
    return pair(key, 9, struct.pack("<IQ", element_type, count) + elements)


def tensor(name, dims, tensor_type, offset):
    return (string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
            + struct.pack("<IQ", tensor_type, offset))


def gguf(pairs, tensors, data=b"", version=3, pair_count=None, tensor_count=None, alignment=32):
    count = lambda given, items: len(items) if given is None else given
    head = b"GGUF" + struct.pack("<IQQ", version, count(tensor_count, tensors),
                                 count(pair_count, pairs)) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data


def gguf_seeds():
    numbers = [(0, "<B", 1), (1, "<b", -1), (2, "<H", 2), (3, "<h", -2), (4, "<I", 3), (5, "<i", -3),
               (6, "<f", 1.5), (10, "<Q", 4), (11, "<q", -4), (12, "<d", 0.5), (7, "<B", 1)]
    pairs = [pair("k%d" % t, t, struct.pack(f, v)) for t, f, v in numbers]
    pairs += [array("a%d" % t, t, 2, 2 * struct.pack(f, v)) for t, f, v in numbers]
    strings = array("tokenizer.ggml.tokens", 8, 3, string("a") + string("") + string(b"\xff"))
    llama = [pair("general.architecture", 8, string("llama")),
             pair("llama.block_count", 4, struct.pack("<I", 1)),
             pair("llama.attention.head_count", 4, struct.pack("<I", 2)), strings]
    model = gguf(llama, [tensor("token_embd.weight", [4, 3], 1, 0),
                         tensor("blk.0.ffn_up.weight", [32, 2], 8, 32),
                         tensor("output_norm.weight", [4], 0, 128)], bytes(range(160)))
    aligned = gguf([pair("general.alignment", 4, struct.pack("<I", 8))],
                   [tensor("t", [3], 24, 8)], b"........abc", alignment=8)
    write("gguf", "valid", {
        "aligned_8": aligned,
        "empty": gguf([], []),
        "model": model,
        "values": gguf(pairs + [strings], []),
        "version_2": gguf([pair("a", 8, string("b"))], [tensor("t", [1], 0, 0)], bytes(32), version=2),
    })
    data = bytes(64)
    one_tensor = lambda *args: gguf([], [tensor(*args)], data)
    write("gguf", "hostile", {
        "alignment_0": gguf([pair("general.alignment", 4, struct.pack("<I", 0))], []),
        "alignment_2g": gguf([pair("general.alignment", 4, struct.pack("<I", 2**31))], []),
        "array_count_huge": gguf([array("a", 4, HUGE // 2, b"1234")], []),
        "array_nested": gguf([array("a", 9, 1, struct.pack("<IQ", 9, 1) * 50)], []),
        "beyond_file": one_tensor("t", [17], 0, 0),
        "big_endian": gguf([], [], version=3 << 24),
        "bit_flipped_count": flip(model, 8 * 9 + 2),
        "bit_flipped_key": flip(model, 8 * 26 + 7),
        "bit_flipped_type": flip(model, 8 * 56 + 4),
        "bool_2": gguf([pair("a", 7, b"\x02")], []),
        "dims_0": one_tensor("t", [], 0, 0),
        "dims_overflow": one_tensor("t", [2**32, 2**32], 0, 0),
        "dims_zero": one_tensor("t", [4, 0], 0, 0),
        "element_type": gguf([array("a", 77, 1, bytes(8))], []),
        "git_lfs_pointer": POINTER,
        "key_twice": gguf([pair("a", 0, b"1"), pair("a", 0, b"2")], []),
        "magic": b"GGML" + bytes(40),
        "name_twice": gguf([], [tensor("t", [4], 0, 0), tensor("t", [4], 0, 32)], data),
        "no_file": b"",
        "offset_wraps": one_tensor("t", [4], 0, HUGE - 31),
        "overlap": gguf([], [tensor("a", [9], 0, 0), tensor("b", [4], 0, 32)], data),
        "pair_count_huge": gguf([], [], pair_count=HUGE),
        "row_is_no_block": one_tensor("t", [33], 8, 0),
        "split_part": gguf([pair("split.count", 2, struct.pack("<H", 2))], []),
        "string_huge": gguf([pair("a", 8, struct.pack("<Q", HUGE - 7))], []),
        "tensor_count_huge": gguf([], [], tensor_count=HUGE),
        "tensor_type": one_tensor("t", [4], 4, 0),
        "truncated_key": model[:30],
        "truncated_tensor": model[:200],
        "truncated_version": model[:6],
        "unaligned": one_tensor("t", [4], 0, 8),
        "value_type": gguf([pair("a", 13, bytes(8))], []),
        "version_1": gguf([], [], version=1),
    })


# --- importance matrices, both forms ---


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


def imatrix_gguf(tensors, keys=("datasets", "chunk_count", "chunk_size")):
    """`tensors`: (name, type, data) one dimension each; the data is that of F32 if the type is 0."""
    pairs = {"datasets": array("imatrix.datasets", 8, 1, string("a.txt")),
             "chunk_count": pair("imatrix.chunk_count", 4, struct.pack("<I", 2)),
             "chunk_size": pair("imatrix.chunk_size", 4, struct.pack("<I", 512))}
    infos, data = [], b""
    for name, tensor_type, values in tensors:
        infos.append(tensor(name, [len(values) // 4], tensor_type, len(data)))
        data += values + bytes(-len(values) % 32)
    return gguf([pairs[key] for key in keys], infos, data)


def imatrix_entry(name, values, calls=2, value_count=None):
    return (struct.pack("<i", len(name)) + name.encode() +
            struct.pack("<ii", calls, len(values) if value_count is None else value_count) +
            floats(*values))


def imatrix_legacy(entries, tail=b"", count=None):
    return struct.pack("<i", len(entries) if count is None else count) + b"".join(entries) + tail


def imatrix_seeds():
    plain = [("blk.0.a.weight.in_sum2", 0, floats(1, 2, 3, 4)), ("blk.0.a.weight.counts", 0, floats(8))]
    experts = [("blk.0.b.weight.in_sum2", 0, floats(1, 2, 3, 4, 5, 6)),
               ("blk.0.b.weight.counts", 0, floats(2, 3, 0))]
    entries = [imatrix_entry("blk.0.a.weight", [2, 4]), imatrix_entry("output.weight", [1], calls=0)]
    tail = struct.pack("<ii", 2, 5) + b"a.txt"
    whole, legacy = imatrix_gguf(plain + experts), imatrix_legacy(entries, tail)
    write("imatrix", "valid", {
        "gguf": whole,
        "legacy": legacy,
        "legacy_no_tail": imatrix_legacy(entries),
    })
    one = lambda sums, counts: imatrix_gguf([("x.in_sum2", 0, sums), ("x.counts", 0, counts)])
    write("imatrix", "hostile", {
        "calls_nan": imatrix_legacy([imatrix_entry("a", [float("nan")])]),
        "count_inf": one(floats(1, 2), floats(float("inf"))),
        "count_negative": one(floats(1, 2), floats(-1)),
        "counts_do_not_divide": one(floats(1, 2, 3), floats(1, 1)),
        "counts_missing": imatrix_gguf(plain[:1]),
        "counts_more_than_sums": one(floats(1), floats(1, 1)),
        "entry_count_huge": imatrix_legacy(entries, count=2**31 - 1),
        "entry_count_negative": imatrix_legacy(entries, count=-1),
        "entry_twice": imatrix_legacy(entries[:1] * 2),
        "f16": imatrix_gguf([("x.in_sum2", 1, floats(1, 2)), ("x.counts", 0, floats(1))]),
        "key_missing": imatrix_gguf(plain, keys=("datasets", "chunk_size")),
        "name_huge": imatrix_legacy([struct.pack("<i", 2**31 - 1) + bytes(16)]),
        "name_negative": imatrix_legacy([struct.pack("<i", -1) + bytes(16)]),
        "no_entries": imatrix_gguf([]),
        "no_file": b"",
        "sums_inf": one(floats(1, float("inf")), floats(1)),
        "tail_huge": imatrix_legacy(entries, struct.pack("<ii", 2, 2**31 - 1) + b"a"),
        "truncated_gguf": whole[:-70],
        "truncated_legacy": legacy[:40],
        "values_huge": imatrix_legacy([imatrix_entry("a", [1], value_count=2**31 - 1)]),
        "values_negative": imatrix_legacy([imatrix_entry("a", [1], value_count=-1)]),
        "values_none": imatrix_legacy([imatrix_entry("a", [], value_count=0) + bytes(8)]),
        "weight_negative": imatrix_legacy([imatrix_entry("a", [-1])]),
    })


# --- frames of a worker (proto/quantized/v1/worker.proto); the first byte sizes the portions ---


def frame(field, message):
    body = bytes([field << 3 | 2, len(message)]) + message
    return struct.pack("<I", len(body)) + body


def frames_seeds():
    hello = frame(1, b"\x0a\x050.1.0\x10\x01\x18\x2a")
    phase = frame(2, b"\x08\x05")
    message = frame(3, b"\x0a\x0bLoading it!")
    progress = frame(5, b"\x08\x03\x10\x20\x1a\x06layers\x20\x80\x10")
    heartbeat = frame(7, b"\x08\x80\x80\x40")
    result = frame(8, b"\x12\x00")
    error = frame(10, b"\x0a\x09\x08\x06\x10\x06\x22\x03odd")
    write("frames", "valid", {
        "hello": b"\x00" + hello,
        "job": b"\x06" + hello + phase + message + progress + heartbeat + result,
        "failure": b"\x3f" + hello + phase + error,
        "beginning": b"\x02" + hello + message[:7],
    })
    write("frames", "hostile", {
        "length_just_too_long": b"\x01" + struct.pack("<I", 2**24 + 1),
        "length_huge": b"\x01" + hello + b"\xff\xff\xff\xff" + hello,
        "empty": b"\x03" + bytes(4),
        "unknown_kind": b"\x03" + frame(15, b""),
        "no_message": b"\x03\x03\x00\x00\x00\xff\xff\xff",
        "inner_length": b"\x03\x02\x00\x00\x00\x0a\x7f",
        "no_utf8": b"\x03" + frame(3, b"\x0a\x02\xff\x1b"),
        "bit_flipped": b"\x03" + flip(hello, 33),
        "nothing": b"\x00",
    })


# --- Packed linear layers: packed_fuzz.cc says how a seed is laid out ---

I32, F16, BF16, NO_TENSOR = 5, 2, 3, b"\xff"  # rows of core/tensor/dtype.cc


def packed(config, *tensors):
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    head = b"".join(NO_TENSOR if t is None else
                    bytes([t[0], len(t[1])]) + b"".join(struct.pack("<H", d) for d in t[1])
                    for t in tensors)
    # Data comes in byte order of names: g_idx, qweight, qzeros, scales.
    qweight, qzeros, scales, g_idx = tensors
    return text + b"\0" + head + b"".join(t[2] for t in (g_idx, qweight, qzeros, scales) if t)


def packed_seeds():
    halves = lambda n: struct.pack("<H", 0x2E00) * n
    words = lambda n, salt: bytes((i * 37 + salt) % 256 for i in range(4 * n))
    indices = lambda values: b"".join(struct.pack("<i", v) for v in values)
    natural = indices([i // 32 for i in range(64)])
    gptq4 = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True}
    zeros4 = b"\x77" * 32
    def gptq(config=gptq4, bits=4, zeros=zeros4, g_idx=(I32, [64], natural), scales=halves(64),
             rows=None, dtype=F16):
        count = 2 * bits if rows is None else rows
        return packed(config, (I32, [count, 32], words(count * 32, 5)), (I32, [2, bits], zeros),
                      (dtype, [2, 32], scales), g_idx)
    gptq3 = dict(gptq4, bits=3, sym=False, checkpoint_format="gptq_v2")
    awq = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
    def awq_layer(config=awq, groups=2):
        return packed(config, (I32, [64, 4], words(256, 3)), (I32, [groups, 4], words(groups * 4, 9)),
                      (F16, [groups, 32], halves(groups * 32)), None)
    order = indices([(i * 7 + i // 32) % 2 for i in range(64)])
    write("packed", "valid", {
        "gptq_4": gptq(),
        "gptq_3_v2": gptq(gptq3, 3, words(6, 1)),
        "gptq_order": gptq(g_idx=(I32, [64], order)),
        "gptq_no_index": gptq(g_idx=None),
        "gptq_8_override": gptq(dict(gptq4, dynamic={"+:m": {"bits": 8}}), 8, b"\x7f" * 64),
        "gptq_bf16": gptq(scales=struct.pack("<H", 0x3F00) * 64, dtype=BF16),
        "awq": awq_layer(),
    })
    write("packed", "hostile", {
        "bits_5": gptq(dict(gptq4, bits=5)),
        "config_deep": b"[" * 3000 + b"\0",
        "config_only": json.dumps(gptq4).encode(),
        "gemv": awq_layer(dict(awq, version="gemv")),
        "group_beyond": gptq(g_idx=(I32, [64], indices([0] * 63 + [2]))),
        "group_negative": gptq(g_idx=(I32, [64], indices([-1] * 64))),
        "group_size_0": gptq(dict(gptq4, group_size=0)),
        "groups_awq": awq_layer(groups=3),
        "index_huge": gptq(g_idx=(I32, [65535], b"")),
        "marlin": gptq(dict(gptq4, checkpoint_format="marlin")),
        "no_tensors": packed(gptq4, None, None, None, None),
        "other_bits": gptq(bits=8, zeros=b"\x7f" * 64),
        "rows_7": gptq(rows=7),
        "scale_infinite": gptq(scales=struct.pack("<H", 0x7C00) * 64),
        "wrapped_zero": gptq(dict(gptq4, sym=False), zeros=b"\xff" * 32),
    })


# --- GGUF files of which directories are rebuilt: hidden size 4, two heads, one layer, eight tokens ---


def rebuild_model(arch, tokenizer, keys=(), without=(), values=()):
    """`without`: keys and tensors to leave out; `values`: (name, numbers) of further tensors."""
    number = lambda name, value: pair(f"{arch}.{name}", 4, struct.pack("<I", value))
    pairs = {"general.architecture": pair("general.architecture", 8, string(arch))}
    for name, value in (("context_length", 64), ("embedding_length", 4), ("block_count", 1),
                        ("feed_forward_length", 4), ("attention.head_count", 2),
                        ("attention.head_count_kv", 1), ("rope.dimension_count", 2)):
        pairs[name] = number(name, value)
    pairs["epsilon"] = pair(f"{arch}.attention.layer_norm_rms_epsilon", 6, floats(1e-6))
    shapes = {"token_embd": [4, 8], "output_norm": [4], "blk.0.attn_norm": [4], "blk.0.attn_output": [4, 4],
              "blk.0.ffn_norm": [4], "blk.0.ffn_up": [4, 4], "blk.0.ffn_down": [4, 4]}
    if arch == "phi3":
        shapes.update({"blk.0.attn_qkv": [4, 8], "blk.0.ffn_up": [4, 8]})
    else:
        shapes.update({"blk.0.attn_q": [4, 4], "blk.0.attn_k": [4, 2], "blk.0.attn_v": [4, 2],
                       "blk.0.ffn_gate": [4, 4]})
    infos, data = [], b""
    for name, shape, content in ([(f"{n}.weight", d, None) for n, d in shapes.items()] +
                                 [(n, [len(v)], floats(*v)) for n, v in values]):
        if name in without:
            continue
        infos.append(tensor(name, shape, 0, len(data)))
        data += content or bytes(4 * shape[0] * (shape[1] if len(shape) > 1 else 1))
        data += bytes(-len(data) % 32)
    return gguf([value for name, value in pairs.items() if name not in without] + list(keys) + tokenizer,
                infos, data)


def rebuild_seeds():
    strings = lambda key, texts: array(key, 8, len(texts), b"".join(map(string, texts)))
    ints = lambda key, numbers: array(key, 5, len(numbers), struct.pack(f"<{len(numbers)}i", *numbers))
    name = lambda key, text: pair(key, 8, string(text))
    tokens = lambda texts: strings("tokenizer.ggml.tokens", texts)
    bpe_texts = ["<|end|>", "a", "b", "\u0120", "ab", "\u0120ab", "[PAD6]", "<x>"]
    types = ints("tokenizer.ggml.token_type", [3, 1, 1, 1, 1, 1, 5, 4])
    merges = strings("tokenizer.ggml.merges", ["a b", "\u0120 ab"])
    gpt2 = [name("tokenizer.ggml.model", "gpt2"), name("tokenizer.ggml.pre", "qwen2")]
    bpe = gpt2 + [tokens(bpe_texts), types, merges,
                  pair("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 0)),
                  pair("tokenizer.ggml.add_eos_token", 7, b"\x01"),
                  name("tokenizer.chat_template", "{{ messages }}")]
    spm_texts = ["<unk>", "<s>", "</s>", "  ", "<0x41>", "\u2581", "a", "\u2581a"]
    scores = array("tokenizer.ggml.scores", 6, 8, floats(-1000, -1000, -1000, -1000, 0, -2, -3, -1))
    llama = [name("tokenizer.ggml.model", "llama")]
    spm = llama + [tokens(spm_texts), scores, ints("tokenizer.ggml.token_type", [2, 3, 3, 4, 6, 1, 1, 1]),
                   pair("tokenizer.ggml.bos_token_id", 4, struct.pack("<I", 1))]
    phi3 = [pair("phi3.rope.scaling.original_context_length", 4, struct.pack("<I", 64)),
            pair("phi3.rope.scaling.attn_factor", 6, floats(1)),
            pair("phi3.rope.freq_base", 6, floats(10000))]
    factors = [("rope_factors_long.weight", [2.0]), ("rope_factors_short.weight", [1.0])]
    write("rebuild", "valid", {
        "byte_level": rebuild_model("llama", bpe, values=[("output.weight", [0.0])]),
        "sentencepiece": rebuild_model("llama", spm, values=[("rope_freqs.weight", [1.0])]),
        "yarn": rebuild_model("llama", bpe, [
            name("llama.rope.scaling.type", "yarn"),
            pair("llama.rope.scaling.factor", 6, floats(4)),
            pair("llama.rope.scaling.original_context_length", 4, struct.pack("<I", 16))]),
        "long_rope": rebuild_model("phi3", spm, phi3, values=factors),
    })
    swap = lambda old, new: [new if part == old else part for part in bpe]
    write("rebuild", "hostile", {
        "architecture_unknown": rebuild_model("gpt2", bpe),
        "bias_alone": rebuild_model("llama", bpe, values=[("blk.0.attn_q.bias", [1.0])]),
        "factors_of_no_formula": rebuild_model("llama", bpe, values=[("rope_freqs.weight", [0.5])]),
        "key_missing": rebuild_model("llama", bpe, without=["feed_forward_length"]),
        "key_without_field": rebuild_model("llama", bpe, [pair("llama.logit_scale", 6, floats(2))]),
        "layers_huge": rebuild_model("llama", bpe, [pair("llama.block_count", 4, b"\xff" * 4)], ["block_count"]),
        "merge_of_no_tokens": rebuild_model("llama", swap(merges, strings("tokenizer.ggml.merges", ["b a"]))),
        "pre_unknown": rebuild_model("llama", swap(gpt2[1], name("tokenizer.ggml.pre", "default"))),
        "scores_short": rebuild_model("llama", [array("tokenizer.ggml.scores", 6, 1, floats(0))
                                                if part == scores else part for part in spm]),
        "tensor_missing": rebuild_model("llama", bpe, without=["blk.0.ffn_up.weight"]),
        "tensor_unknown": rebuild_model("llama", bpe, values=[("blk.0.attn_sinks.weight", [1.0])]),
        "token_not_utf8": rebuild_model("llama", swap(bpe[2], tokens([b"\xff"] + bpe_texts[1:]))),
        "token_twice": rebuild_model("llama", swap(bpe[2], tokens(["a"] + bpe_texts[1:]))),
        "tokens_missing": rebuild_model("llama", [part for part in bpe if part != bpe[2]]),
        "tokens_short": rebuild_model("llama", swap(bpe[2], tokens(bpe_texts[:4]))),
        "type_out_of_range": rebuild_model("llama", swap(types, ints("tokenizer.ggml.token_type", [9] * 8))),
    })


safetensors_seeds()
gguf_seeds()
imatrix_seeds()
frames_seeds()
packed_seeds()
rebuild_seeds()
