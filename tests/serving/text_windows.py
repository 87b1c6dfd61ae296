"""The windows of a text that every measurement here uses: the text is tokenized once, without special
tokens, and cut into windows of CONTEXT tokens from its start. Nothing is padded or shuffled."""

import pathlib


def text_windows(tokenizer, path, count, context, bos=False):
    """The first `count` windows of `path`, an int64 tensor [count, context]. `bos` puts the tokenizer's
    first token of a text in place of each window's first."""
    import torch

    text = pathlib.Path(path).read_text(encoding="utf-8")
    # More characters than any tokenizer needs for that many tokens of prose; the rest is not read.
    ids = tokenizer(text[: count * context * 40], add_special_tokens=False)["input_ids"]
    if len(ids) < count * context:
        raise ValueError(f"{path}: {len(ids)} tokens, {count} windows of {context} need {count * context}")
    windows = torch.tensor(ids[: count * context]).reshape(count, context)
    if bos:
        if tokenizer.bos_token_id is None:
            raise ValueError("the tokenizer has no token that begins a text")
        windows[:, 0] = tokenizer.bos_token_id
    return windows
