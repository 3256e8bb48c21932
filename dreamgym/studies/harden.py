"""`dreamgym study harden`: show the experience model what really happens where an optimiser found its lies.

Each round lets the exploit loop loose on the present model, from the policy's warm start. What the real engine answers
up to the first lie of each dreamed success joins the training data, and the model trains on it for some minutes, mixed
with old episodes so that it forgets nothing. Every real transition of the replays is counted, not of the lies alone.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.refresh import FIT, OLD_PER_NEW, refresh
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import exploit
from dreamgym.studies.exploit import Optimiser
from dreamgym.training.exploits import Lie
from dreamgym.types import Trajectory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hardening:
    """Sizes of the study."""

    rounds: int = 3
    optimiser: Optimiser = field(default_factory=lambda: Optimiser(iterations=5))
    """How long each round looks for lies."""
    old_per_lie: int = OLD_PER_NEW
    """Old episodes beside each lie."""
    fit: FitSettings = FIT


def run(
    model: Path,
    policy: Path,
    old: Sequence[Trajectory],
    retriever: Retriever,
    output: Path,
    seed: int = 0,
    settings: Hardening | None = None,
) -> dict[str, Any]:
    """Harden the experience model in `model`, and leave the result in `output`.

    Args:
        model: Folder of an experience model.
        policy: Folder of the warm start.
        old: Real train episodes that the model has seen.
        retriever: Demonstrations for dreams and for rows.
        output: Gets one new folder per round, "round-1" and so on.
        seed: Of tasks, sampling and rows.
        settings: Sizes.

    Returns:
        The last folder, and one row per round: lies found, by kind, and the real transitions of all dreamed successes
        that were replayed to find them.
    """
    chosen = settings or Hardening()
    lies: list[Lie] = []
    rows: list[dict[str, Any]] = []
    for number in range(1, chosen.rounds + 1):
        found: list[Lie] = []
        dreamer = ExperienceModel(TransformersEngine(model))
        learner = TransformersEngine(policy)
        figures = exploit.run(
            learner, dreamer, retriever, ("reasoning",), seed * 100 + number, chosen.optimiser, on_lie=found.append
        )
        lies += found
        rows.append(
            {
                "round": number,
                "model": dreamer.name,
                "num_lies": len(found),
                "lies": dict(Counter(lie.kind for lie in found).most_common()),
                "real_transitions": sum(row["replayed_transitions"] for row in figures["rows"]),
                "dream_success": [row["dream_success"] for row in figures["rows"]],
                "real_success": [row["real_success"] for row in figures["rows"]],
            }
        )
        log.info("%s", rows[-1])
        if not found:
            break
        shown, folder = [lie.real for lie in lies], output / f"round-{number}"
        model = refresh(model, shown, old, retriever, folder, seed + number, chosen.fit, chosen.old_per_lie)
    return {"hardened": str(model), "settings": asdict(chosen), "rounds": rows}
