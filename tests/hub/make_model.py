"""Writes a model directory of two shards and a few texts: make_model.py DIR."""

import json
import random
import struct
import sys
from pathlib import Path

out = Path(sys.argv[1])
out.mkdir(parents=True)
random.seed(1)
weight_map = {}
for shard, size in ((1, 40_000_000), (2, 20_000_000)):
    name = f"model-0000{shard}-of-00002.safetensors"
    tensor = f"layer.{shard}.weight"
    header = json.dumps({tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    (out / name).write_bytes(struct.pack("<Q", len(header)) + header + random.randbytes(size))
    weight_map[tensor] = name
(out / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
(out / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 8}))
(out / "tokenizer.json").write_text("{}")
(out / "README.md").write_text("---\nlicense: mit\n---\n")
