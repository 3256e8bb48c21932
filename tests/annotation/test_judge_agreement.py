"""A judge beside people and engine: figures worked out by hand, and none where there is nothing to compare."""

import json
from pathlib import Path

import pytest

from dreamgym.annotation.judge_agreement import judge_agreement, with_engine
from dreamgym.annotation.judging import Judged, write_verdicts
from dreamgym.annotation.labels import Labels
from dreamgym.annotation.store import Annotation, AnnotationStore, Role
from dreamgym.cli import main
from dreamgym.experience_model.axes import AXES
from dreamgym.experience_model.judge import Verdict
from tests.annotation.answers import dreamed, workspace_of_all_kinds


def name(number: int) -> str:
    return f"tr-{number:012x}.1"


def verdict(item_id: str, rating: int | None, exact: bool | None = None, confidence: float | None = None) -> Judged:
    """None: not judged."""
    ratings = {} if rating is None else dict.fromkeys(AXES, rating)
    problem = "no" if rating is None else None
    told = Verdict(item_id, "m", "judge-1", False, ratings, problem=problem)
    return Judged(told, "alfworld", "take", exact is not None, exact, confidence)


def said(annotator: str, ratings: list[int], role: Role = "annotator") -> list[Annotation]:
    return [
        Annotation(name(n), annotator, role, 1, Labels(axes=dict.fromkeys(AXES, rating)), 1.0, "")
        for n, rating in enumerate(ratings)
    ]


def test_a_judge_that_says_what_people_say_agrees_wholly() -> None:
    ratings = [0, 1, 2, 2]
    found = judge_agreement(
        [verdict(name(n), rating) for n, rating in enumerate(ratings)], said("Ann", ratings) + said("Bob", ratings)
    )
    for axis in AXES:
        assert found["axes"][axis]["alpha_with_people"]["value"] == pytest.approx(1.0)
        assert found["axes"][axis]["kappas"]["Bob"] == {"value": pytest.approx(1.0), "num_items": 4, "reason": ""}
        assert found["axes"][axis]["same_as_settled"]["value"] == 1.0


def test_kappa_of_four_items_by_hand() -> None:
    """Judge 0 0 2 2, Ann 0 2 2 2: they agree on 3 of 4; by chance on 0.5 * 0.25 + 0.5 * 0.75 = 0.5."""
    found = judge_agreement(
        [verdict(name(n), rating) for n, rating in enumerate([0, 0, 2, 2])], said("Ann", [0, 2, 2, 2])
    )
    assert found["axes"]["diversity"]["kappas"]["Ann"]["value"] == pytest.approx(0.5)
    assert found["axes"]["diversity"]["same_as_settled"]["value"] == 0.75
    assert "more than one" in found["axes"]["diversity"]["alpha_among_people"]["reason"]


def test_an_adjudicator_decides_and_is_no_annotator() -> None:
    answers = [*said("Ann", [0, 0, 0]), *said("Bob", [2, 2, 2]), *said("Eve", [2, 0, 2], "adjudicator")]
    found = judge_agreement([verdict(name(n), rating) for n, rating in enumerate([2, 0, 2])], answers)["axes"]
    assert found["consistency"]["alpha_with_people"]["value"] == pytest.approx(1.0)
    assert set(found["consistency"]["kappas"]) == {"Ann", "Bob"}


def test_what_was_not_judged_counts_nowhere() -> None:
    found = judge_agreement([verdict(name(0), None, exact=False)], said("Ann", [1]))
    assert (found["num_verdicts"], found["num_judged"], found["engine"]["num_steps"]) == (1, 0, 0)
    assert found["axes"]["diversity"]["alpha_with_people"]["value"] is None
    assert judge_agreement([], [])["judge"] is None


def test_ratings_against_the_engine_by_hand() -> None:
    steps = [
        verdict(name(0), 0, exact=False, confidence=0.2),
        verdict(name(1), 1, exact=False, confidence=0.9),
        verdict(name(2), 2, exact=True, confidence=0.8),
        verdict(name(3), 0, exact=True, confidence=0.7),
        verdict(name(4), 2, exact=True),
    ]
    found = with_engine(steps)
    assert (found["num_steps"], found["num_wrong"]) == (5, 2)
    # Right 2, 0, 2 against wrong 0, 1: of six pairs four are right and one is a tie.
    assert found["auroc"]["consistency"] == pytest.approx(4.5 / 6)
    counts = {key: num for key, num in found["hallucination_0"].items() if "and" in key}
    assert counts == {"wrong_and_called": 1, "wrong_and_missed": 1, "right_and_called": 1, "right_and_passed": 2}
    assert found["hallucination_0"]["precision"]["value"] == found["hallucination_0"]["recall"]["value"] == 0.5
    assert (found["confidence"]["num"], found["confidence"]["auroc"]) == (4, 0.5), "0.8 and 0.7 against 0.2 and 0.9"


def test_the_command_prints_and_publishes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = workspace_of_all_kinds(tmp_path / "mine")
    for number, rating in ((1, 0), (2, 2)):
        AnnotationStore(workspace).answer(dreamed(number), "Ann", Labels(axes={"hallucination": rating}))
    rows = [verdict(dreamed(1).item_id, 0, exact=False, confidence=0.5), verdict(dreamed(2).item_id, 2, exact=True)]
    write_verdicts(rows, tmp_path / "verdicts.jsonl")
    output = tmp_path / "agreement.json"
    words = ["judge-agreement", str(tmp_path), "--workspace", str(workspace.path)]
    assert main([*words, "--output", str(output)]) == 0
    said_ = capsys.readouterr().out
    assert "m judge-1: 2 of 2 steps judged" in said_ and "kappa with Ann 1.000" in said_
    assert "of 1 wrong among 2 determined steps it calls 1 a hallucination (0), and 0 right ones" in said_
    (judge,) = json.loads(output.read_text())["judges"]
    assert judge["axes"]["hallucination"]["alpha_with_people"]["num_items"] == 2
    write_verdicts(
        [*rows, Judged(Verdict("x", "rules", "1", False), "alfworld", "go", False, None, None)], tmp_path / "two"
    )
    assert main(["judge-agreement", str(tmp_path / "two"), "--workspace", str(workspace.path)]) == 1
    assert "several judges" in capsys.readouterr().err
