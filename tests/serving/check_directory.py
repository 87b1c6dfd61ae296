#!/usr/bin/env python3
"""Proves that an AWQ or GPTQ output directory can be served, and measures how good it is.

    build/serving/bin/python tests/serving/check_directory.py QDIR --source DIR --text FILE
        [--windows 6] [--context 512] [--bos] [--loaders own,gptqmodel,transformers]
        [--max-ratio 1.25] [--max-kl 0.25] [--json OUT]

 1. The format: every rule of packed_checkpoint.py, against the source's configuration and tensors.
 2. `own`: the weights that the format says are there, in a float32 transformers model: perplexity,
    mean KL divergence and top-1 agreement against the source, over the first windows of the text
    (text_windows.py). Every token of a window but its first is scored.
 3. `gptqmodel`, `transformers`: those programs load QDIR on the CPU, and on the first window their
    mean KL divergence from `own` is below 0.002. One that cannot be imported is a failure; leave it
    out with --loaders.

For GPTQ, which changes no tensor that it does not quantize, the kept tensors must have the source's
values, and each weight must be about as near to the source's as rounding can be. AWQ moves factors
between tensors, so that only what the model computes can be compared: 2.

Ends with 0 when all holds, 1 when something does not, 2 when it could not run.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import packed_checkpoint
from packed_checkpoint import Findings
from text_windows import text_windows

LOADERS = ("own", "gptqmodel", "transformers")
MAX_LOADER_KL = 2e-3


def round_off(bits):
    """About the mean of (error / weight)^2 that rounding to the nearest gives: uniform noise of a step
    of 2 a / (2^bits - 1), where the largest weight of a group is a = 3.2 standard deviations."""
    return (2 * 3.2 / ((1 << bits) - 1)) ** 2 / 12


def read_weights(checkpoint, source, findings):
    """A state dict of the source's names, in float32; compares it with the source where it can."""
    source_tensors = packed_checkpoint.read_tensors(source, Findings())
    comparable = checkpoint.method == "gptq"
    weights = {}
    for name, module in checkpoint.modules.items():
        weight = packed_checkpoint.dequantize(checkpoint, name, findings)
        original = packed_checkpoint.load(source_tensors[f"{name}.weight"]).float()
        if comparable:
            # GPTQ trades error between weights, more in them for less in what they compute: up to 4.5
            # times that of rounding was seen. Zero points that are off by one have 13 times.
            limit = 8 * round_off(module.bits)
            error = float((weight - original).square().mean() / original.square().mean())
            findings.require(error <= limit, f"{name}: relative squared error {error:.4g} of the weight, at most {limit:.4g}")
        weights[f"{name}.weight"] = weight
    for name, tensor in checkpoint.tensors.items():
        if name.rpartition(".")[0] in checkpoint.modules and not name.endswith(".bias"):
            continue
        weights[name] = packed_checkpoint.load(tensor).float()
        if comparable and name in source_tensors:
            original = packed_checkpoint.load(source_tensors[name]).float()
            # 2^-8 is half a step of bfloat16; below 2^-14 a float16 is on a grid of 2^-24.
            near = (weights[name] - original).abs() <= original.abs() / 256 + 2.0**-24
            findings.require(near.all(), f"{name}: {int((~near).sum())} values are not the source's")
    return weights


def own_model(folder, weights, findings):
    """transformers' float32 model of QDIR's configuration with those weights; None if they do not fit."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = config.get_text_config().tie_word_embeddings
    missing = [name for name in missing if not (tied and name == "lm_head.weight")]
    model.tie_weights()
    fits = findings.require(not missing and not unexpected, f"model: misses {missing[:3]}, does not know {unexpected[:3]}")
    return model.eval() if fits else None


def log_probabilities(model, window):
    import torch

    with torch.inference_mode():
        return torch.log_softmax(model(window[None], use_cache=False).logits[0].float(), -1)


def measure(model, original, windows):
    """Quality of `model` against `original`, and the model's log-probabilities on the first window."""
    nll = original_nll = kl = agreed = 0.0
    first = None
    for window in windows:
        ours, theirs = log_probabilities(model, window), log_probabilities(original, window)
        first = ours if first is None else first
        ours, theirs, target = ours[:-1], theirs[:-1], window[1:, None]
        nll -= ours.gather(1, target).double().sum().item()
        original_nll -= theirs.gather(1, target).double().sum().item()
        kl += (theirs.exp() * (theirs - ours)).double().sum().item()
        agreed += (theirs.argmax(-1) == ours.argmax(-1)).sum().item()
    tokens = windows.shape[0] * (windows.shape[1] - 1)
    return {
        "tokens": tokens,
        "source_perplexity": math.exp(original_nll / tokens),
        "perplexity": math.exp(nll / tokens),
        "ratio": math.exp((nll - original_nll) / tokens),
        "kl": kl / tokens,
        "top1": agreed / tokens,
    }, first


