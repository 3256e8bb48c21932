from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.curriculum.variation_rows import VariationRowSettings, choose_families, variation_rows
from dreamgym.curriculum.variations import (
    Candidate,
    VariationSettings,
    generate,
    part_difference,
    select,
    vary_tasks,
)
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano
from dreamgym.experience_model.prompts import TAGS, VARIATION_TAGS
from dreamgym.experience_model.train import FitSettings, encode_rows, fit
from dreamgym.types import Task
from tests.experience_model.kitchen import make_task

pytestmark = pytest.mark.usefixtures("alfworld_games")
KITCHEN = make_task()  # "put a hot egg in sinkbasin." among countertop 1, microwave 1, sinkbasin 1
STATE = KITCHEN.first_state.replace("sinkbasin 1", "fridge 1")
OTHER = replace(make_task(1, "potato"), first_state=STATE, text="put a cool potato in microwave.")
SETTINGS = VariationSettings(num_candidates=8, num_chosen=2)


def written(text: str, log_likelihood: float = -5.0) -> Candidate:
    return Candidate((OTHER.task_id, KITCHEN.task_id), text, log_likelihood)


def chosen(candidates: Sequence[Candidate]) -> list[str]:
    return [one.text for one in candidates if one.dropped is None]


def test_each_drop_has_its_reason() -> None:
    texts = [
        "<variation>",  # 0
        "make me rich",
        "heat some egg and put it in sinkbasin",  # what the kept seed asks, in other words
        "put a cool potato in microwave",  # what the other seed asks
        "put a mug in fridge",  # 4: a place of the other seed's world
        "put a mug in sinkbasin",
        "put some mug on sinkbasin",  # 6: the candidate before, in other words
        "put a pan in sinkbasin",
    ]
    raw = [written(text) for text in texts]
    raw[0] = replace(raw[0], dropped="malformed", reason="no </variation> in the reply")
    raw[7] = replace(raw[7], log_likelihood=-20.0)
    judged = select(raw, [OTHER, KITCHEN], SETTINGS)
    assert [one.dropped for one in judged] == [
        *("malformed", "malformed", "duplicate", "duplicate", "infeasible", None, "duplicate", "unlikely"),
    ]
    assert all(one.reason for one in judged if one.dropped) and not judged[5].reason
    assert judged[4].reason == "there is no fridge in this room"
    assert judged[7].reason == "its log-likelihood of -20.0 nats is below -12"
    assert [one.task is None for one in judged] == [True, True, True, True, True, False, True, False]
    assert [one.text for one in judged] == texts


def test_a_chosen_candidate_is_a_task_in_the_kept_world() -> None:
    (judged,) = select([written("put a mug in sinkbasin.")], [OTHER, KITCHEN], SETTINGS)
    assert judged.task == alfworld.vary(KITCHEN, "put a mug in sinkbasin")
    assert judged.task is not None and judged.task.source == "variation"
    assert judged.task.first_state == KITCHEN.first_state
    assert judged.seed_ids == (OTHER.task_id, KITCHEN.task_id)


def test_what_is_known_of_the_same_world_is_a_duplicate_and_of_another_is_not() -> None:
    text = "put a mug in sinkbasin"
    for known, dropped in ((replace(KITCHEN, text=text), "duplicate"), (replace(OTHER, text=text), None)):
        (judged,) = select([written(text)], [KITCHEN], SETTINGS, [known])
        assert judged.dropped == dropped


def test_the_likeliest_and_most_different_are_chosen_one_after_the_other() -> None:
    """Seed: heat, egg, sinkbasin. The first choice makes the second, its neighbour, less different."""
    raw = [
        written("put a mug in countertop", -5.0),  # all parts differ: -5 + 3
        written("put a pan in countertop", -5.3),  # then only the object differs: -5.3 + 1
        written("clean some egg and put it in countertop", -6.0),  # 2/3 from the seed and from the first: -6 + 2
        written("put a clean egg in sinkbasin", -4.5),  # 1/3 from the seed: -4.5 + 1
    ]
    judged = select(raw, [KITCHEN], SETTINGS)
    assert chosen(judged) == [raw[0].text, raw[3].text]
    assert [one.score for one in judged] == pytest.approx([-2.0, -4.3, -5.0, -3.5])
    assert [one.difference for one in judged] == pytest.approx([1.0, 1 / 3, 1 / 3, 1 / 3])
    assert [one.dropped for one in judged] == [None, "not chosen", "not chosen", None]
    bold = select(raw, [KITCHEN], replace(SETTINGS, difference_weight=9.0))
    assert chosen(bold) == [raw[0].text, raw[2].text], "-6 + 6 beats -4.5 + 3"
    assert chosen(select(raw, [KITCHEN], replace(SETTINGS, num_chosen=1))) == [raw[0].text]
    assert len(chosen(select(raw, [KITCHEN], replace(SETTINGS, num_chosen=8)))) == 4


def test_a_better_wording_gets_its_chance_after_an_unlikely_one() -> None:
    raw = [written("put a mug in countertop", -13.0), written("put some mug on countertop", -11.0)]
    assert chosen(select(raw, [KITCHEN], SETTINGS)) == [raw[1].text]


