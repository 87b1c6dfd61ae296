#!/usr/bin/env python3
"""Makes models of tests/golden/data/hf2gguf: small random weights in the Hugging Face layout, and what the
reference's converter makes of them.

    tests/golden/make_hf_cases.py GOLDEN_DIR REFERENCE_SOURCE

To be run with the Python that `tests/bench/build_reference.sh --converter` installs. REFERENCE_SOURCE holds
convert_hf_to_gguf.py; the vocabularies come from the large golden set.
"""

import hashlib
import json
import pathlib
import runpy
import shutil
import sys
import tempfile

import torch
from safetensors.torch import save_file

GOLDEN, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
MODELS = pathlib.Path(__file__).parent / "data/hf2gguf/models"
sys.path[:0] = [str(SOURCE), str(SOURCE / "gguf-py")]

BASE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048}  # fmt: skip
FACTORS = [1.0, 1.37, 1.911047]
# name: vocabulary, pre-tokenizer, dtype, architecture, model type, config.json, sizes that it leaves to its
# class, shards
CASES = {
    # An output head that is not written; softcaps and window are the class's.
    "gemma-2-f16": ("gemma-2-tiny-it", None, torch.float16, "Gemma2ForCausalLM", "gemma2",
        {**BASE, "head_dim": 16, "rms_norm_eps": 1e-6, "vocab_size": 934}, {}, 1),
    # Part of each head is rotated; the old name of the rope type.
    "Phi-3-su": ("Phi-3-tiny-128k", None, torch.bfloat16, "Phi3ForCausalLM", "phi3",
        {**BASE, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
         "partial_rotary_factor": 0.75, "rms_norm_eps": 1e-5, "sliding_window": 262144, "vocab_size": 813,
         "rope_scaling": {"type": "su", "long_factor": FACTORS, "short_factor": [1, 1.01, 1.02]}}, {}, 1),
    # A rope block that the class refuses.
    "Phi-3-yarn": ("Phi-3-tiny-128k", None, torch.bfloat16, "Phi3ForCausalLM", "phi3",
        {**BASE, "max_position_embeddings": 65536, "rms_norm_eps": 1e-5, "rope_theta": 20000, "vocab_size": 813,
         "rope_scaling": {"type": "yarn", "original_max_position_embeddings": 4096,
                          "long_factor": [*FACTORS, 2.5], "short_factor": [1, 1, 1, 1.5]}}, {}, 1),
    # The byte-level vocabulary of Phi-4; tied head; no window.
    "Phi-4-bpe": ("Qwen3-Moe-tiny", "gpt-4o", torch.float32, "Phi3ForCausalLM", "phi3",
        {**BASE, "num_key_value_heads": None, "sliding_window": None, "vocab_size": 403},
        {"num_key_value_heads": 4}, 1),
    # Experts across files, more than nine of them.
    "Mixtral-sharded": ("mixtral-4x-tiny", None, torch.float16, "MixtralForCausalLM", "mixtral",
        {**BASE, "num_attention_heads": 8, "num_key_value_heads": "missing", "num_local_experts": 11,
         "num_experts_per_tok": 2, "intermediate_size": 16, "vocab_size": 808}, {"num_key_value_heads": 8}, 3),
    "Qwen3-MoE-tied": ("Qwen3-Moe-tiny", "qwen2", torch.bfloat16, "Qwen3MoeForCausalLM", "qwen3_moe",
        {**BASE, "num_key_value_heads": "missing", "num_experts": 12, "moe_intermediate_size": 16,
         "vocab_size": 403}, {"num_key_value_heads": 4}, 1),
}  # fmt: skip


