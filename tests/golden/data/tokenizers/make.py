#!/usr/bin/env python3
"""Makes the golden data of this folder with the reference tools.

  make.py LARGE_GOLDEN_DIR GGUF_PY_DIR

Needs tokenizers 0.22.2 and transformers 4.57.6 (pip), and the gguf-py folder of the llama.cpp that llama-cpp-python
0.3.36 packs. LARGE_GOLDEN_DIR is the folder that QUANTIZED_GOLDEN names.
"""
import copy, hashlib, json, shutil, struct, sys, tempfile
from pathlib import Path

large, here = Path(sys.argv[1]) / "hf2gguf", Path(__file__).parent
sys.path.insert(0, sys.argv[2])
import gguf.vocab
from tokenizers import Tokenizer
from transformers import AutoTokenizer

MODELS = ["Llama-3.2-tiny-Instruct", "llama2-spm-sharded", "Qwen2.5-tiny-Instruct", "Qwen3-tiny", "gemma-3-tiny-it",
          "gpt2-tiny", "falcon-tiny", "command-r-tiny", "DeepSeek-V3-tiny-fp8"]

# ---- models/NAME: the tokenizer files of a tiny model, the tokenizer's keys as the reference wrote them, and the ids
#      that Hugging Face's tokenizers give

def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")

vectors = json.loads((large / "tokenizers/gpt-2/vectors.json").read_text())
texts = [c["text"] for c in vectors["cases"] if "text" in c and len(c["text"]) <= 200]
write(here / "texts.json", texts)

for name in MODELS:
    out = here / "models" / name
    out.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "added_tokens.json", "config.json"):
        if (large / "models" / name / file).exists():
            shutil.copyfile(large / "models" / name / file, out / file)
    golden = json.loads((large / "golden" / f"{name}.json").read_text())
    kv = golden["out"]["auto"]["kv"]
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    ids = [tokenizer.encode(t, add_special_tokens=True).ids for t in texts]
    write(out / "golden.json", {
        "architecture": next(e["value"] for e in kv if e["key"] == "general.architecture"),
        "pre_hint": golden.get("pre_hint"), "pre_hash": golden["out"]["auto"]["pre_hash"],
        "kv": [e for e in kv if e["key"].startswith("tokenizer.")], "ids": ids,
        "decoded": [tokenizer.decode(i, skip_special_tokens=True) for i in ids]})

# ---- llama_hf.json: a SentencePiece vocabulary without its tokenizer.model

def sha(parts):
    h = hashlib.sha256()
    for part in parts: h.update(part)
    return h.hexdigest()
def llama_hf(base):
    with tempfile.TemporaryDirectory() as d:
        for file in ("tokenizer.json", "tokenizer_config.json", "config.json"): shutil.copyfile(here / "models" / base / file, Path(d) / file)
        tokens = list(gguf.vocab.LlamaHfVocab(Path(d)).all_tokens())
        return {"base": base, "n": len(tokens), "tokens": sha(struct.pack("<Q", len(t)) + t for t, _, _ in tokens),
                "scores": sha(struct.pack("<f", s) for _, s, _ in tokens), "token_type": sha(struct.pack("<i", k) for _, _, k in tokens)}
write(here / "llama_hf.json", [llama_hf("llama2-spm-sharded"), llama_hf("gemma-3-tiny-it")])

# ---- features.json: parts of tokenizer.json one by one. Each case replaces members of a base file.

SAMPLES = ["", " ", "Hello world", "  two  blanks ", "a\tb\nc\r\nd\u3000e\u180ef\x85g", "don't DON'T we'LL o\u2019clock 'S", "3 33 333 3333 ½ Ⅳ ٣٤٥ 12.5%",
           "élan e\u0301lan ﬁne ﬃ Å ẞß İI ŒÆ", "naïve café über", "¡Hola! ¿Qué? «quote» ... --- ~~ $5+€3 ^_^ @#&*", "日本語テキスト 中文字符 한국어", "Привет мир нещо",
           "नमस्ते ก็ אָב مرحبا", "🚀🦙 😶\u200d🌫️ 👩\u200d👩\u200d👧", "snake_case camelCase x1_2 __init__", "<tag> <tag><tag>text<tag> a<tag>b", "one<x>two <x> three<x>",
           "wordy word words aword word", " lead", "trail ", "\u2581mark\u2581 \u2581\u2581", "\x00\x01\x7f\u00a0\u00ad\u200b\ufeff", "\U0010ffff\ue000", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
           "https://example.com/a?b=c&d=e#f", "if (x) { return y; }  // ok\n\n\n\tend", "ſt ﬅ Kelvin 'ſ K", "ǅ ǆ Ⅷ ª º", "x\u0301\u0302 y\u20dd", "ﷺ ㍿ ①", "\r\r\n\n\r", "a,b;c:d"]