def test_difference_is_the_share_of_other_parts() -> None:
    egg = {"task_type": "heat", "object": "egg", "place": "fridge"}
    assert part_difference(egg, egg) == 0.0
    assert part_difference(egg, {**egg, "object": "mug"}) == pytest.approx(1 / 3)
    assert part_difference(egg, {"task_type": "look", "object": "mug", "place": "lamp"}) == 1.0


def test_every_prompt_ends_with_the_world_that_is_kept() -> None:
    read: list[str] = []

    def writer(prompt: str) -> str:
        read.append(prompt)
        return "put a mug in sinkbasin</variation>"

    settings = VariationSettings(m=2, num_candidates=3)
    found = vary_tasks(ScriptedEngine(writer), [KITCHEN, OTHER], [KITCHEN, OTHER], settings)
    assert len(found) == 6
    assert [one.dropped for one in found] == [None, "duplicate", "duplicate", *["infeasible"] * 3]
    assert [one.seed_ids[-1] for one in found] == [KITCHEN.task_id] * 3 + [OTHER.task_id] * 3
    assert len({len(one.seed_ids) for one in found}) == 1 and len(found[0].seed_ids) == 2
    assert read[0] == (
        f"<task>{OTHER.text}</task><task>{KITCHEN.text}</task><state>{KITCHEN.first_state}</state><variation>"
    )


def test_seeds_of_the_same_room_come_first() -> None:
    near = replace(make_task(9), room=KITCHEN.room, first_state=STATE)
    far = [replace(make_task(n), first_state=STATE + f", shelf {n}") for n in range(1, 8)]
    engine = ScriptedEngine(lambda _: "win</variation>")
    (found,) = vary_tasks(engine, [KITCHEN], [*far, near], VariationSettings(m=3, num_candidates=1))
    assert found.seed_ids[0] == near.task_id and len(found.seed_ids) == 3
    (alone,) = vary_tasks(engine, [KITCHEN], [KITCHEN], VariationSettings(num_candidates=1))
    assert alone.seed_ids == (KITCHEN.task_id,), "its own world is no further seed"


def test_more_candidates_than_fit_side_by_side_are_written_in_turns() -> None:
    settings = VariationSettings(num_candidates=200)
    found = vary_tasks(ScriptedEngine(lambda _: "put a mug in sinkbasin</variation>"), [KITCHEN], [], settings)
    assert len(found) == 200 and len(chosen(found)) == 1


def test_the_log_likelihood_is_that_of_the_whole_reply() -> None:
    engine = ScriptedEngine(["put a mug in sinkbasin</variation>"], logprob=-0.5)
    (found,) = generate(engine, [[KITCHEN]])
    assert found.log_likelihood == pytest.approx(-2.5), "five words"
    assert found.dropped is None and found.task is None, "nothing is judged yet"


@pytest.mark.parametrize(
    "settings",
    [
        {"m": 0},
        {"num_candidates": 0},
        {"num_chosen": 0},
        {"num_chosen": 9},
        {"num_candidates": 1001},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"min_log_likelihood": 0.1},
        {"difference_weight": -1.0},
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="got"):
        VariationSettings(**settings)  # type: ignore[arg-type]


def test_a_model_that_never_learned_it_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nano from before the tags."""
    monkeypatch.setattr(nano, "TAGS", tuple(tag for tag in TAGS if tag not in VARIATION_TAGS))
    tokenizer = nano.build_tokenizer([KITCHEN.text])
    nano.build_model(tokenizer, nano.NanoShape(16, 1, 2, 1, 32), seed=0).save_pretrained(tmp_path / "old")
    tokenizer.save_pretrained(tmp_path / "old")
    with pytest.raises(ConfigError, match=r"old.* has not learned to vary tasks.*make nano"):
        vary_tasks(TransformersEngine(tmp_path / "old", device="cpu"), [KITCHEN], [])


def test_a_minute_model_learns_to_vary(tmp_path: Path) -> None:
    """From rows to chosen tasks, with a model trained for seconds on the very worlds it is asked about."""
    tasks: list[Task] = alfworld.load_tasks("train", 6)
    rows = list(variation_rows(choose_families(tasks, 2), VariationRowSettings(max_m=2)))
    tokenizer = nano.build_tokenizer(["".join(text for text, _ in row) for row in rows], min_count=1, min_name_count=2)
    model = nano.build_model(tokenizer, nano.NanoShape(64, 2, 2, 1, 128), seed=0)
    dataset = encode_rows(rows, tokenizer, 512)
    training = FitSettings(steps=120, batch_size=12, learning_rate=8e-3, threads=1)
    result = fit(model, tokenizer, dataset, training, tmp_path / "model")
    assert result.loss < 1.0, "untrained: 6"
    engine = TransformersEngine(tmp_path / "model", device="cpu", num_threads=1)
    settings = VariationSettings(m=2, num_candidates=8, num_chosen=2)
    found = vary_tasks(engine, tasks, tasks, settings)
    assert found == vary_tasks(engine, tasks, tasks, settings), "the same seed gives the same variations"
    picked = [one for one in found if one.dropped is None]
    assert len(picked) >= 3
    for one in picked:
        assert one.task is not None and isinstance(alfworld.vary(one.task, one.text), Task)
