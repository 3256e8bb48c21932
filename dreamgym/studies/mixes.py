"""Who plays the episodes that the bundled models learn from."""

from collections.abc import Mapping

Mix = tuple[tuple[str, float, int], ...]
"""(policy, noise, step limit): each train task is played once by each."""
MIXES: Mapping[str, Mix] = {
    "alfworld": (
        *(("expert", 0.0, 50), ("lying", 0.25, 30), ("expert", 0.25, 40), ("lying", 0.5, 30)),
        ("mistaken", 0.2, 25),
    ),
    "webshop": (
        *(("careful", 0.0, 15), ("lying", 0.25, 15), ("careful", 0.25, 15), ("lying", 0.5, 15)),
        ("expert", 0.5, 15),
    ),
}
"""Environment -> who plays."""
NO_HARD_NEGATIVES: Mapping[str, Mix] = {
    "alfworld": (
        *(("expert", 0.0, 50), ("expert", 0.25, 30), ("expert", 0.25, 40), ("expert", 0.5, 30)),
        ("mistaken", 0.2, 25),
    ),
}
"""The same without lies, for the study of remedies: only the mistaken expert is ever refused."""
IMITATED: Mapping[str, str] = {"alfworld": "expert", "webshop": "careful"}
"""Whose episodes the policy learns from: an expert who knows what no page says cannot be imitated."""
STEP_LIMITS: Mapping[str, int] = {"webshop": 15}
"""Of an episode that a policy plays: more pages than these fill its context."""
NOVICE_MIXES: Mapping[str, Mix] = {"alfworld": (("expert", 0.4, 30),), "webshop": (("careful", 0.4, 15),)}
"""Whom the novice imitates, in right and wrong."""
