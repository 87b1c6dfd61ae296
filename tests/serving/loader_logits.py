#!/usr/bin/env python3
"""Loads a quantized directory as its users do and writes what it computes.

    build/serving/bin/python tests/serving/loader_logits.py gptqmodel|transformers QDIR TOKENS.npy OUT.npy

TOKENS.npy is int64 [tokens]; OUT.npy gets float32 [tokens, vocabulary] log-probabilities. One process
per loader: GPTQModel alters transformers when it is imported.
"""

import os
import sys

import numpy as np


def load_gptqmodel(folder):
    import torch
    from gptqmodel import BACKEND, GPTQModel

    from packed_checkpoint import Findings, read_json

    config = read_json(folder / "config.json", Findings())
    # The plain PyTorch kernels; those that AUTO may choose round activations. They refuse float32.
    method = config["quantization_config"]["quant_method"]
    backend = BACKEND.AWQ_TORCH if method == "awq" else BACKEND.GPTQ_TORCH
    return GPTQModel.load(str(folder), backend=backend, device="cpu", dtype=torch.float16).model


def load_transformers(folder):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu")


LOADERS = {"gptqmodel": load_gptqmodel, "transformers": load_transformers}


def main():
    import pathlib

    import torch

    loader, folder, tokens, out = sys.argv[1:]
    model = LOADERS[loader](pathlib.Path(folder).resolve()).eval()
    # A linear that was loaded as a float one would compute the right thing for the wrong reason.
    kernels = "gptqmodel.nn_modules.qlinear"  # transformers 5 loads AWQ and GPTQ with the same ones
    quantized = sum(type(module).__module__.startswith(kernels) for module in model.modules())
    print(f"{loader}: {quantized} quantized modules", file=sys.stderr)
    if not quantized:
        sys.exit(f"{loader}: loaded no quantized module")
    with torch.inference_mode():
        logits = model(torch.from_numpy(np.load(tokens))[None], use_cache=False).logits[0].float()
    np.save(out, torch.log_softmax(logits, -1).numpy())


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    main()
