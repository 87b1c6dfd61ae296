#!/usr/bin/env python3
"""Makes the cases of tests/golden/data/models: nano-rows-f16 by running the reference's llama-quantize
(tests/bench/build_reference.sh), SmolLM2 from the large golden set.

    tests/golden/make_model_cases.py GOLDEN_DIR LLAMA_QUANTIZE
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

MODELS = pathlib.Path(__file__).parent / "data/models"
LEVELS = (
    "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S"
    " Q5_K_M Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS"
    " TQ1_0 TQ2_0 MXFP4_MOE Q1_0 Q2_0 COPY"
).split()
# Options of llama-quantize, which tests/golden/models_test.cc reads from the cases.
OPTIONS = [
    ("Q4_K_M", ["--pure"]),
    ("Q4_K_M", ["--leave-output-tensor"]),
    ("Q4_K_M", ["--output-tensor-type", "q5_k"]),
    ("Q4_K_M", ["--token-embedding-type", "q3_k"]),
    ("IQ3_S", ["--tensor-type", "attn_v=q8_0", "--tensor-type", r"BLK\.[0-1]\.ffn_(up|gate)=iq4_nl"]),
    ("Q2_K", ["--tensor-type", "ffn=nvfp4"]),
    ("Q4_K_M", ["--prune-layers", "2"]),
    ("IQ2_XS", ["--imatrix", "nano-rows-f16.imatrix.gguf", "--prune-layers", "0"]),
    ("Q5_K_S", ["--override-kv", "general.name=str:other", "--override-kv", "x.y=int:-3", "--override-kv", "x.z=float:0.25"]),
    ("Q4_K_M", ["--imatrix", "nano-rows-f16.imatrix.gguf", "--include-weights", "ffn_down"]),
    ("Q4_K_M", ["--imatrix", "nano-rows-f16.imatrix.gguf", "--exclude-weights", "attn_q"]),
]  # fmt: skip
SMOLLM2 = (
    "F32/none F16/none Q8_0/none Q4_0/none Q5_1/none Q2_K/none Q3_K_S/none Q3_K_M/none Q4_K_M/none"
    " Q5_K_S/none Q6_K/none Q4_K_M/im Q2_K/im IQ3_XXS/im"
).split()


def tensors_of(path):
    sys.path.insert(0, str(pathlib.Path(sys.argv[2]).absolute().parents[1] / "source/gguf-py"))
    import gguf

    reader = gguf.GGUFReader(path)
    return {
        tensor.name: [tensor.tensor_type.name, hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16]]
        for tensor in reader.tensors
    }


def write(path, cases):
    lines = ",\n".join(f" {json.dumps(name)}:{json.dumps(case, separators=(',', ':'))}" for name, case in cases.items())
    path.write_text('{"cases":{\n' + lines + "\n}}\n")


def case_of(tool, level, options):
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.gguf"
        done = subprocess.run([tool, *options, "nano-rows-f16.gguf", output, level, "1"], cwd=MODELS, capture_output=True)
        if done.returncode != 0:
            return {"error": True}
        return {"file_sha256": hashlib.sha256(output.read_bytes()).hexdigest(), "tensors": tensors_of(output)}


def nano_rows(tool):
    cases = {}
    for level in LEVELS:
        for variant in ("none", "im"):
            options = ["--imatrix", "nano-rows-f16.imatrix.gguf"] if variant == "im" else []
            cases[f"{level}/{variant}"] = case_of(tool, level, options)
    for number, (level, options) in enumerate(OPTIONS):
        cases[f"{level}/options-{number}"] = {"options": options, **case_of(tool, level, options)}
    write(MODELS / "nano-rows-f16.json", cases)


def main():
    golden, tool = pathlib.Path(sys.argv[1]) / "gguf", pathlib.Path(sys.argv[2]).absolute()
    shutil.copyfile(golden / "nano/nano-dense-f16.imatrix.gguf", MODELS / "nano-rows-f16.imatrix.gguf")
    shutil.copyfile(golden / "smollm2/smollm2-135m.imatrix.gguf", MODELS / "smollm2-135m.imatrix.gguf")
    nano_rows(tool)
    recorded = json.loads((golden / "smollm2/smollm2-135m-f16.json").read_text())["cases"]
    write(
        MODELS / "smollm2-135m-f16.json",
        {
            name: {"tensors": {tensor: [kind, digest[:16]] for tensor, (kind, digest) in recorded[name]["tensors"].items()}}
            for name in SMOLLM2
        },
    )


if __name__ == "__main__":
    main()
