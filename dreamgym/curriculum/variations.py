"""Variations of tasks: the experience model's weights write several, the best are chosen (Eq. 6).

    tau_t = M_task(m seed tasks)

A variation is another instruction for the world of one of the seeds: it keeps that seed's first state. Nothing here
looks behind closed doors. Whether a variation can be done is judged by what the first state and the rules of such
worlds say, and how realistic it is by the model's own likelihood of its text: it has learned from instructions that
could be done, and so which things mostly are where.

Departure from the paper: there the selector is a prompted LLM that gives a reason; here each criterion is a number or a
rule, so that every dropped candidate keeps the reason for it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dreamgym.characters import whole
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model import chat_prompts, prompts
from dreamgym.experience_model.chat_prompts import Render, chat_template
from dreamgym.interfaces import Engine, Reply
from dreamgym.types import Task

MAX_REPLY_TOKENS = 64
MAX_BATCH = 128
"""Candidates that are written side by side."""

Dropped = Literal["malformed", "duplicate", "infeasible", "unlikely", "not chosen"]
"""Why a candidate is no variation: no instruction; asks what a seed or an earlier candidate asks; cannot be done by all
that is known; the model itself finds it too improbable; others scored higher."""


@dataclass(frozen=True, slots=True)
class VariationSettings:
    """How variations are generated and selected."""

    m: int = 4
    """Seed tasks in a prompt; fewer where there are not as many. The paper leaves m open."""
    num_candidates: int = 8
    """Candidates for each seed whose world is kept."""
    num_chosen: int = 1
    """At most this many of them are chosen."""
    temperature: float = 1.0
    """Of the candidates; at 0.0 they would all be the same."""
    min_log_likelihood: float = -12.0
    """Candidates that the model finds less likely than this are dropped; in nats, at most 0."""
    difference_weight: float = 3.0
    """What a wholly different task is worth, in nats of log-likelihood: at 3.0, being 20 times as likely."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.m < 1 or not 1 <= self.num_chosen <= self.num_candidates <= 1000:
            raise ConfigError(
                "m must be at least 1, and of 1 to 1000 candidates at least 1 can be chosen; got "
                f"m={self.m}, num_candidates={self.num_candidates}, num_chosen={self.num_chosen}"
            )
        if not 0 < self.temperature <= 2 or not self.min_log_likelihood <= 0 <= self.difference_weight:
            raise ConfigError(
                "temperature goes from above 0 to 2, min_log_likelihood up to 0, difference_weight from 0; "
                f"got {self.temperature}, {self.min_log_likelihood} and {self.difference_weight}"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the model wrote for some seeds, and what became of it."""

    seed_ids: tuple[str, ...]
    """Task ids of the seeds in the prompt; the world of the last is kept."""
    text: str
    """The instruction; as generated, where it cannot be read."""
    log_likelihood: float
    """Of the reply, in nats: the sum over its tokens, at the settings' temperature (vLLM: at 1). 0 where an endpoint
    gives none: no candidate is then too unlikely."""
    task: Task | None = None
    """The variation; None where it is malformed, a duplicate or infeasible."""
    score: float | None = None
    """log_likelihood + difference_weight x difference; None where it was not in the choice."""
    difference: float | None = None
    """Share of its parts in which it differs from the most similar seed, known task or chosen variation, in [0, 1]."""
    dropped: Dropped | None = None
    """None: it is chosen."""
    reason: str = ""
    """A clause that says why it was dropped."""


def vary_tasks(
    engine: Engine,
    kept: Sequence[Task],
    seeds: Sequence[Task],
    settings: VariationSettings | None = None,
    known: Sequence[Task] = (),
) -> list[Candidate]:
    """Let the model vary tasks, and choose.

    Args:
        engine: The experience model's.
        kept: Seeds whose worlds get variations.
        seeds: Where the further seeds of each prompt come from: those of the same room first, then others at random.
        settings: Default: as documented there.
        known: Tasks that there are already, earlier variations for one: what they ask for in the same world is no news.

    Returns:
        Every candidate, grouped as `kept`, each group in the order of generation; chosen ones have no `dropped`.

    Raises:
        ConfigError: The model has not learned this.
        EngineError: The model could not run.

    Source: DreamGym, arXiv:2511.03773, section 4.2, Eq. 6.
    """
    settings = settings or VariationSettings()
    prompted = [_seeds_of(task, seeds, settings) for task in kept]
    raw = generate(engine, [shown for shown in prompted for _ in range(settings.num_candidates)], settings)
    chosen = list[Candidate]()
    for number, shown in enumerate(prompted):
        start = number * settings.num_candidates
        chosen += select(raw[start : start + settings.num_candidates], shown, settings, known)
    return chosen


def generate(
    engine: Engine, prompted: Sequence[Sequence[Task]], settings: VariationSettings | None = None
) -> list[Candidate]:
    """Write one candidate for each group of seeds, as they come.

    Args:
        engine: The experience model's.
        prompted: Seeds of each prompt, the one whose world is kept last.
        settings: Temperature and seed.

    Returns:
        One candidate per prompt, in order; malformed ones are marked, nothing else is judged.

    Raises:
        ConfigError: The model has not learned this.
        EngineError: The model could not run.
    """
    settings = settings or VariationSettings()
    check_can_vary(engine)
    render = chat_template(engine)
    found = list[Candidate]()
    for start in range(0, len(prompted), MAX_BATCH):
        part = prompted[start : start + MAX_BATCH]
        session = engine.open(len(part))
        try:
            session.extend([_prompt(shown, render) for shown in part])
            seed = settings.seed + start
            replies = session.generate(prompts.VARIATION_STOP, MAX_REPLY_TOKENS, settings.temperature, seed)
        finally:
            session.close()
        found += [_read(shown, reply, render) for shown, reply in zip(part, replies, strict=True)]
    return found


def check_can_vary(engine: Engine) -> None:
    """Raise ConfigError where a model has neither learned to vary tasks nor takes instructions."""
    if not engine.has_tokens(prompts.VARIATION_TAGS) and chat_template(engine) is None:
        raise ConfigError(
            f"{engine.name} has not learned to vary tasks: {prompts.VARIATION_OPENING} is no token of its vocabulary; "
            "train a model that has (make nano), or do without (curriculum.synthetic_share=0)"
        )


def select(
    candidates: Sequence[Candidate],
    seeds: Sequence[Task],
    settings: VariationSettings | None = None,
    known: Sequence[Task] = (),
) -> list[Candidate]:
    """Choose among the candidates of one prompt: feasible, different, realistic.

    Candidates that are malformed, duplicates, infeasible or unlikely are dropped. Of the others the one with the
    highest score (log-likelihood, and a bonus for the difference) is chosen; then again, with that one among those to
    be different from.

    Args:
        candidates: From `generate`, all of the same prompt.
        seeds: The seeds of that prompt.
        settings: How many are chosen, and what is too unlikely.
        known: Further tasks; those that start in the same state are no news either.

    Returns:
        The candidates in the same order, each chosen, or dropped with a reason.
    """
    settings = settings or VariationSettings()
    parts_of = environment_module(seeds[-1].environment).instruction_parts
    others = [*seeds, *(task for task in known if task.first_state == seeds[-1].first_state)]
    asked = [parts for task in others if (parts := parts_of(task.text)) is not None]
    judged, seen = list[Candidate](), list(asked)
    for candidate in candidates:
        judged.append(_judge(candidate, seeds[-1], seen, settings.min_log_likelihood))
        if judged[-1].dropped is None:
            seen.append(parts_of(candidate.text) or {})
    waiting = {n: parts_of(one.text) or {} for n, one in enumerate(judged) if one.dropped is None}
    differences = {
        n: min((part_difference(parts, other) for other in asked), default=1.0) for n, parts in waiting.items()
    }

    def score(n: int) -> float:
        return judged[n].log_likelihood + settings.difference_weight * differences[n]

    for _ in range(min(settings.num_chosen, len(waiting))):
        best = max(waiting, key=score)
        judged[best] = replace(judged[best], score=score(best), difference=differences[best])
        chosen = waiting.pop(best)
        for n, parts in waiting.items():
            differences[n] = min(differences[n], part_difference(parts, chosen))
    for n in waiting:
        reason = "others have higher scores"
        judged[n] = replace(judged[n], score=score(n), difference=differences[n], dropped="not chosen", reason=reason)
    return judged


def _seeds_of(kept: Task, seeds: Sequence[Task], settings: VariationSettings) -> list[Task]:
    """The seeds of a prompt: further ones, those of the same room first, then the kept one."""
    others = [task for task in seeds if task.environment == kept.environment and task.first_state != kept.first_state]
    random.Random(f"{settings.seed}/{kept.task_id}").shuffle(others)
    others.sort(key=lambda task: task.room != kept.room)
    return [*others[: settings.m - 1], kept]


def _prompt(seeds: Sequence[Task], render: Render | None) -> str:
    return prompts.variation_prompt(seeds) if render is None else chat_prompts.variation(render, seeds)


def _read(seeds: Sequence[Task], reply: Reply, render: Render | None) -> Candidate:
    raw = whole(reply.text)
    if render is not None and not reply.finished and len(reply.token_ids) < MAX_REPLY_TOKENS:
        raw = raw.strip() + prompts.VARIATION_STOP  # an instruction model may end its message instead
    log_likelihood = sum(reply.logprobs)
    ids = tuple(task.task_id for task in seeds)
    parsed = prompts.parse_variation(raw)
    if isinstance(parsed, str):
        return Candidate(ids, raw, log_likelihood, dropped="malformed", reason=parsed)
    return Candidate(ids, parsed.text, log_likelihood)


def _judge(candidate: Candidate, kept: Task, seen: Sequence[Mapping[str, str]], min_log_likelihood: float) -> Candidate:
    """Make a task of it, or say why not."""
    if candidate.dropped is not None:
        return candidate
    module = environment_module(kept.environment)
    parts = module.instruction_parts(candidate.text)
    if parts is None:
        return replace(candidate, dropped="malformed", reason="that is no instruction of this environment")
    if parts in seen:
        return replace(candidate, dropped="duplicate", reason="a seed, a known task or an earlier candidate asks that")
    varied = module.vary(kept, candidate.text)
    if isinstance(varied, str):
        return replace(candidate, dropped="infeasible", reason=varied)
    if candidate.log_likelihood < min_log_likelihood:
        reason = f"its log-likelihood of {candidate.log_likelihood:.1f} nats is below {min_log_likelihood:g}"
        return replace(candidate, task=varied, dropped="unlikely", reason=reason)
    return replace(candidate, task=varied)


def part_difference(parts: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Share of the parts in which two instructions differ, in [0, 1]."""
    return sum(parts[name] != other.get(name) for name in parts) / max(len(parts), 1)
