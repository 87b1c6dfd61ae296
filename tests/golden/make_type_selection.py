#!/usr/bin/env python3
"""Makes tests/golden/data/type_selection from the large golden set: all its cases, in short form.

    tests/golden/make_type_selection.py GOLDEN_DIR
"""

import json
import pathlib
import re
import sys

LAYER = re.compile(r"^(.*?blk\.)(\d+)(\..*)$")


def pattern_of(name):
    found = LAYER.match(name)
    return (found[1] + "*" + found[3], int(found[2])) if found else (name, None)


def runs(types):
    """["A", "A", "B"] as "A*2 B*1"; one word where all are the same."""
    if len(set(types)) == 1:
        return types[0]
    words = []
    for one in types:
        if words and words[-1][0] == one:
            words[-1][1] += 1
        else:
            words.append([one, 1])
    return " ".join(f"{name}*{count}" for name, count in words)


def name_of_type(text):
    return text.upper()


def short_model(model):
    # A name with "*" where all layers have a tensor of this name and these dimensions.
    layers = {}
    dims = {}
    for name, shape in model["tensors"]:
        pattern, layer = pattern_of(name)
        layers.setdefault(pattern, []).append(layer)
        dims.setdefault(pattern, []).append(shape)
    count = max((layer for found in layers.values() for layer in found if layer is not None), default=-1) + 1
    whole = {
        pattern
        for pattern, found in layers.items()
        if found == list(range(count)) and all(shape == dims[pattern][0] for shape in dims[pattern])
    }
    tensors = []
    for name, shape in model["tensors"]:
        pattern, _ = pattern_of(name)
        row = [pattern if pattern in whole else name, shape]
        if row not in tensors:
            tensors.append(row)
    cases = {}
    for case, answer in model["cases"].items():
        if "error" in answer:
            cases[case] = "error"
            continue
        listed = {name: name_of_type(kind) for kind, names in answer.items() if kind != "*" for name in names}
        default = name_of_type(answer["*"])
        pruned = case.endswith("/prune")
        left = count
        if pruned:
            left = len({pattern_of(name)[1] for name in listed} - {None})
        rows = {}
        for pattern, _ in tensors:
            if "*" in pattern:
                types = [listed.get(pattern.replace("*", str(layer), 1), default) for layer in range(left)]
            else:
                layer = pattern_of(pattern)[1]
                types = [listed.get(pattern, default)] if layer is None or layer < left else []
            if types and runs(types) != default:
                rows[pattern] = runs(types)
        cases[case] = {"*": default, **rows}
        if pruned:
            cases[case]["layers"] = left
    return {"kv": model["kv"], "layers": count, "tensors": tensors, "cases": cases}


def main():
    source = json.loads((pathlib.Path(sys.argv[1]) / "gguf/type_selection.json").read_text())
    target = pathlib.Path(__file__).parent / "data/type_selection/type_selection.json"
    models = []
    for name, model in source["models"].items():
        short = short_model(model)
        # The same answer stands once.
        answers = {}
        for case, answer in short["cases"].items():
            answers.setdefault(json.dumps(answer, separators=(",", ":")), []).append(case)
        lines = ",\n".join(f'   {json.dumps(" ".join(cases))}:{text}' for text, cases in answers.items())
        models.append(
            f' "{name}":{{\n  "kv":{json.dumps(short["kv"], separators=(",", ":"))},\n'
            f'  "layers":{short["layers"]},\n'
            f'  "tensors":{json.dumps(short["tensors"], separators=(",", ":"))},\n'
            f'  "cases":{{\n{lines}}}}}'
        )
    target.write_text('{"models":{\n' + ",\n".join(models) + "}}\n")


if __name__ == "__main__":
    main()