def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}
def seq(*steps): return {"type": "Sequence", "pretokenizers": list(steps)}
def nseq(*steps): return {"type": "Sequence", "normalizers": list(steps)}
def level(prefix=False, regex=True): return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
LETTERS = level(regex=False)
def token(content, i, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **flags}
META = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
O200K = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
REGEXES = ["\\s+", "\\S+", "\\w+", "\\W+", "\\d+", "\\D+", "\\h+", "\\H+", "\\b", "\\Bo", "[\\s\\d]", "[^\\s\\w]", "[\\S]", "[^\\S\\n]+", "\\p{Han}+", "\\p{Latin}+", "\\p{^L}", "\\P{L}+", "[\\P{L}]",
           "\\p{N}{1,3}+", "\\p{N}{2}?", "\\p{L}{2,3}?", "a{,3}", "\\p{L}++", "\\s?+", "^.", ".$", "\\s+$", "(?m:o.+)", "(?i:HELLO|don)", "(?i)WORD", "(?:ab|a)+?", "(?>a+)a", "(?<= )\\w", "(?<!e)l", "\\u0041|\\u0065",
           "[\\x{4e00}-\\x{9fff}]+", "[一-龥]", "[\\p{L}\\p{M}]+", "\\R", "\\X", "\\A.", ".\\z", "[[:alpha:]]+", "[[:punct:]]", "[[:space:]]+", "[]a]", "x{", "a{1,b}", "\\v", "\\-|\\.", "o(?=r)", "(a)(b)?", "", "[-+]", "[+-]",
           "\\p{Letter}+", "\\p{Alnum}+", "\\p{Punct}", "\\p{Upper}", "\\p{Emoji}", O200K,
           "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"]

cases = []
def case(name, base, member=None, value=None, model=None, texts=SAMPLES):
    file = json.loads((here / "models" / base / "tokenizer.json").read_text())
    if member is not None: file[member] = value
    if model: file["model"].update(model)
    entry = {"name": name, "base": base, "member": member, "value": value, "model": model or {}}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(file))
        entry["ids"] = [tokenizer.encode(t).ids for t in texts]
    except BaseException as e:  # a panic is no Exception
        print("left out:", name, e); return
    if member in ("decoder", "added_tokens", None): entry["decoded"] = [tokenizer.decode(i, skip_special_tokens=False) for i in entry["ids"]]
    cases.append(entry)

