#!/usr/bin/env python3
"""Writes the seeds of the tokenizer.json and tokenizer.model fuzz targets: tests/fuzz/make_tokenizer_seeds.py.

The files are committed; run this again only to change them. `valid` seeds load, `hostile` ones are
refused or need more work than is granted.
"""
import copy
import json
import struct

from make_seeds import POINTER, flip, write

# --- tokenizer.json ---


def token(content, number, **flags):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False, **flags}


def split(regex, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": False}


LETTERS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
BYTE_LEVEL = {
    "added_tokens": [token("<s>", 7, special=True), token("don", 8, normalized=True, single_word=True)],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split("\\s+(?!\\S)|\\s+"), {"type": "Digits", "individual_digits": True}, LETTERS]},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                       "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}},
    "decoder": LETTERS,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "\u0120": 3, "aa": 4, "aaaa": 5, "l": 6}, "merges": ["a b", ["a", "a"], "aa aa"]},
}
SENTENCEPIECE = {
    "added_tokens": [token("<unk>", 0, special=True)],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
                                                       {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
    "post_processor": None,
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                                                 {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": {"<unk>": 0, "<0xC3>": 1, "<0xB6>": 2, "\u2581": 3, "l": 4, "ll": 5},
              "merges": [["l", "l"]]},
}


def changed(base, path, value):
    out = copy.deepcopy(base)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return out


def text(value):
    return json.dumps(value, ensure_ascii=False).encode()


VALID = text(BYTE_LEVEL)
write("tokenizer_json", "valid", {
    "byte_level": VALID,
    "sentencepiece": text(SENTENCEPIECE),
    "punctuation": text(changed(BYTE_LEVEL, ["pre_tokenizer"], {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {**LETTERS, "use_regex": True}]})),
    "accents": text(changed(BYTE_LEVEL, ["normalizer"], {"type": "Sequence", "normalizers": [
        {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}]})),
    "no_parts": text({"model": {"vocab": {"a": 0}, "merges": []}}),
})
write("tokenizer_json", "hostile", {
    "empty": b"",
    "git_lfs_pointer": POINTER,
    "truncated": VALID[:len(VALID) // 2],
    "bit_flipped_name": flip(VALID, 8 * VALID.index(b"vocab")),
    "bit_flipped_quote": flip(VALID, 8 * VALID.index(b'"model"')),
    "nested_arrays": b"[" * 5000,
    "nested_normalizers": text(changed(BYTE_LEVEL, ["normalizer"], json.loads(
        '{"type":"Sequence","normalizers":[' * 40 + '{"type":"NFC"}' + "]}" * 40))),
    "id_huge": text(changed(BYTE_LEVEL, ["model", "vocab", "a"], 2**63)),
    "id_large": text(changed(BYTE_LEVEL, ["model", "vocab", "a"], 2**22)),
    "id_twice": text(changed(BYTE_LEVEL, ["model", "vocab", "a"], 1)),
    "token_twice": VALID.replace(b'"vocab": {', b'"vocab": {"b": 9, '),
    "merge_unknown": text(changed(BYTE_LEVEL, ["model", "merges"], ["a z"])),
    "merge_of_three": text(changed(BYTE_LEVEL, ["model", "merges"], ["a b c"])),
    "merge_makes_nothing": text(changed(BYTE_LEVEL, ["model", "merges"], ["b a"])),
    "wordpiece": text(changed(BYTE_LEVEL, ["model", "type"], "WordPiece")),
    "regex_backtracks": text(changed(BYTE_LEVEL, ["pre_tokenizer"], split("(?:a+)+ab c"))),
    "regex_large": text(changed(BYTE_LEVEL, ["pre_tokenizer"], split("((a{1000}){1000}){1000}"))),
    "regex_open": text(changed(BYTE_LEVEL, ["pre_tokenizer"], split("(a"))),
    "regex_verb": text(changed(BYTE_LEVEL, ["pre_tokenizer"], split("(*LIMIT_MATCH=1)a"))),
    "replace_grows": text(changed(BYTE_LEVEL, ["normalizer"], {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 99}] * 8})),
    "template_id": text(changed(BYTE_LEVEL, ["post_processor", "special_tokens", "<s>", "ids"], [2**40])),
    "added_long": text(changed(BYTE_LEVEL, ["added_tokens"], [token("x" * 2000, 9)])),
})

# --- tokenizer.model ---


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(value)


def piece(content, score, kind=1):
    return message(1, message(1, content) + varint(2 << 3 | 5) + struct.pack("<f", score) + (number(3, kind) if kind != 1 else b""))


UNKNOWN = piece(b"<unk>", 0, 2)
MODEL = (UNKNOWN + piece(b"<s>", 0, 3) + piece(b"<0x0A>", 0, 6) + piece("\u2581t".encode(), -1) + piece(b"he", -2)
         + message(2, number(3, 2) + number(4, 5) + number(35, 1)) + message(3, message(1, b"identity") + number(3, 0)))
write("tokenizer_model", "valid", {"bpe": MODEL, "one_piece": UNKNOWN, "unknown_fields": UNKNOWN + message(9, b"later") + number(100, 7)})
write("tokenizer_model", "hostile", {
    "empty": b"",
    "git_lfs_pointer": POINTER,
    "truncated": MODEL[:-3],
    "bit_flipped_length": flip(MODEL, 14),
    "bit_flipped_tag": flip(MODEL, 1),
    "length_huge": b"\x0a" + b"\xff" * 9 + b"\x01",
    "number_long": b"\xff" * 20,
    "wire_type": b"\x0b",
    "field_0": b"\x00\x01",
    "piece_twice": MODEL + piece(b"he", 0),
    "piece_empty": MODEL + piece(b"", 0),
    "piece_no_utf8": MODEL + piece(b"\xc0\x80", 0),
    "piece_type": MODEL + piece(b"x", 0, 9),
    "unknown_twice": MODEL + piece(b"<u>", 0, 2),
    "score_is_number": UNKNOWN + message(1, message(1, b"a") + number(2, 1)),
    "model_type": UNKNOWN + message(2, number(3, 77)),
})
