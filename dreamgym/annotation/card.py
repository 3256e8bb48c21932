"""The data card of a set of annotations: what it holds, who made it, how far they agree."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from dreamgym.annotation.agreement import Figure, agreement
from dreamgym.annotation.items import Item
from dreamgym.annotation.labels import AXES, ERROR_KINDS, RATINGS
from dreamgym.annotation.resolution import counts, resolve_all
from dreamgym.annotation.store import Annotation


def data_card(items: Mapping[str, Item], current: Sequence[Annotation], licence: str, command: str) -> str:
    """Write the card, in Markdown with the hub's metadata on top.

    Args:
        items: By id.
        current: The answers that count, on these items.
        licence: Of the data.
        command: What made them.
    """
    resolutions = resolve_all(current)
    seconds = [one.seconds for one in current]
    parts = [
        f"---\nlicense: {_quoted(licence)}\npretty_name: Annotated transitions\nconfigs:\n- config_name: default\n"
        "  data_files: items.parquet\n---",
        "# Annotated transitions of an experience model",
        "Steps of text environments, most of them dreamed by a language model that plays the environment (DreamGym, "
        "arXiv:2511.03773), and what people say of them: which errors they hold and where, how they rate on the "
        "paper's four axes, and what would have been right. One row is one item, with its final label and every "
        "answer.",
        f"{len(resolutions)} items, {len(current)} answers, {sum(seconds) / 3600:.1f} hours of annotating.",
        _table("Final labels", ("how it was settled", "items"), counts(resolutions).items()),
        _table("Environments", ("environment, world", "items"), _worlds([items[one] for one in resolutions]).items()),
        _table("Annotators", ("who, as what", "answers"), _people(current).items()),
        _distribution(current),
        _ratings(current),
        _agreement(current),
        "## How it was made\n\nIn DreamGym Lab, which shows an annotator the others' answers on an item only behind an "
        "answer of his own; an adjudicator sees them all. The final label is the adjudicator's, else what all or most "
        "say, part by part; what has no majority is named in `disputed` and left empty. `start` and `end` of an error "
        "count characters of the field that it names.",
        f"Made by `{command.replace('`', '')}`; manifest.json has versions and checksum.",
        f"## Licence\n\n{'Not stated.' if licence == 'unknown' else _plain(licence)}",
    ]
    return "\n\n".join(parts) + "\n"


def _worlds(items: Sequence[Item]) -> Counter[str]:
    return Counter(f"{item.task.environment}, {item.world}" for item in items)


def _people(current: Sequence[Annotation]) -> Counter[str]:
    return Counter(f"{one.annotator}, {one.role}" for one in current)


def _distribution(current: Sequence[Annotation]) -> str:
    verdicts = Counter(one.labels.verdict or "no verdict" for one in current if one.labels is not None)
    kinds = Counter(kind for one in current if one.labels is not None for kind in one.labels.error_kinds)
    rows = [(name, verdicts[name]) for name in ("fine", "wrong", "no verdict")]
    rows += [(kind, kinds[kind]) for kind in ERROR_KINDS]
    return _table("Labels", ("verdict, or kind of error", "answers"), rows)


def _ratings(current: Sequence[Annotation]) -> str:
    given = {axis: Counter(one.labels.axes.get(axis) for one in current if one.labels is not None) for axis in AXES}
    head = "## Ratings\n\n| axis | rated 0 | 1 | 2 |\n|---|---|---|---|\n"
    return head + "\n".join(
        f"| {axis} | " + " | ".join(str(given[axis][rating]) for rating in RATINGS) + " |" for axis in AXES
    )


def _agreement(current: Sequence[Annotation]) -> str:
    head = "## Agreement\n\n| label | Krippendorff's alpha | items | Cohen's kappa by pair |\n|---|---|---|---|\n"
    lines = []
    for one in agreement(current):
        pairs = "; ".join(f"{_plain(a)}, {_plain(b)}: {_figure(figure)}" for (a, b), figure in one.kappas.items())
        lines.append(f"| {one.label} ({one.level}) | {_figure(one.alpha)} | {one.alpha.num_items} | {pairs or '–'} |")
    return head + "\n".join(lines)


def _figure(figure: Figure) -> str:
    return f"undefined ({figure.reason})" if figure.value is None else f"{figure.value:.2f}"


def _table(title: str, head: tuple[str, str], rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {_plain(name)} | {num} |" for name, num in rows]
    return f"## {title}\n\n| {head[0]} | {head[1]} |\n|---|---|\n" + "\n".join(lines)


def _plain(text: str) -> str:
    """A name that cannot pose as Markdown or HTML."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()<>#+!|" else sign for sign in text)


def _quoted(text: str) -> str:
    """For YAML, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + " ".join(escaped.split()) + '"'
