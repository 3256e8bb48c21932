"""A page that is handed out as one HTML file: no script, nothing fetched, every text escaped."""

from collections.abc import Iterable
from html import escape


def html_file(
    title: str, heading: str, meta: str, body: Iterable[str], source: Iterable[tuple[str, str]], style: str
) -> str:
    """Write the page.

    Args:
        title: Of the window.
        heading: At its top.
        meta: Below the heading.
        body: HTML.
        source: (name, text) of where it comes from: address, models, version, date.
        style: CSS.
    """
    parts = "\n".join(body)
    told = "<br>".join(f"{escape(name)}: {escape(text)}" for name, text in source)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<h1>{escape(heading)}</h1>
<p class="meta">{escape(meta)}</p>
{parts}
<p class="meta">{told}</p>
</body>
</html>
"""


def html_figures(figures: Iterable[tuple[str, str]]) -> str:
    """(label, value) pairs in a row; nothing where there are none."""
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures)
    return f"<dl>{listed}</dl>" if listed else ""
