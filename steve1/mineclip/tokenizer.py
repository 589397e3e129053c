"""CLIP's byte-pair tokens, by the ``tokenizers`` library over the merges beside this file (OpenAI CLIP, MIT)."""

from __future__ import annotations

import functools
import gzip
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCAB_SIZE = 49408
START, END, PAD = 49406, 49407, 0

_MERGES_FILE = Path(__file__).with_name("clip_bpe_merges.txt.gz")
_N_MERGES = 48_894  # the file holds more, which CLIP does not use
_WORD_END = "</w>"
# CLIP's words: English contractions, runs of letters, single digits, runs of anything else.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Token ids ``int64 [N, context_length]``: start, the text, end, padding.

    Text is lower-cased and its white space folded. One that is too long is cut, and keeps its end token.
    """
    tokens = torch.full((len(texts), context_length), PAD, dtype=torch.long)
    for row, encoding in zip(tokens, _tokenizer().encode_batch(list(texts)), strict=True):
        ids = [START, *encoding.ids[: context_length - 2], END]
        row[: len(ids)] = torch.tensor(ids)
    return tokens


def misread(text: str, context_length: int = 77) -> list[str]:
    """Sentences on what MineCLIP does not read of a text as it is meant: what is cut, and letters of another script."""
    sentences = []
    encoding, room = _tokenizer().encode(text), context_length - 2
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    if len(encoding.ids) > room:
        cut = " ".join(text[encoding.offsets[room][0] :].split())
        sentences.append(
            f"“{shown}” has {len(encoding.ids)} tokens, of which MineCLIP reads {room}; cut off is “{cut}”"
        )
    scripts = dict.fromkeys(filter(None, map(_foreign_script, text)))
    if scripts:
        sentences.append(
            f"“{shown}” has letters of another script ({', '.join(scripts)}), which MineCLIP, trained on English, "
            "reads byte by byte: what comes of it is noise, so write it in English"
        )
    return sentences


def warn_of_misread(texts: Iterable[str], context_length: int = 77) -> None:
    """Print what :func:`misread` says of texts to stderr, a line each."""
    for sentence in (sentence for text in texts for sentence in misread(text, context_length)):
        print(f"warning: {sentence}", file=sys.stderr)


def _foreign_script(letter: str) -> str | None:
    """The name of the script of a letter that isn't Latin, such as Cyrillic."""
    if ord(letter) < 0x250 or not unicodedata.category(letter).startswith("L"):
        return None
    script = unicodedata.name(letter, "unknown").split()[0].split("-")[0]
    return None if script == "LATIN" else {"CJK": "Chinese"}.get(script, script.capitalize())


@functools.cache
def _tokenizer() -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    with gzip.open(_MERGES_FILE, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : 1 + _N_MERGES]  # the first line is a header
    merges = [(left, right) for left, right in (line.split() for line in lines)]
    symbols = _byte_symbols()
    vocabulary = [*symbols, *(symbol + _WORD_END for symbol in symbols), *(a + b for a, b in merges)]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, end_of_word_suffix=_WORD_END))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    # Splitting by words drops all white space, which folds it.
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    to_symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, to_symbols])
    return tokenizer


def _byte_symbols() -> list[str]:
    """A printable character for each byte, in CLIP's order: Latin-1's printable ones stand for themselves
    and come first; the others follow as the characters from 256 on."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    return [chr(code) for code in printable] + [chr(256 + n) for n in range(256 - len(printable))]
