"""Home: what this is, what is stored, what can run here, what to do next."""

from typing import Any

from lab.components.home import overview
from lab.context import Context, TabHandles
from lab.navigation import Selection
from lab.viewmodels.home import home_value


def build(context: Context) -> TabHandles:
    """One drawn component; every figure and button on it is a link."""
    page = overview()

    def render(selection: Selection) -> tuple[Selection, list[Any]]:
        return selection, [home_value(context.services)]

    return TabHandles(render, [page])
