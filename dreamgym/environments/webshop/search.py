"""Search by Lucene's formula: BM25 with k1 0.9 and b 0.4 over stemmed words without stop words.

The index lies on disk, is read through a memory map, and gives the same order everywhere: by score, and among equals
by place in the catalogue. Lucene itself rounds the lengths of long documents, so that its order may differ a little.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer

from dreamgym.errors import ConfigError

K1, B = 0.9, 0.4
_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this
to was will with
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Those of Lucene's English analyzer."""
_ALONE = "\u3040-\u309f\u3400-\u9fff"
"""Characters of scripts that write no spaces; each is a word."""
_WORD = re.compile(
    rf"[{_ALONE}]|(?:(?![{_ALONE}])\w)+(?:(?:(?<=\d)[.,;'’](?=\d)|(?<=[^\W\d_])[.:'’](?=[^\W\d_]))(?:(?![{_ALONE}])\w)+)*"
)
"""Words as Unicode breaks text (UAX 29), nearly."""
_STEMMER = Stemmer.Stemmer("porter")


def terms(text: str) -> list[str]:
    """Words as they are indexed: lower case, no possessive, no stop words, Porter's stem."""
    return [stem for word in _WORD.findall(text.lower()) if (stem := _stem(word))]


@lru_cache(100_000)
def _stem(word: str) -> str:
    word = re.sub(r"['’]s$", "", word)
    return "" if word in STOP_WORDS else str(_STEMMER.stemWord(word))


class SearchIndex:
    """BM25 over the documents of one catalogue."""

    def __init__(self, folder: Path) -> None:
        """Open an index that `build` has written; its arrays stay on disk until they are read."""
        self._index: Any = bm25s.BM25.load(folder, mmap=True, load_corpus=False)

    @staticmethod
    def build(texts: Iterable[str], folder: Path) -> None:
        """Index documents in the order of the catalogue, and write the index into `folder`; ConfigError for none."""
        vocabulary: dict[str, int] = {}
        ids = [_ids(text, vocabulary) for text in texts]
        if not ids:
            raise ConfigError("there are no products to search; is the file of products empty?")
        index = bm25s.BM25(method="lucene", k1=K1, b=B)
        index.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
        folder.mkdir(parents=True, exist_ok=True)
        index.save(folder, show_progress=False)

    def search(self, words: str, k: int) -> list[int]:
        """Numbers of the best documents, best first; only such as have one of the words, at most `k`."""
        known = [term for term in terms(words) if term in self._index.vocab_dict]
        if not known:
            return []
        scores = np.asarray(self._index.get_scores(known))
        found = np.flatnonzero(scores > 0)
        if len(found) > k:
            least = np.partition(scores[found], -k)[-k]
            found = found[scores[found] >= least]
        order = np.lexsort((found, -scores[found]))
        return [int(number) for number in found[order][:k]]


def _ids(text: str, vocabulary: dict[str, int]) -> "np.ndarray":
    """Numbers of a document's words, four bytes each: a large catalogue is in memory while it is indexed."""
    return np.array([vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)], np.int32)
