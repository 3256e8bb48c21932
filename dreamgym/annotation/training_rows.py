"""What annotators found right and wrong, as rows that train an experience model: SFT and DPO.

A row is made only of what is settled, and only of tasks of the training rooms; what is left out is counted by reason.

- An item that is fine is learned as it was written. One that is wrong is learned with what is right in its place, where
  somebody wrote that; the pair for DPO has the same prompt, and what was written as the rejected side.
- A reasoning that led to a wrong step is no reason for the right one: where it was not corrected itself, both sides of
  a pair, and the row for SFT, are without reasoning.
- Prompts have no demonstrations: those of the dream may be gone, and a model has to cope without (arXiv:2511.03773,
  Table 2, measures that).

Source: DreamGym, section 4.1, Eq. 5; Rafailov et al., arXiv:2305.18290.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dreamgym.annotation.items import Item
from dreamgym.annotation.labels import Correction
from dreamgym.annotation.resolution import Resolution
from dreamgym.experience_model import prompts
from dreamgym.types import Failure, Transition

Row = dict[str, Any]
OPENINGS = ("<think>", "<no_think>")


class LeftOut(Exception):
    """Why an item makes no row."""

    reason: str


def sft_rows(found: Iterable[tuple[Item, Resolution]], left_out: Counter[str]) -> Iterator[Row]:
    """Yield prompt and completion for each item whose right answer is known; the others are counted in `left_out`."""
    return _rows(found, left_out, _sft_row)


def dpo_rows(found: Iterable[tuple[Item, Resolution]], left_out: Counter[str]) -> Iterator[Row]:
    """Yield prompt, chosen and rejected for each corrected item; the others are counted in `left_out`."""
    return _rows(found, left_out, _dpo_row)


def corrected(item: Item, correction: Correction | None) -> Transition:
    """Return the step as it should have been; without reasoning where the old one led to something else.

    Raises:
        LeftOut: Of a malformed reply not everything was written anew.
    """
    change = correction or Correction()
    done = change.done if change.done is not None else (True if change.success else None)
    changes: dict[str, Any] = {
        "next_state": change.next_state,
        "reward": change.reward,
        "terminated": done,
        "success": change.success,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if "success" not in given and {"reward", "terminated"} & set(given):
        # As a reply is read: what ends and pays all is solved.
        step = item.transition
        ended = given.get("terminated", step.terminated if step else False)
        given["success"] = bool(ended and given.get("reward", step.reward if step else 0.0) == 1.0)
    if isinstance(item.step, Failure):
        if item.action is None or not {"next_state", "reward", "terminated"} <= set(given):
            raise LeftOut("malformed, and next state, reward or done not written anew")
        return Transition(item.state, item.action, reasoning=change.reasoning, **given)
    reasoning = item.step.reasoning if change.reasoning is None and not given else change.reasoning
    return replace(item.step, reasoning=reasoning, **given)


def _rows(
    found: Iterable[tuple[Item, Resolution]], left_out: Counter[str], make: Callable[[Item, Resolution], Row]
) -> Iterator[Row]:
    for item, resolution in found:
        try:
            refuse_unsettled(resolution)
            refuse_other_rooms(item)
            row = make(item, resolution)
        except LeftOut as reason:
            left_out[str(reason)] += 1
            continue
        yield row | {"item_id": item.item_id, "environment": item.task.environment, "status": resolution.status}


def refuse_unsettled(resolution: Resolution) -> None:
    """Raise LeftOut unless it is settled whether the step is right, and where it is not, what is."""
    if not resolution.is_resolved:
        raise LeftOut("disputed")
    if resolution.labels is None or resolution.labels.verdict is None:
        raise LeftOut("no verdict")
    if resolution.labels.verdict == "wrong" and resolution.labels.correction is None:
        raise LeftOut("wrong, and not corrected")


def refuse_other_rooms(item: Item) -> None:
    """Raise LeftOut for what is there to measure by."""
    if item.task.split != "train":
        raise LeftOut("not of a training room")


def _sft_row(item: Item, resolution: Resolution) -> Row:
    assert resolution.labels is not None
    right = corrected(item, resolution.labels.correction)
    return {"prompt": _prompt(item, right.reasoning is not None), "completion": _reply(right, right.reasoning)}


def _dpo_row(item: Item, resolution: Resolution) -> Row:
    assert resolution.labels is not None
    if resolution.labels.correction is None:
        raise LeftOut("fine as it was written, so there is no pair")
    if item.world == "real":
        raise LeftOut("a real step, which no model wrote")
    right = corrected(item, resolution.labels.correction)
    with_reasoning = right.reasoning is not None
    if isinstance(item.step, Failure):
        rejected = _as_generated(item.step, with_reasoning)
    elif with_reasoning and item.step.reasoning is None:
        raise LeftOut("reasoning was written where the reply had none")
    else:
        rejected = _reply(item.step, item.step.reasoning if with_reasoning else None)
    chosen = _reply(right, right.reasoning)
    if chosen == rejected:
        raise LeftOut("the correction says what was written")
    return {"prompt": _prompt(item, with_reasoning), "chosen": chosen, "rejected": rejected}


def _prompt(item: Item, with_reasoning: bool) -> str:
    assert item.action is not None
    return prompts.prompt_text(item.task, item.history, item.state, item.action, (), use_reasoning=with_reasoning)


def _reply(step: Transition, reasoning: str | None) -> str:
    """Behind the tag that ends the prompt."""
    return prompts.reply_text(step, reasoning).removeprefix(OPENINGS[reasoning is None])


def _as_generated(failure: Failure, with_reasoning: bool) -> str:
    opening = OPENINGS[not with_reasoning]
    if failure.raw_reply is None:
        raise LeftOut("the reply as generated is not stored")
    if not failure.raw_reply.startswith(opening):
        raise LeftOut("reply and correction do not both reason, or both not")
    return failure.raw_reply.removeprefix(opening)


SETTLED: Mapping[str, Callable[[Iterable[tuple[Item, Resolution]], Counter[str]], Iterator[Row]]] = {
    "sft": sft_rows,
    "dpo": dpo_rows,
}
"""Format of an export -> its rows."""
