#!/usr/bin/env python3
"""Prints what compare_gptq.sh measured: comparison_table.py OUT. The ratio is ours / GPTQModel's."""

import json
import pathlib
import sys


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def figures(out, side):
    cost, quality = read(out / f"{side}.json"), read(out / f"{side}.quality.json")
    metadata = cost.get("metadata", {})
    return {
        "CPU seconds": cost.get("cpu_seconds", metadata.get("cpu_seconds")),
        "  of them imports": cost.get("import_cpu_seconds"),
        "wall seconds": cost.get("wall_seconds", cost.get("duration_seconds")),
        "peak memory, MB": cost["peak_memory_bytes"] / 1e6 if "peak_memory_bytes" in cost else None,
        "weights, MB": quality["file_bytes"] / 1e6 if "file_bytes" in quality else None,
        "source perplexity": quality.get("source_perplexity"),
        "perplexity": quality.get("perplexity"),
        "  / the source's": quality.get("ratio"),
        "KL divergence, nats": quality.get("kl"),
        "top-1 agreement": quality.get("top1"),
        "KL in gptqmodel": quality.get("kl_gptqmodel"),
        "KL in transformers": quality.get("kl_transformers"),
        "broken rules": len(quality["failures"]) if "failures" in quality else None,
    }


def main():
    out = pathlib.Path(sys.argv[1])
    peer, ours = figures(out, "gptqmodel"), figures(out, "ours")
    print(f"{'':22} {'gptqmodel':>12} {'ours':>12} {'ratio':>8}")
    for name in peer:
        a, b = peer[name], ours[name]
        cells = [f"{v:12.5g}" if v is not None else f"{'-':>12}" for v in (a, b)]
        ratio = f"{b / a:8.3f}" if a and b is not None else f"{'-':>8}"
        print(f"{name:22} {' '.join(cells)} {ratio}")


if __name__ == "__main__":
    main()
