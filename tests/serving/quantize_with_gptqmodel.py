#!/usr/bin/env python3
"""Quantizes a model directory with GPTQModel's default settings and says what that cost.

    build/serving/bin/python tests/serving/quantize_with_gptqmodel.py MODEL_DIR TEXT OUT
        [--bits 4] [--group-size 64] [--windows 64] [--context 512] [--dtype float32] [--json FILE]

The calibration set is the first --windows windows of --context tokens of TEXT (text_windows.py). OUT
must not exist. --json gets cpu_seconds (user and system, whole process), import_cpu_seconds (how much
of it went into loading Python's packages), wall_seconds and peak_memory_bytes.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

from text_windows import text_windows


def cpu_seconds():
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def to_dtype_of(source, folder):
    """Gives the tensors that are not quantized, and the configuration, the source's dtype again."""
    import torch
    from safetensors.torch import load_file, save_file

    config, wanted = (json.loads((d / "config.json").read_text()) for d in (folder, source))
    name = wanted.get("dtype", wanted.get("torch_dtype"))
    config["dtype"] = name
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        cast = {k: v.to(getattr(torch, name)) if v.dtype == torch.float32 else v for k, v in tensors.items()}
        save_file(cast, path, {"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--dtype", default="float32", help="of activations and kept weights")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.out.exists():
        sys.exit(f"{options.out}: exists")

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # GPTQModel starts more workers than a small machine has processors.
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(min(8, os.cpu_count())))
    source, text, out = (path.resolve() for path in (options.model, options.text, options.out))
    result_path = options.json and options.json.resolve()
    scratch = tempfile.TemporaryDirectory()
    os.chdir(scratch.name)  # GPTQModel writes logs into the current folder
    start = time.monotonic()
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig
    from transformers import AutoTokenizer

    imported = cpu_seconds()
    tokenizer = AutoTokenizer.from_pretrained(source)
    windows = text_windows(tokenizer, text, options.windows, options.context)
    calibration = [{"input_ids": w.tolist(), "attention_mask": [1] * len(w)} for w in windows]
    config = QuantizeConfig(bits=options.bits, group_size=options.group_size)
    # Without AVX512-BF16 or AMX, 16-bit products take 7 times as long as float32 ones: not the peer's
    # fault, so it gets what suits it best here.
    model = GPTQModel.load(str(source), config, device="cpu", dtype=getattr(torch, options.dtype))
    model.quantize(calibration, batch_size=1)
    model.save(str(out))
    result = {
        "cpu_seconds": round(cpu_seconds(), 1),
        "import_cpu_seconds": round(imported, 1),
        "wall_seconds": round(time.monotonic() - start, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    to_dtype_of(source, out)
    print(json.dumps(result))
    if result_path:
        result_path.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
