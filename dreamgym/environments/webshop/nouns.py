"""Which nouns a product's title has: by a small rule of ours, or by spaCy where its English model is installed.

The reward's type score compares the nouns of two titles. The original asks spaCy's tagger; results say which was used.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

from dreamgym.environments.webshop.search import STOP_WORDS

NounExtractor = Callable[[str], tuple[str, ...]]
"""Title -> its nouns in lower case, repeated ones as often as they stand there."""
SPACY_MODELS = ("en_core_web_sm", "en_core_web_lg")
"""The one that the original loads first."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_NO_NOUNS = """
about above after all also any best both can comes easy each every extra fits from full get give great has have
her his how its just keep keeps large long make makes many may more most much new now off one only our out over
own perfect per pure real short small so super than them through too two ultra under up use used using very we
what when which while who without you your black blue brown gold gray green grey orange pink purple red silver
white yellow adjustable anti big clean clear cold cool dark dry fine flat free fresh gentle good hard heavy high
hot light lightweight low modern natural non organic plain portable quick rich round safe sharp slim smooth soft
solid square strong sweet tall thick thin tiny vintage warm waterproof wet wide wireless
"""
_OTHER_WORDS = frozenset(_NO_NOUNS.split())
"""Words of titles that are no nouns there, as a rule."""
_ENDINGS = ("able", "ible", "less", "ful", "ous", "ish", "ive", "ly", "proof", "resistant", "ed")


def by_rule(title: str) -> tuple[str, ...]:
    """Words that are no function words, no adjectives of the list, and do not end like one."""
    return tuple(
        word
        for word in _WORD.findall(title.lower())
        if len(word) > 1 and word not in STOP_WORDS and word not in _OTHER_WORDS and not word.endswith(_ENDINGS)
    )


def noun_source() -> str:
    """What finds nouns here; loads nothing."""
    found = (name for name in SPACY_MODELS if find_spec("spacy") and find_spec(name))
    return next((f"spacy {name}" for name in found), "rule")


@lru_cache(1)
def noun_extractor() -> NounExtractor:
    """The extractor that `noun_source` names."""
    source = noun_source()
    if source == "rule":
        return lru_cache(20_000)(by_rule)
    import spacy  # noqa: PLC0415  takes a second

    return _by_spacy(spacy.load(source.removeprefix("spacy "), disable=["parser", "ner", "lemmatizer"]))


def _by_spacy(tag: Callable[[str], object]) -> NounExtractor:
    @lru_cache(20_000)
    def nouns(title: str) -> tuple[str, ...]:
        tokens = tag(title)
        return tuple(token.text.lower() for token in tokens if token.pos_ in ("NOUN", "PROPN"))  # type: ignore[attr-defined]

    return nouns
