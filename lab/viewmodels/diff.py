"""Word diffs and fact chips as plain segments.

Segments and not HTML: the page draws every run with `textContent`, so text of a model can hold anything.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from dreamgym.environments.facts import Fact, FactDiff, changed

Segment = tuple[str, str]
"""("equal" | "delete" | "insert", text)."""
Chip = tuple[str, str]
"""("kept" | "lost" | "invented" | "+" | "-", fact)."""

MAX_CHARACTERS = 2_000
"""Two lines that are longer together are not compared by word: matching is quadratic in the worst case."""
MAX_LINES = 400
"""Texts of more lines are not compared at all, for the same reason."""
MIN_AGREEMENT = 0.5
"""Share of words that two lines must have in common to be compared word by word."""
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(before: str, after: str) -> tuple[list[Segment], list[Segment]]:
    """Compare two texts for two columns: ("equal"|"delete") runs of the left, ("equal"|"insert") runs of the right."""
    merged = inline_diff(before, after)
    return [s for s in merged if s[0] != "insert"], [s for s in merged if s[0] != "delete"]


def inline_diff(before: str, after: str) -> list[Segment]:
    """Compare two texts in one column, line against line and then word against word.

    State texts keep one claim a line, so a line is matched with the line at its place or of its key first; joining the
    "equal" and "insert" runs gives `after`, joining "equal" and "delete" gives `before`.
    """
    left, right = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if before != after and max(len(left), len(right)) > MAX_LINES:
        return [("delete", before), ("insert", after)]
    segments: list[Segment] = []
    for op, i1, i2, j1, j2 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if op == "equal":
            segments.append(("equal", "".join(left[i1:i2])))
        else:
            segments += _changed_lines(left[i1:i2], right[j1:j2])
    return _merge(segments)


def _changed_lines(left: list[str], right: list[str]) -> list[Segment]:
    segments: list[Segment] = []
    for a, b in _pair(left, right):
        too_long = len(a) + len(b) > MAX_CHARACTERS
        segments += [("delete", a), ("insert", b)] if too_long else _words(a, b)
    return segments


def _pair(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Lines of the same key belong together ("holding: a" and "holding: b"); others pair in order."""
    pairs: list[tuple[str, str]] = []
    rest = list(left)
    for line in right:
        index = next((i for i, other in enumerate(rest) if _key(other) == _key(line)), None)
        if index is None:
            pairs.append(("", line))
        else:
            pairs += [(other, "") for other in rest[:index]]
            pairs.append((rest[index], line))
            rest = rest[index + 1 :]
    return pairs + [(other, "") for other in rest]


def _key(line: str) -> str:
    match = re.match(r"(\w+): ", line)
    return match[1] if match else ""


def _words(a: str, b: str) -> list[Segment]:
    """Word against word; where hardly a word agrees, the old text whole and then the new: easier to read."""
    end = "\n" if a.endswith("\n") and b.endswith("\n") else ""
    a, b = a.removesuffix(end), b.removesuffix(end)
    start = f"{_key(a)}: " if _key(a) and _key(a) == _key(b) else ""
    left, right = _TOKEN.findall(a.removeprefix(start)), _TOKEN.findall(b.removeprefix(start))
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    num_matched = sum(len(_only_words(left[m.a : m.a + m.size])) for m in matcher.get_matching_blocks())
    if 2 * num_matched < MIN_AGREEMENT * (len(_only_words(left)) + len(_only_words(right))):
        changed: list[Segment] = [("delete", "".join(left)), ("insert", "".join(right))]
    else:
        changed = [
            part for op, i1, i2, j1, j2 in matcher.get_opcodes() for part in _part(op, left[i1:i2], right[j1:j2])
        ]
    return [("equal", start), *changed, ("equal", end)]


def _only_words(tokens: list[str]) -> list[str]:
    return [token for token in tokens if token[0].isalnum()]


def _part(op: str, left: list[str], right: list[str]) -> list[Segment]:
    if op == "equal":
        return [("equal", "".join(left))]
    return [("delete", "".join(left)), ("insert", "".join(right))]


def _merge(segments: list[Segment]) -> list[Segment]:
    """Join runs of one kind, and changes that only a space separates: three changed words read as one change."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if segment[1]:
            changed_before = bool(runs) and runs[-1][0][0] != "equal"
            joins = segment[0] != "equal" or (changed_before and segment[1].strip(" ") == "")
            if changed_before and joins:
                runs[-1].append(segment)
            else:
                runs.append([segment])
    merged: list[Segment] = []
    for run in runs:
        merged += _one_change(run) if run[0][0] != "equal" else run
    return _join_equal(merged)


def _one_change(run: list[Segment]) -> list[Segment]:
    trailing: list[Segment] = []
    while run and run[-1][0] == "equal":
        trailing.insert(0, run[-1])
        run = run[:-1]
    gone = "".join(text for op, text in run if op != "insert")
    new = "".join(text for op, text in run if op != "delete")
    return [s for s in (("delete", gone), ("insert", new)) if s[1]] + trailing


def _join_equal(segments: list[Segment]) -> list[Segment]:
    joined: list[Segment] = []
    for op, text in segments:
        if joined and joined[-1][0] == op == "equal":
            joined[-1] = (op, joined[-1][1] + text)
        else:
            joined.append((op, text))
    return joined


def changed_chips(before: Iterable[Fact], after: Iterable[Fact]) -> list[Chip]:
    """What a step changed: ended facts first, then new ones, each sorted."""
    return [(sign, str(fact)) for sign, fact in sorted(changed(before, after), key=lambda c: (c[0] != "-", c[1]))]


def fact_chips(diff: FactDiff) -> list[Chip]:
    """How a dreamed state differs from the real one: kept, lost, invented."""
    groups = (("kept", diff.kept), ("lost", diff.lost), ("invented", diff.invented))
    return [(kind, str(fact)) for kind, facts in groups for fact in facts]
