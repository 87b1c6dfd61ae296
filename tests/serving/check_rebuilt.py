#!/usr/bin/env python3
"""Checks a configuration and tokenizer rebuilt from a GGUF file against those of the model it was made of.

  check_rebuilt.py REBUILT_DIR SOURCE_DIR [--texts FILE.json] [--logits]

transformers must load both, and find the same: every field of the configurations but those that change no
result, and of the tokenizers the ids of each text with and without special tokens, what is decoded from
them, the tokens with a role and the chat template; with --logits, too, what the source's weights compute
under either configuration. The source's ids are those of its tokenizer.json alone:
some classes of transformers 5 split text by rules of their own (GPT2Tokenizer). REBUILT_DIR is what `rebuild-hf-files` wrote. Ends with 0
(the same), 1 (something differs; each line says what, found and expected) or 2 (could not run).
"""
import argparse
import json
import pathlib
import sys

TEXTS = pathlib.Path(__file__).parent.parent / "golden/data/tokenizers/texts.json"
# Of no result: how a file came about, training, and what a checkpoint's data type is.
WITHOUT_RESULT = {"_name_or_path", "architectures", "attention_dropout", "chunk_size_feed_forward", "dtype",
                  "initializer_range", "model_type", "output_router_logits", "pretraining_tp", "router_aux_loss_coef",
                  "router_jitter_noise", "torch_dtype", "transformers_version", "use_bidirectional_attention",
                  "use_cache", "embd_pdrop", "resid_pdrop", "max_window_layers", "_sliding_window_pattern", "hidden_act"}
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


def differences_of_config(rebuilt, source):
    found, expected = rebuilt.to_dict(), source.to_dict()
    for field in sorted((found.keys() | expected.keys()) - WITHOUT_RESULT):
        if found.get(field) != expected.get(field):
            yield f"config.json: {field}: found {found.get(field)}, expected {expected.get(field)}"


def differences_of_tokenizer(rebuilt, source, source_file, texts):
    for role in ROLES:
        if getattr(rebuilt, role) != getattr(source, role):
            yield f"tokenizer: {role}: found {getattr(rebuilt, role)!r}, expected {getattr(source, role)!r}"
    if rebuilt.chat_template != source.chat_template:
        yield "tokenizer: the chat template differs"
    for text in texts:
        for special in (False, True):
            found = rebuilt.encode(text, add_special_tokens=special)
            expected = source_file.encode(text, add_special_tokens=special).ids
            if found != expected:
                yield f"tokenizer: {text!r}: found {found}, expected {expected}"
        decoded = [tokenizer.decode(expected, skip_special_tokens=True) for tokenizer in (rebuilt, source_file)]
        if decoded[0] != decoded[1]:
            yield f"tokenizer: {text!r} decoded: found {decoded[0]!r}, expected {decoded[1]!r}"


def differences_of_logits(rebuilt, source, directory):
    import torch
    from transformers import AutoModelForCausalLM
    ids = torch.arange(1, 65)[None] % source.get_text_config().vocab_size
    logits = []
    for config in (rebuilt, source):
        model = AutoModelForCausalLM.from_pretrained(directory, config=config, dtype=torch.float32)
        with torch.no_grad():
            logits.append(model.eval()(ids).logits)
    if not torch.equal(*logits):
        yield f"logits: found a difference of up to {float((logits[0] - logits[1]).abs().max()):.3g}, expected none"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rebuilt", type=pathlib.Path)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--texts", type=pathlib.Path, default=TEXTS)
    parser.add_argument("--logits", action="store_true")
    arguments = parser.parse_args()
    try:
        from tokenizers import Tokenizer
        from transformers import AutoConfig, AutoTokenizer
        texts = json.loads(arguments.texts.read_text())
        configs = [AutoConfig.from_pretrained(path) for path in (arguments.rebuilt, arguments.source)]
        tokenizers = [AutoTokenizer.from_pretrained(path) for path in (arguments.rebuilt, arguments.source)]
        source_file = Tokenizer.from_file(str(arguments.source / "tokenizer.json"))
    except (ImportError, OSError, ValueError) as error:
        print(f"check_rebuilt.py: {error}", file=sys.stderr)
        return 2
    lines = list(differences_of_config(*configs)) + list(differences_of_tokenizer(*tokenizers, source_file, texts))
    if arguments.logits:
        lines += differences_of_logits(*configs, arguments.source)
    print("\n".join(lines) if lines else f"the same configuration, and the same ids of {len(texts)} texts")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
