"""Builds a ``tokenizers`` file from a GGUF vocabulary, and a GGUF vocabulary from a ``tokenizers`` file.

A GGUF names its pre-tokenizer (``tokenizer.ggml.pre``) and leaves the splitting rule to the reader; the rules here are
those of the models' own ``tokenizer.json`` files, which llama.cpp's list (llama-vocab.cpp) restates.
"""

import json
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from cput.errors import InputError, SetupError
from cput.models.checkpoint import Vocabulary

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_DIGITS = frozenset({"smollm", "starcoder", "refact", "codeshell"})
_GPT2 = frozenset({"gpt-2", "gpt2", "phi-2"})
_SPLITS = {"qwen2": _QWEN2, "deepseek-r1-qwen": _QWEN2, "llama-bpe": _LLAMA3, "llama3": _LLAMA3, "falcon3": _LLAMA3}


def from_gpt2_vocabulary(vocabulary: Vocabulary, bos_token_id: int | None) -> str:
    """Return the ``tokenizers`` JSON of a byte-level BPE vocabulary.

    ``bos_token_id`` is put before every text that is encoded with special tokens; None puts nothing.

    Raises:
        SetupError: a pre-tokenizer whose rule is not known here.
        InputError: merges or ids that do not fit the tokens.
    """
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    merges = [_pair(merge, ids) for merge in vocabulary.merges]
    # Llama 3 takes a word that is in the vocabulary whole, even where its merges would not build it.
    whole_words = vocabulary.pre in {"llama-bpe", "llama3", "falcon3"}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=whole_words))
    if vocabulary.pre in {"qwen2", "deepseek-r1-qwen"}:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(vocabulary.pre)
    tokenizer.decoder = decoders.ByteLevel()
    _add_tokens(tokenizer, vocabulary.tokens, vocabulary.types)
    if bos_token_id is not None:
        tokenizer.post_processor = _opens_with(vocabulary.tokens[bos_token_id], bos_token_id)
    return tokenizer.to_str()


def from_sentencepiece_vocabulary(
    tokens: tuple[str, ...],
    scores: tuple[float, ...],
    types: tuple[int, ...],
    *,
    bos: int | None,
    space_prefix: bool,
) -> tuple[Vocabulary, str]:
    """Return a byte-level vocabulary (for grammars) and the ``tokenizers`` JSON of a SentencePiece BPE vocabulary.

    SentencePiece merges the neighbours whose union has the best score, which is BPE with the merges ranked by score
    (``generate_merges`` of transformers' converter).

    Raises:
        InputError: scores that do not match the tokens.
    """
    if len(scores) != len(tokens):
        raise InputError(f"the tokenizer has {len(tokens)} tokens but {len(scores)} scores")
    ids = {token: i for i, token in enumerate(tokens)}
    unknown = next((token for token, kind in zip(tokens, types, strict=True) if kind == UNKNOWN), None)
    bpe = models.BPE(
        vocab=ids, merges=_score_merges(ids, scores, types), unk_token=unknown, fuse_unk=True, byte_fallback=True
    )
    tokenizer = Tokenizer(bpe)
    first = [normalizers.Prepend("▁")] if space_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(content=" ", left=1)] if space_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    _add_tokens(tokenizer, tokens, types)
    if bos is not None:
        tokenizer.post_processor = _opens_with(tokens[bos], bos)
    return _grammar_vocabulary(tokens, types), tokenizer.to_str()


