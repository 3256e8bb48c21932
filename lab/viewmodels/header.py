"""What the header says."""

from typing import Any

from dreamgym.errors import WorkspaceError
from lab.navigation import parse, whole_link
from lab.services import Services
from lab.views import View, Views


def _urgency(status: str) -> int:
    """What is shown of several models: a failure first, then one that starts."""
    return 0 if status.startswith("failed") else 1 if status == "starting" else 2


def header_value(services: Services) -> dict[str, Any]:
    """Names and states for the header; plain JSON."""
    here = [each for each in services.environments.values() if each.model is not None and each.status != "not started"]
    states = [each.status for each in here]
    try:
        views, problem = Views(services.workspace).all(), ""
    except WorkspaceError as error:  # the page opens all the same, and says so
        views, problem = (), str(error)
    return {
        "workspace": services.workspace.name,
        "path": str(services.workspace.path),
        "model": ", ".join(each.model.name for each in here if each.model) or None,
        "status": min(filter(None, states), key=_urgency, default=None),
        "read_only": services.read_only,
        "views": [_view(view) for view in views],
        "views_problem": problem,
    }


def _view(view: View) -> dict[str, str]:
    tab = parse(view.query).tab.capitalize()
    about = ", ".join(part for part in (tab, view.saved_by, view.saved_at[:10]) if part)
    return {"name": view.name, "href": whole_link(view.query), "about": about}
