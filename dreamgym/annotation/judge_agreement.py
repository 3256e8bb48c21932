"""How far a judge agrees with people, and with the real engine where the outcome is determined.

People: kappa with each annotator, and Krippendorff's alpha with what is settled among them, on each axis; beside it how
far they agree among themselves, as no judge can be held to more.

Engine: on a step that is determined by the dream's own history, a state other than the one that follows is wrong, and
that is the real engine's verdict (`is_determined`). A rating is worth as much as it ranks right steps above wrong ones
(AUROC); "hallucination 0" is laid beside "not exact". The confidence of the experience model on the same steps stands
beside it: a judge has to beat what is there for nothing. Our rules read the same verdict, so that their agreement with
it shows what the axes say, and not how good they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dreamgym.annotation.agreement import Figure, cohens_kappa, krippendorffs_alpha
from dreamgym.annotation.judging import Judged
from dreamgym.annotation.resolution import resolve_all
from dreamgym.annotation.store import Annotation
from dreamgym.experience_model.axes import AXES, Axis
from dreamgym.experience_model.calibration import calibration, ranking_of
from dreamgym.experience_model.fidelity import with_interval

JUDGE, PEOPLE = "judge", "people"


def judge_agreement(judged: Sequence[Judged], annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Lay one judge's verdicts beside people's answers and the engine's.

    Args:
        judged: Of one judge and version.
        annotations: Answers that count, see `AnnotationStore.current`.
    """
    rated = {one.verdict.item_id: one for one in judged if one.verdict.ratings}
    return {
        "judge": judged[0].verdict.judge if judged else None,
        "version": judged[0].verdict.version if judged else None,
        "num_verdicts": len(judged),
        "num_judged": len(rated),
        "axes": {axis: _with_people(axis, rated, annotations) for axis in AXES},
        "engine": with_engine([one for one in rated.values() if one.determined]),
    }


def _with_people(axis: Axis, rated: Mapping[str, Judged], annotations: Sequence[Annotation]) -> dict[str, Any]:
    mine = {item_id: one.verdict.ratings[axis] for item_id, one in rated.items()}
    by_person: dict[str, dict[str, int]] = {}
    for one in annotations:
        if one.role == "annotator" and one.labels is not None and axis in one.labels.axes:
            by_person.setdefault(one.annotator, {})[one.item_id] = one.labels.axes[axis]
    settled = {
        item_id: found.labels.axes[axis]
        for item_id, found in resolve_all(annotations).items()
        if found.labels is not None and axis in found.labels.axes
    }
    same = [mine[item_id] == label for item_id, label in settled.items() if item_id in mine]
    return {
        "alpha_with_people": _record(krippendorffs_alpha({JUDGE: mine, PEOPLE: settled}, "ordinal")),
        "alpha_among_people": _record(krippendorffs_alpha(by_person, "ordinal")),
        "kappas": {name: _record(cohens_kappa(mine, said)) for name, said in sorted(by_person.items())},
        "same_as_settled": with_interval(same),
    }


def with_engine(determined: Sequence[Judged]) -> dict[str, Any]:
    """Ratings of determined steps against the engine's verdict, and the experience model's confidence on them.

    Returns:
        auroc by axis (None where all steps are right, or all wrong); the confusion of "hallucination 0" with "not
        exact", and its precision and recall with Wilson intervals; the calibration of the confidence.
    """
    exact = [bool(one.exact) for one in determined]
    called = [one.verdict.ratings["hallucination"] == 0 for one in determined]
    pairs = list(zip(called, exact, strict=True))
    sure = [(one.confidence, right) for one, right in zip(determined, exact, strict=True) if one.confidence is not None]
    return {
        "num_steps": len(determined),
        "num_wrong": exact.count(False),
        "auroc": {axis: ranking_of([one.verdict.ratings[axis] for one in determined], exact) for axis in AXES},
        "hallucination_0": {
            "wrong_and_called": sum(one and not right for one, right in pairs),
            "wrong_and_missed": sum(not one and not right for one, right in pairs),
            "right_and_called": sum(one and right for one, right in pairs),
            "right_and_passed": sum(not one and right for one, right in pairs),
            "precision": with_interval([not right for one, right in pairs if one]),
            "recall": with_interval([one for one, right in pairs if not right]),
        },
        "confidence": calibration([confidence for confidence, _ in sure], [right for _, right in sure]),
    }


def _record(figure: Figure) -> dict[str, Any]:
    return asdict(figure)
