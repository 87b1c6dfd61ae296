#!/usr/bin/env python3
"""Writes tests/golden/data/activations: a tiny random model for each family and kind of rotation, and
what transformers computes with it.

    make_activations.py OUT_DIR        (needs torch, transformers, safetensors)

OUT_DIR/models/NAME/ is a model directory in bfloat16; OUT_DIR/NAME.safetensors holds `input_ids` [T],
`hidden.k` [T, hidden] (k = 0: as it enters layer 0; k: as it leaves layer k - 1, before the final norm)
and `logits` [8, vocabulary] of the last positions, computed in float32 with eager attention from the
weights as stored. Weights are drawn wide, norms and biases away from 1 and 0, so that a wrong step shows.
"""
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

TOKENS = 40
SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=96, max_position_embeddings=64)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
LONGROPE = dict(type="longrope", short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 2.0, 4.0, 8.0])
EXPERTS = dict(num_experts_per_tok=2, output_router_logits=False)

# Name, configuration class, what differs from SIZES.
MODELS = [
    ("llama", "LlamaConfig", {}),
    ("llama-bias-untied", "LlamaConfig", dict(attention_bias=True, mlp_bias=True, head_dim=12)),
    ("llama3-rope", "LlamaConfig", dict(rope_scaling=LLAMA3, tie_word_embeddings=True)),
    ("llama-linear-rope", "LlamaConfig", dict(rope_scaling=dict(rope_type="linear", factor=4.0))),
    ("llama-dynamic-rope", "LlamaConfig",
     dict(rope_scaling=dict(rope_type="dynamic", factor=2.0), max_position_embeddings=16)),
    ("llama-yarn", "LlamaConfig",
     dict(rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16))),
    ("mistral-window", "MistralConfig", dict(sliding_window=11, head_dim=8)),
    ("qwen2", "Qwen2Config", {}),
    ("qwen2-window", "Qwen2Config", dict(use_sliding_window=True, sliding_window=9, max_window_layers=1)),
    ("qwen3", "Qwen3Config", dict(head_dim=16)),
    ("gemma2", "Gemma2Config",
     dict(head_dim=16, query_pre_attn_scalar=20, sliding_window=7, attn_logit_softcapping=5.0,
          final_logit_softcapping=3.0)),
    ("gemma3", "Gemma3TextConfig",
     dict(head_dim=16, query_pre_attn_scalar=24, sliding_window=7, num_hidden_layers=3,
          layer_types=["sliding_attention", "full_attention", "sliding_attention"],
          rope_scaling=dict(rope_type="linear", factor=8.0))),
    ("phi3-short", "Phi3Config",
     dict(rope_scaling=LONGROPE, original_max_position_embeddings=48, sliding_window=20, pad_token_id=0)),
    ("phi3-long", "Phi3Config", dict(rope_scaling=LONGROPE, original_max_position_embeddings=16, pad_token_id=0)),
    ("mixtral", "MixtralConfig", dict(num_local_experts=4, sliding_window=None, **EXPERTS)),
    ("qwen3-moe", "Qwen3MoeConfig",
     dict(num_experts=4, moe_intermediate_size=24, head_dim=8, norm_topk_prob=False, **EXPERTS)),
]


def randomize(model, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.data = noise * (0.6 / parameter.shape[-1] ** 0.5 if "embed" not in name else 0.8)
        elif name.endswith("bias"):
            parameter.data = noise * 0.3
        else:
            parameter.data = parameter.data + noise * 0.3


def layer_states(model, ids):
    layers = next(module for name, module in model.named_modules() if name.endswith(".layers"))
    states = {}

    def hook(index):
        def keep(_, args, kwargs, output):
            entering = args[0] if args else kwargs["hidden_states"]
            leaving = output[0] if isinstance(output, tuple) else output
            if index == 0:
                states["hidden.0"] = entering[0].clone()
            states[f"hidden.{index + 1}"] = leaving.reshape(entering.shape)[0].clone()
        return keep

    for index, layer in enumerate(layers):
        layer.register_forward_hook(hook(index), with_kwargs=True)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    states["logits"] = logits[0, -8:].clone()
    return states


def main():
    out = Path(sys.argv[1])
    for index, (name, config_class, changes) in enumerate(MODELS):
        generator = torch.Generator().manual_seed(index)
        config = getattr(transformers, config_class)(**{**SIZES, **changes})
        model = transformers.AutoModelForCausalLM.from_config(config, torch_dtype=torch.float32)
        randomize(model, generator)
        directory = out / "models" / name
        shutil.rmtree(directory, ignore_errors=True)
        model.to(torch.bfloat16).save_pretrained(directory)
        (directory / "generation_config.json").unlink(missing_ok=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, torch_dtype=torch.float32, attn_implementation="eager").eval()
        ids = torch.randint(0, config.vocab_size, (1, TOKENS), generator=generator)
        states = layer_states(model, ids)
        states["input_ids"] = ids[0]
        save_file({key: value.contiguous() for key, value in states.items()}, out / f"{name}.safetensors",
                  metadata={"transformers": transformers.__version__})
        print(name, float(states["logits"].abs().max()), flush=True)


main()