def shapes_of(architecture, c):
    hidden, ff, heads = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"]
    head_dim = c.get("head_dim", hidden // heads)
    q, kv = heads * head_dim, c["num_key_value_heads"] * head_dim
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    if architecture in ("Gemma2ForCausalLM", "MixtralForCausalLM") or c.get("rope_scaling"):
        yield "lm_head.weight", (c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (hidden,)
        yield p + "post_attention_layernorm.weight", (hidden,)
        yield p + "self_attn.o_proj.weight", (hidden, q)
        if architecture == "Phi3ForCausalLM":
            yield p + "self_attn.qkv_proj.weight", (q + 2 * kv, hidden)
            yield p + "mlp.gate_up_proj.weight", (2 * ff, hidden)
            yield p + "mlp.down_proj.weight", (hidden, ff)
            continue
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield p + f"self_attn.{name}_proj.weight", (rows, hidden)
        if architecture == "Gemma2ForCausalLM":
            yield p + "pre_feedforward_layernorm.weight", (hidden,)
            yield p + "post_feedforward_layernorm.weight", (hidden,)
            yield p + "mlp.gate_proj.weight", (ff, hidden)
            yield p + "mlp.up_proj.weight", (ff, hidden)
            yield p + "mlp.down_proj.weight", (hidden, ff)
            continue
        mixtral = architecture == "MixtralForCausalLM"
        experts = c["num_local_experts" if mixtral else "num_experts"]
        p_moe = p + ("block_sparse_moe." if mixtral else "mlp.")
        ff_expert = ff if mixtral else c["moe_intermediate_size"]
        gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        yield p_moe + "gate.weight", (experts, hidden)
        for e in range(experts):
            yield p_moe + f"experts.{e}.{gate}.weight", (ff_expert, hidden)
            yield p_moe + f"experts.{e}.{up}.weight", (ff_expert, hidden)
            yield p_moe + f"experts.{e}.{down}.weight", (hidden, ff_expert)
        if not mixtral:
            yield p + "self_attn.q_norm.weight", (head_dim,)
            yield p + "self_attn.k_norm.weight", (head_dim,)


def make_model(name):
    vocabulary, _, dtype, architecture, model_type, config, implied, shards = CASES[name]
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in (GOLDEN / "hf2gguf/models" / vocabulary).iterdir():
        if "tok" in file.name:
            shutil.copyfile(file, folder / file.name)
    if name == "Phi-4-bpe":
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": "GPT2Tokenizer"}, indent=1))
    written = {key: value for key, value in config.items() if value != "missing"}
    (folder / "config.json").write_text(
        json.dumps({"architectures": [architecture], "model_type": model_type, **written}, indent=1) + "\n"
    )
    generator = torch.Generator().manual_seed(list(CASES).index(name))
    tensors = {
        key: (torch.randn(shape, generator=generator) * 0.1).to(dtype)
        for key, shape in shapes_of(architecture, {**config, **implied})
    }
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {key: value for i, (key, value) in enumerate(tensors.items()) if i % shards == shard}
        save_file(part, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=0) + "\n")


def form_of(field):
    """A metadata value as core/source/hf_source_test.cc has it."""
    import gguf

    kinds = [gguf.GGUFValueType(kind).name.lower() for kind in field.types]
    form = {"key": field.name, "type": kinds[0]}
    if kinds[0] == "array":
        form |= {"elem": kinds[-1], "n": len(field.data)}
        if len(field.data) <= 32:
            return form | {"value": field.contents()}
        # Texts with their lengths, without the array's head: type of the elements and count.
        head = sum(len(field.parts[i]) * field.parts[i].itemsize for i in range(5))
        payload = b"".join(part.tobytes() for part in field.parts)[head:]
        return form | {"sha256": hashlib.sha256(payload).hexdigest()}
    if kinds[0] == "float32":
        return form | {"bits": f"{int(field.parts[-1].view('<u4')[0]):08x}", "value": field.contents()}
    return form | {"value": field.contents()}


def convert(name, out_type):
    import gguf

    from conversion.base import TextModel

    pre = CASES[name][1]
    if pre:
        TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.gguf"
        sys.argv = ["convert_hf_to_gguf.py", "--outtype", out_type, "--outfile", str(output), str(MODELS / name)]
        runpy.run_path(str(SOURCE / "convert_hf_to_gguf.py"), run_name="__main__")
        reader = gguf.GGUFReader(output)
        keys = [form_of(field) for key, field in reader.fields.items() if not key.startswith("GGUF.")]
        tensors = [
            {
                "name": tensor.name,
                "type": tensor.tensor_type.name,
                "ne": tensor.shape.tolist(),
                "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
            }
            for tensor in reader.tensors
        ]
        return keys, tensors


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows) + "]"


def main():
    for name in CASES:
        make_model(name)
        parts, first_keys = [], None
        for out_type in ("f16", "bf16", "f32"):
            keys, tensors = convert(name, out_type)
            first_keys = first_keys or keys
            assert [key["key"] for key in keys] == [key["key"] for key in first_keys]
            changed = [key for key, first in zip(keys, first_keys) if key != first]
            kv = f'"kv":{lines(keys)}' if out_type == "f16" else f'"kv_changed":{lines(changed)}'
            parts.append(f'"{out_type}":{{{kv},\n"tensors":{lines(tensors)}}}')
        head = f'{{"model":{json.dumps(name)},"pre_hint":{json.dumps(CASES[name][1])},"out":{{\n'
        (MODELS / f"{name}.json").write_text(head + ",\n".join(parts) + "}}\n")


if __name__ == "__main__":
    main()