G, S = "gpt2-tiny", "llama2-spm-sharded"
for n in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"): case(n, G, "normalizer", {"type": n})
case("NFD StripAccents Lowercase", G, "normalizer", nseq({"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}))
case("Prepend", S, "normalizer", {"type": "Prepend", "prepend": "▁▁"})
for l in (False, True):
    for r in (False, True): case(f"Strip {l} {r}", G, "normalizer", {"type": "Strip", "strip_left": l, "strip_right": r})
case("Replace regex", G, "normalizer", {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "<>"})
case("Replace empty matches", G, "normalizer", {"type": "Replace", "pattern": {"Regex": "o*"}, "content": "_"})
case("Replace string", G, "normalizer", {"type": "Replace", "pattern": {"String": "o."}, "content": ""})
case("ByteLevel normalizer", G, "normalizer", {"type": "ByteLevel"})
for b in BEHAVIORS:
    for i in (False, True):
        case(f"Split regex {b} {i}", G, "pre_tokenizer", seq(split("\\s", b, i), LETTERS))
        case(f"Split string {b} {i}", G, "pre_tokenizer", seq(split("o", b, i, "String"), LETTERS))
    case(f"Punctuation {b}", G, "pre_tokenizer", seq({"type": "Punctuation", "behavior": b}, LETTERS))
for r in REGEXES: case(f"regex {r}", G, "pre_tokenizer", seq(split(r), LETTERS))
for p in (False, True):
    for r in (False, True): case(f"ByteLevel {p} {r}", G, "pre_tokenizer", level(p, r))
    case(f"ByteLevel twice {p}", G, "pre_tokenizer", seq(split("l"), level(p)))
    case(f"Digits {p}", G, "pre_tokenizer", seq({"type": "Digits", "individual_digits": p}, LETTERS))
case("Whitespace", G, "pre_tokenizer", seq({"type": "Whitespace"}, LETTERS))
case("WhitespaceSplit", G, "pre_tokenizer", seq({"type": "WhitespaceSplit"}, LETTERS))
case("CharDelimiterSplit", G, "pre_tokenizer", seq({"type": "CharDelimiterSplit", "delimiter": "o"}, LETTERS))
for s in ("always", "first", "never"):
    for d in (False, True):
        case(f"Metaspace {s} {d}", S, "pre_tokenizer", {**META, "prepend_scheme": s, "split": d})
        case(f"Metaspace behind Split {s} {d}", S, "pre_tokenizer", seq(split("l"), {**META, "prepend_scheme": s, "split": d}))
case("no pre-tokenizer", S, "pre_tokenizer", None)
for flag in ("lstrip", "rstrip", "single_word", "normalized", "special"):
    case(f"added {flag}", G, "added_tokens", [token("<tag>", 401, **{flag: True}), token("word", 402, **{flag: True}), token("<x>", 403)])
case("added, both strips", G, "added_tokens", [token("<tag>", 401, lstrip=True, rstrip=True), token("  ", 402), token("<x>", 403, lstrip=True)])
case("added, longest wins", G, "added_tokens", [token("wo", 401), token("word", 402), token("words", 403), token("wordy", 404)])
case("added, in the vocabulary", G, "added_tokens", [token("Ġt", 401), token("he", 7), token("he", 8)])
case("added, ids of their own", G, "added_tokens", [token("<tag>", 900), token("<x>", 500)])
case("added, normalized with normalizer", S, "added_tokens", [token("<unk>", 0, special=True), token("word", 808, normalized=True), token("two", 809), token("lead", 810, normalized=True, lstrip=True)])
case("added, lowercase", G, "normalizer", {"type": "Lowercase"})
case("ignore_merges", "Llama-3.2-tiny-Instruct", model={"ignore_merges": False})
case("no byte fallback", S, model={"byte_fallback": False})
case("no byte fallback, no fuse", S, model={"byte_fallback": False, "fuse_unk": False})
case("no byte fallback, no unk", S, model={"byte_fallback": False, "unk_token": None})
for d, v in {"none": None, "ByteLevel": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
             "Metaspace always": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
             "Metaspace never": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}, "ByteFallback": {"type": "ByteFallback"}, "Fuse": {"type": "Fuse"},
             "Replace regex": {"type": "Replace", "pattern": {"Regex": "[aeiou]"}, "content": "*"},
             "Strip": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": "▁", "start": 2, "stop": 1}]}}.items():
    case(f"decoder {d}", S, "decoder", v)
    if d in ("none", "ByteLevel"): case(f"decoder {d} of letters", G, "decoder", v)
case("RobertaProcessing", G, "post_processor", {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False})
case("BertProcessing", G, "post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 5], "cls": ["[CLS]", 6]})
def template(*items): return {"type": "TemplateProcessing", "single": list(items), "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                              "special_tokens": {"<s>": {"id": "<s>", "ids": [1, 2], "tokens": ["a", "b"]}, "</s>": {"id": "</s>", "ids": [3], "tokens": ["c"]}}}
A = {"Sequence": {"id": "A", "type_id": 0}}
def st(name): return {"SpecialToken": {"id": name, "type_id": 0}}
case("template both sides", G, "post_processor", template(st("<s>"), A, st("</s>"), st("</s>")))
case("template in sequence", G, "post_processor", {"type": "Sequence", "processors": [level(), template(st("<s>"), A, st("</s>"))]})
write(here / "features.json", {"texts": SAMPLES, "cases": cases})

# ---- special.json: the reference's special ids, flags and templates for combinations of small files

special = []
def combination(name, tokenizer=None, config=None, model_config=None):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        files = {"config.json": model_config or {}}
        if tokenizer is not None: files["tokenizer.json"] = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, **tokenizer}
        if config is not None: files["tokenizer_config.json"] = config
        for file, value in files.items(): write(d / file, value)
        v = gguf.vocab.SpecialVocab(d, load_merges=True)
        special.append({"name": name, "files": files, "ids": list(v.special_token_ids.items()), "add": list(v.add_special_token.items()),
                        "template": v.chat_template, "lowercase": v.normalizer_lowercase, "strip_accents": v.normalizer_strip_accents})

ADDED = [token("<s>", 1), token("</s>", 2), token("<sep>", 3), token("<eot>", 4), token("<cls>", 5), token("<mask>", 6), token("<pad>", 7), token("<unk>", 8)]
def tp(single, pair=None): return {"type": "TemplateProcessing", "single": single, "pair": pair or [], "special_tokens": {}}
B = {"Sequence": {"id": "B", "type_id": 1}}
P = {"none": None, "bytes": level(), "bos": tp([st("<s>"), A], [st("<s>"), A, st("<s>"), B]), "bos eos": tp([st("<s>"), A, st("</s>")], [st("<s>"), A, st("</s>"), B, st("</s>")]),
     "cls sep": tp([st("<cls>"), A, st("<sep>")], [st("<cls>"), A, st("<sep>"), st("<sep>"), B, st("<sep>")]), "sep between": tp([A], [A, st("<sep>"), B]), "eos between": tp([A], [A, st("</s>"), B]),
     "eos end": tp([A, st("</s>")], [A, st("</s>"), B, st("</s>")]), "eot end": tp([st("<s>"), A, st("<eot>")], [st("<s>"), A, st("<eot>"), B, st("<eot>")]), "two": tp([A], [A, st("<sep>"), st("</s>"), B]),
     "bytes, bos": {"type": "Sequence", "processors": [level(), tp([st("<s>"), A], [st("<s>"), A, st("<s>"), B])]}, "bos, bytes": {"type": "Sequence", "processors": [tp([st("<s>"), A]), level()]},
     "roberta": {"type": "RobertaProcessing", "sep": ["<sep>", 3], "cls": ["<cls>", 5]}, "empty sequence": {"type": "Sequence", "processors": []}, "only text": tp([A], [A, B])}
def obj(t): return {"__type": "AddedToken", "content": t, "special": True}
C = {"no file": None, "empty": {}, "bos eos": {"bos_token": "<s>", "eos_token": "</s>"}, "objects": {"bos_token": obj("<s>"), "eos_token": obj("</s>"), "unk_token": obj("<unk>"), "pad_token": None},
     "all": {f"{r}_token": t for r, t in {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "<sep>", "pad": "<pad>", "cls": "<cls>", "mask": "<mask>"}.items()},
     "cls sep": {"cls_token": "<cls>", "sep_token": "<sep>"}, "flags": {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "add_eos_token": True, "add_sep_token": False, "add_cls_token": True},
     "flags off": {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False, "add_eos_token": False}, "unknown tokens": {"bos_token": "<nowhere>", "eos_token": "<eot>", "add_bos_token": None, "add_eos_token": "yes"},
     "empty tokens": {"bos_token": "", "eos_token": "", "sep_token": "<sep>"}}
M = {"none": {}, "ids": {"bos_token_id": 11, "eos_token_id": 12, "pad_token_id": 13, "sep_token_id": 14, "unk_token_id": 15, "cls_token_id": 16, "mask_token_id": 17, "eot_token_id": 18},
     "list": {"eos_token_id": [2, 4], "bos_token_id": None}, "text": {"bos_token_id": 21, "text_config": {"bos_token_id": 22, "eos_token_id": 23, "pad_token_id": 1.5}}}
for p, processor in P.items():
    for c, config in C.items():
        combination(f"{p} / {c}", {"added_tokens": ADDED, "post_processor": processor}, copy.deepcopy(config), M["ids" if c in ("empty", "cls sep") else "none"])
for m, model_config in M.items():
    for c in ("no file", "bos eos", "all"): combination(f"config {m} / {c}", {"added_tokens": ADDED, "post_processor": None}, copy.deepcopy(C[c]), model_config)
    combination(f"config {m}, no tokenizer.json", None, copy.deepcopy(C["flags"]), model_config)
for n, normalizer in {"Lowercase": {"type": "Lowercase"}, "StripAccents": {"type": "StripAccents"}, "Bert": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
                      "nested": nseq({"type": "NFC"}, nseq({"type": "Lowercase"}, {"type": "StripAccents"}))}.items():
    combination(f"normalizer {n}", {"added_tokens": ADDED, "normalizer": normalizer}, {})
for t, chat in {"text": "{{x}}", "empty": "", "null": None, "number": 5, "list": [{"name": "default", "template": "{{d}}"}, {"name": "tool use!", "template": "{{t}}"}], "no default": [{"name": "rag", "template": "{{r}}"}]}.items():
    combination(f"template {t}", {"added_tokens": ADDED}, {"chat_template": chat})
write(here / "special.json", special)

# ---- auto.json: hash ids and tokens that transformers' AutoTokenizer gives for changed tokenizer_config.json files

CHECK = json.loads((large.parents[1] / "pretokenizers.json").read_text())["check_text"] if (large.parents[1] / "pretokenizers.json").exists() else "Hello <s> wörld 123"
auto = []
def loaded(name, base, changes, remove=(), special_map=None):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        config = json.loads((here / "models" / base / "tokenizer_config.json").read_text())
        config.update(changes)
        for key in remove: config.pop(key, None)
        shutil.copyfile(here / "models" / base / "tokenizer.json", d / "tokenizer.json")
        shutil.copyfile(here / "models" / base / "config.json", d / "config.json")
        write(d / "tokenizer_config.json", config)
        if special_map is not None: write(d / "special_tokens_map.json", special_map)
        t = AutoTokenizer.from_pretrained(d)
        assert t.is_fast
        auto.append({"name": name, "base": base, "tokenizer_config": config, "special_tokens_map": special_map, "ids": t.encode(CHECK), "added": [[k, v.content, v.special, v.normalized] for k, v in sorted(t.added_tokens_decoder.items())],
                     "special_tokens": sorted(set(t.all_special_tokens)), "size": len(t)})
def plain(content, **flags): return {k: v for k, v in token(content, 0, **flags).items() if k != "id"}
for c in ("PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "LlamaTokenizer", "LlamaTokenizerFast"):
    for b in ("Qwen2.5-tiny-Instruct", "Llama-3.2-tiny-Instruct", "gpt2-tiny"):
        loaded(f"{c} {b}", b, {"tokenizer_class": c, "bos_token": "<|endoftext|>" if "Llama" not in b else "<|begin_of_text|>"})
loaded("Llama class, eos too", "gpt2-tiny", {"tokenizer_class": "LlamaTokenizerFast", "add_eos_token": True})
loaded("Llama class, no bos", "gpt2-tiny", {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False})
loaded("prefix space", "gpt2-tiny", {"add_prefix_space": True})
loaded("more tokens", "gpt2-tiny", {"additional_special_tokens": ["<new>", "<|endoftext|>"], "pad_token": "<pad>"})
loaded("more tokens in the decoder", "gpt2-tiny", {"added_tokens_decoder": {"400": plain("<|endoftext|>", special=True), "401": plain(" 3", normalized=True)}})
loaded("Cohere class", "command-r-tiny", {"tokenizer_class": "CohereTokenizerFast"})
loaded("Gemma class", "gemma-3-tiny-it", {"tokenizer_class": "GemmaTokenizerFast"})
loaded("no class, llama by model type", "llama2-spm-sharded", {}, ["tokenizer_class"])
loaded("no class, qwen by model type", "Qwen2.5-tiny-Instruct", {}, ["tokenizer_class"])
SPECIAL_MAP = {"bos_token": "<|endoftext|>", "pad_token": {"content": "<pad>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}, "additional_special_tokens": ["<a>", "<b>"]}
loaded("special_tokens_map", "gpt2-tiny", {"tokenizer_class": "LlamaTokenizerFast", "additional_special_tokens": ["<b>", "<c>"], "bos_token": "<c>"}, ["added_tokens_decoder"], SPECIAL_MAP)
loaded("special_tokens_map beside a decoder", "gpt2-tiny", {}, (), SPECIAL_MAP)
write(here / "auto.json", {"text": CHECK, "cases": auto})
