"""What the header says."""

from typing import Any

from lab.services import Services


def header_value(services: Services) -> dict[str, Any]:
    """Names and states for the header; plain JSON."""
    return {
        "workspace": services.workspace.name,
        "path": str(services.workspace.path),
        "model": services.model.name if services.model else None,
        "status": services.engine.status if services.engine else None,
        "read_only": services.read_only,
    }
