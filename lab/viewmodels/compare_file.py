"""A comparison as one HTML file for a paper or an issue: no script, nothing fetched, every text escaped."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from lab.viewmodels.diff import Chip
from lab.viewmodels.html_file import html_figures, html_file

SIGNS = {"kept": "=", "lost": "−", "invented": "+"}
_TAGS = {"delete": "del", "insert": "ins"}


def comparison_file(
    view: Mapping[str, Any], side: Mapping[str, Any], source: Iterable[tuple[str, str]], style: str
) -> str:
    """Write the page.

    Args:
        view: Of the main column, as `compare.comparison_view` with `compare_controls.heading` makes it.
        side: Of the side column, for how close the dream is.
        source: (name, text) of where it comes from: address, models, version, date.
        style: CSS.
    """
    figures = [(f["label"], f["value"]) for f in view["figures"]]
    figures += [(one["name"], one["value"]) for one in side["closeness"]]
    seconds = [(f["label"], f["value"]) for f in view["second_figures"] or ()]
    seconds += [(one["name"], value) for one, value in zip(side["closeness"], side["second"] or (), strict=False)]
    num_columns = 4 if view["sides"]["second"] else 3
    rows = "".join(_row(row, num_columns) for row in view["rows"])
    sides = view["sides"]
    second = f'<th>⬚ Second dream <span class="meta">{escape(sides["second"])}</span></th>' if sides["second"] else ""
    table = f"""<table>
<colgroup><col class="n"><col><col>{"<col>" if second else ""}</colgroup>
<thead><tr><th></th><th>■ Real <span class="meta">{escape(sides["real"])}</span></th>
<th>⬚ Dream <span class="meta">{escape(sides["dream"])}</span></th>{second}</tr></thead>
<tbody>{rows}</tbody>
</table>"""
    body = [html_figures(figures), html_figures(seconds), table]
    meta = f"{' · '.join(view['meta'])} · {sides['how']}"
    return html_file(f"{view['title']}: real and dreamed", view["title"], meta, body, source, style)


def _row(row: Mapping[str, Any], num_columns: int) -> str:
    if row["kind"] == "part":
        return (
            f'<tr class="parting"><td colspan="{num_columns}">⚑ The worlds part here. {escape(row["text"])}</td></tr>'
        )
    if row["kind"] == "fold":
        return "".join(_row(each, num_columns) for each in row["rows"])
    notes = escape(", ".join([row["rewards"], *row["notes"]]))
    head = (
        f'<tr class="step"><th>{row["step"]}</th><td colspan="{num_columns - 1}"><code>{escape(row["action"])}</code> '
    )
    real, dream = _side(row["real"], "real"), _side(row["dream"], "dream") + _facts(row["facts"])
    cells = f"<td>{real}</td><td>{dream}{_reasoning(row['dream'])}</td>"
    if second := row.get("second"):
        note = f'<p class="meta">{escape(second["note"])}</p>'
        cells += f"<td>{_side(second, 'dream')}{_facts(second['facts'])}{note}{_reasoning(second)}</td>"
    return f'{head}<span class="meta">{notes}</span></td></tr><tr class="states"><td></td>{cells}</tr>'


def _side(side: Mapping[str, Any], world: str) -> str:
    if "segments" in side:
        return f'<pre class="{world}">{"".join(_segment(*each) for each in side["segments"])}</pre>'
    if "missing" in side:
        return f'<p class="meta">{escape(side["missing"])}</p>'
    raw = f'<pre class="{world}">{escape(side["raw"])}</pre>' if side["raw"] else ""
    return f"<p>✕ {escape(side['failure'])}: {escape(side['reason'])}</p>{raw}"


def _segment(kind: str, text: str) -> str:
    tag = _TAGS.get(kind)
    return f"<{tag}>{escape(text)}</{tag}>" if tag else escape(text)


def _facts(chips: Iterable[Chip]) -> str:
    items = "".join(f'<li class="{kind}">{SIGNS[kind]} {escape(text)}</li>' for kind, text in chips)
    return f"<ul>{items}</ul>" if items else ""


def _reasoning(side: Mapping[str, Any]) -> str:
    if not side.get("reasoning"):
        return ""
    return f"<details><summary>Reasoning</summary><pre>{escape(side['reasoning'])}</pre></details>"
