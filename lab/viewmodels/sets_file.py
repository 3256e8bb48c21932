"""The figures of a set of episodes as one HTML file: no script, nothing fetched, every text escaped."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from lab.viewmodels.html_file import html_file


def sets_file(view: Mapping[str, Any], source: Iterable[tuple[str, str]], style: str) -> str:
    """Write the page.

    Args:
        view: As `sets.sets_view` makes it.
        source: (name, text) of where it comes from: address, models, version, date.
        style: CSS.
    """
    measure = next(one["label"] for one in view["measures"] if one["current"])
    charts = [{"title": "All steps", "rows": [{"name": one["label"], **one} for one in view["measures"]]}]
    charts += [{**chart, "title": f"{chart['title']}: {measure}"} for chart in view["charts"]]
    title = f"{view['title']}: real and dreamed"
    body = [*(_table(chart, two=view["difference"]) for chart in charts), _list(view["list"])]
    return html_file(title, title, view["meta"], body, source, style)


def _table(chart: Mapping[str, Any], *, two: bool) -> str:
    names = [" 1", " 2"] if two else [""]
    heads = "".join(f"<th>share{name}</th><th>95 % interval{name}</th><th>n{name}</th>" for name in names)
    heads += "<th>difference, points</th><th>95 % interval</th>" if two else ""
    rows = "".join(f"<tr><th>{escape(row['name'])}</th>{_cells(row)}</tr>" for row in chart["rows"])
    return (
        f"<h2>{escape(chart['title'])}</h2><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cells(row: Mapping[str, Any]) -> str:
    cells = [text for bar in row["bars"] for text in (bar["value"], _interval(bar), bar["n"])]
    if row["difference"]:
        cells += [row["difference"]["value"], row["difference"]["interval"]]
    return "".join(f"<td>{escape(text)}</td>" for text in cells)


def _interval(bar: Mapping[str, Any]) -> str:
    return "–" if bar["percent"] is None else f"{bar['low']:.0f} to {bar['high']:.0f} %"


def _list(listed: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(row['title'])}</th><td><code>{escape(row['action'])}</code></td>"
        f"<td>{escape(row['why'])}</td><td>{escape(row['task'])}</td>"
        + (f"<td>{escape(row['right'])}</td>" if listed["two"] else "")
        + "</tr>"
        for row in listed["rows"]
    )
    right = "<th>right</th>" if listed["two"] else ""
    heads = f"<th>step</th><th>action</th><th>what is wrong</th><th>task</th>{right}"
    part = f", {listed['part']}" if listed["part"] else ""
    title = f"{listed['title']}{part} ({listed['more']})"
    return f"<h2>{escape(title)}</h2><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