def check_loader(loader, folder, window, expected, findings):
    """The mean KL divergence of what `loader` computes; None when it cannot load the directory."""
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        tokens, out = f"{scratch}/tokens.npy", f"{scratch}/out.npy"
        np.save(tokens, window.numpy())
        program = pathlib.Path(__file__).with_name("loader_logits.py")
        done = subprocess.run([sys.executable, program, loader, folder, tokens, out], capture_output=True, text=True)
        lines = (done.stderr or done.stdout).strip().splitlines() or [""]
        if not findings.require(done.returncode == 0, f"loader {loader}: exit {done.returncode}: {lines[-1][:300]}"):
            return None
        actual = torch.from_numpy(np.load(out))
    kl = (expected.exp() * (expected - actual)).sum(-1).mean().item()
    findings.require(kl < MAX_LOADER_KL, f"loader {loader}: computes something else, mean KL divergence {kl:.3g}")
    return kl


def check_values(checkpoint, options, findings, result):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    import torch

    tokenizer = AutoTokenizer.from_pretrained(options.source)
    cut = options.text, options.windows, options.context, options.bos
    windows = text_windows(tokenizer, *cut)
    try:
        copied = text_windows(AutoTokenizer.from_pretrained(options.qdir), *cut)
        findings.require(torch.equal(copied, windows), "tokenizer: gives other tokens than the source's")
    except Exception as error:  # noqa: BLE001 - whatever transformers throws, the copy is unusable
        findings.require(False, f"tokenizer: {type(error).__name__}: {error}")
    model = own_model(options.qdir, read_weights(checkpoint, options.source, findings), findings)
    if model is None:
        return
    original = AutoModelForCausalLM.from_pretrained(options.source, dtype=torch.float32, attn_implementation="eager").eval()
    figures, first = measure(model, original, windows)
    result.update(figures)
    findings.require(figures["ratio"] <= options.max_ratio, f"perplexity ratio {figures['ratio']:.4f}, at most {options.max_ratio}")
    findings.require(figures["kl"] <= options.max_kl, f"KL divergence {figures['kl']:.4f}, at most {options.max_kl}")
    del model, original
    for loader in options.loaders[1:]:
        result[f"kl_{loader}"] = check_loader(loader, options.qdir, windows[0], first, findings)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("qdir", type=pathlib.Path)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--bos", action="store_true", help="begin each window with the token that begins a text")
    parser.add_argument("--loaders", default=",".join(LOADERS))
    parser.add_argument("--max-ratio", type=float, default=1.25)
    parser.add_argument("--max-kl", type=float, default=0.25)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    chosen = options.loaders.split(",")
    if "own" not in chosen or not set(chosen) <= set(LOADERS):
        parser.error(f"--loaders {options.loaders}: own and any of {', '.join(LOADERS[1:])}")
    options.loaders = [loader for loader in LOADERS if loader in chosen]
    for path in (options.qdir, options.source / "config.json", options.text):
        if not path.exists():
            parser.error(f"{path}: not there")
    return options


def print_table(result, findings):
    for kind, rules in (("FAIL", findings.failures), ("warn", findings.warnings)):
        for rule in dict.fromkeys(rules):
            print(f"{kind}  {rule}" + (f"  ({rules.count(rule)} times)" if rules.count(rule) > 1 else ""))
    for key, value in result.items():
        print(f"{key:20} {value:.6g}" if isinstance(value, float) else f"{key:20} {value}")
    print(f"{findings.passed} rules held, {len(findings.failures)} did not, {len(findings.warnings)} warnings")


def main():
    options = parse_options()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        print(f"check_directory: {error}; run it with the interpreter that setup.sh prints", file=sys.stderr)
        return 2
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    findings, result = Findings(), {"directory": str(options.qdir)}
    checkpoint = packed_checkpoint.check_format(options.qdir, options.source, findings)
    if checkpoint is None:
        result["values"] = "not read: the format is broken"
    else:
        q = checkpoint.quantization
        result.update({key: q.get(key) for key in ("quant_method", "bits", "group_size", "sym", "desc_act", "checkpoint_format")})
        result["modules"] = len(checkpoint.modules)
        result["file_bytes"] = sum(path.stat().st_size for path in options.qdir.glob("*.safetensors"))
        check_values(checkpoint, options, findings, result)
    print_table(result, findings)
    if options.json:
        result |= {"passed": findings.passed, "failures": findings.failures, "warnings": findings.warnings}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if findings.failures else 0


if __name__ == "__main__":
    sys.exit(main())