def vocabulary_of(tokenizer_json: str, vocab_size: int) -> Vocabulary:
    """Return the GGUF vocabulary of a ``tokenizers`` file, padded to the embedding's ``vocab_size`` rows.

    Raises:
        InputError: not a ``tokenizers`` file, a model that is not BPE, or an id beyond the embedding.
    """
    try:
        raw: dict[str, Any] = json.loads(tokenizer_json)
        model, added = raw["model"], raw.get("added_tokens") or []
        vocab: dict[str, int] = dict(model["vocab"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"tokenizer.json is not a Hugging Face tokenizers file ({error!r})") from None
    if model.get("type", "BPE") != "BPE":
        raise InputError(f"tokenizer.json has a model of type '{model['type']}'; allowed: BPE")
    tokens, types = [f"[PAD{i}]" for i in range(vocab_size)], [UNUSED] * vocab_size
    byte_level = _is_byte_level(raw)
    for token, i in vocab.items():
        _place(tokens, types, i, token, BYTE if not byte_level and _byte_of(token) is not None else NORMAL)
    for entry in added:
        _place(tokens, types, entry["id"], entry["content"], CONTROL if entry.get("special") else USER_DEFINED)
    if not byte_level:
        return _grammar_vocabulary(tuple(tokens), tuple(types))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges") or []]
    return Vocabulary(tokens=tuple(tokens), merges=tuple(merges), types=tuple(types), pre=_pre_of(raw))


def _place(tokens: list[str], types: list[int], i: int, token: str, kind: int) -> None:
    if not 0 <= i < len(tokens):
        raise InputError(f"token '{token}' has the id {i}, beyond the embedding's {len(tokens)} rows")
    tokens[i], types[i] = token, kind


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    if pre in _GPT2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in _DIGITS:
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    if pre in _SPLITS:
        split = pre_tokenizers.Split(Regex(_SPLITS[pre]), behavior="isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    known = ", ".join(sorted(_GPT2 | _DIGITS | _SPLITS.keys()))
    raise SetupError(
        f"the file names the pre-tokenizer '{pre}', whose rule is not known here (known: {known}). "
        f"Import the Hugging Face folder of the model, whose tokenizer.json is taken as it is"
    )


def _pre_of(raw: dict[str, Any]) -> str:
    """Return llama.cpp's name for the splitting rule of a ``tokenizers`` file; "default" where it has none."""
    wanted = json.dumps(raw.get("pre_tokenizer"), sort_keys=True)
    pattern = next((split for split in _SPLITS.values() if json.dumps(split)[1:-1] in wanted), None)
    if pattern is not None:
        return next(name for name, split in _SPLITS.items() if split == pattern)
    if '"Digits"' in wanted:
        return "smollm"
    return "gpt-2" if '"Split"' not in wanted else "default"


def _is_byte_level(raw: dict[str, Any]) -> bool:
    return '"ByteLevel"' in json.dumps([raw.get("pre_tokenizer"), raw.get("decoder")])


def _pair(merge: str, ids: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if left not in ids or right not in ids or left + right not in ids:
        raise InputError(f"the tokenizer's merge '{merge}' names a token that is not in its vocabulary")
    return left, right


def _add_tokens(tokenizer: Tokenizer, tokens: tuple[str, ...], types: tuple[int, ...]) -> None:
    typed = list(zip(tokens, types, strict=True))
    special = [AddedToken(token, special=True, normalized=False) for token, kind in typed if kind in {CONTROL, UNKNOWN}]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == USER_DEFINED])


def _opens_with(token: str, token_id: int) -> processors.PostProcessor:
    return processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", token, "$B"], special_tokens=[(token, token_id)]
    )


def _score_merges(ids: dict[str, int], scores: tuple[float, ...], types: tuple[int, ...]) -> list[tuple[str, str]]:
    found: list[tuple[float, int, int, str, str]] = []
    for token, i in ids.items():
        if types[i] not in {NORMAL, USER_DEFINED}:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ids and right in ids:
                found.append((-scores[i], ids[left], ids[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def _byte_of(token: str) -> int | None:
    is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
    try:
        return int(token[3:5], 16) if is_byte else None
    except ValueError:
        return None


def _grammar_vocabulary(tokens: tuple[str, ...], types: tuple[int, ...]) -> Vocabulary:
    """Return SentencePiece tokens in the byte-level alphabet, so that one kind of GGUF vocabulary serves grammars.

    User-defined tokens (Gemma's line breaks and runs of spaces) become normal ones: openvino-genai takes them for
    control tokens, which are no text to a grammar.
    """
    alphabet = _byte_alphabet()
    out = []
    for token, kind in zip(tokens, types, strict=True):
        if kind == BYTE and (byte := _byte_of(token)) is not None:
            out.append(alphabet[byte])
        elif kind in {NORMAL, USER_DEFINED}:
            out.append("".join(alphabet[byte] for byte in token.replace("▁", " ").encode()))
        else:
            out.append(token)
    kinds = tuple(NORMAL if kind == USER_DEFINED else kind for kind in types)
    return Vocabulary(tokens=tuple(out), merges=(), types=kinds, pre="default")


def _byte_alphabet() -> list[str]:
    """Return GPT-2's printable stand-in for each byte (``bytes_to_unicode`` of openai/gpt-2)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(stand_ins)) for byte in range(256)]
