"""Search against BM25 written down once more, from its formula."""

import math
from collections import Counter
from pathlib import Path

import pytest

from dreamgym.environments.webshop.generator import generate
from dreamgym.environments.webshop.products import read_products
from dreamgym.environments.webshop.search import K1, B, SearchIndex, terms


@pytest.fixture(scope="module")
def texts() -> list[str]:
    import random

    shop = generate(7, 300)
    return [product.search_text for product in read_products(shop.records, shop.attributes.get, random.Random(0))]


def reference(texts: list[str], query: str, k: int) -> list[int]:
    """BM25 as Lucene has it: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), no factor k1 + 1 in the numerator."""
    documents = [Counter(terms(text)) for text in texts]
    lengths = [sum(document.values()) for document in documents]
    mean = sum(lengths) / len(lengths)
    scores = [0.0] * len(texts)
    for term in terms(query):
        having = sum(term in document for document in documents)
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for number, document in enumerate(documents):
            if document[term]:
                norm = K1 * (1 - B + B * lengths[number] / mean)
                scores[number] += idf * document[term] / (document[term] + norm)
    found = [number for number, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda number: (-round(scores[number], 4), number))[:k]


@pytest.mark.parametrize(
    "query",
    [
        "table lamp",
        "a red lamp for the bedside",
        "Women's dresses, machine washed!",
        "gluten free cookies in tin",
        "64gb",
    ],
)
def test_results_are_those_of_the_formula(texts: list[str], query: str, tmp_path: Path) -> None:
    SearchIndex.build(texts, tmp_path / "index")
    assert SearchIndex(tmp_path / "index").search(query, 50) == reference(texts, query, 50)


def test_a_query_without_known_words_finds_nothing(texts: list[str], tmp_path: Path) -> None:
    SearchIndex.build(texts, tmp_path / "index")
    index = SearchIndex(tmp_path / "index")
    assert index.search("zyzzyva", 50) == index.search("the of and", 50) == index.search("", 50) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The women's SHOES are running", ["women", "shoe", "run"]),
        ("size 3.5, 1,000 lumens; u.s.a.", ["size", "3.5", "1,000", "lumen", "u.s.a"]),
        ("don't x_y Material:Cotton 5'6", ["don't", "x_y", "material:cotton", "5'6"]),
        ("灯具 lamp", ["灯", "具", "lamp"]),
    ],
)
def test_words_are_cut_as_unicode_breaks_text(text: str, expected: list[str]) -> None:
    assert terms(text) == expected
