"""What the Annotate tab says of a repair, and what a person chooses before it is started. Plain JSON, no Gradio."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamgym.annotation.export import Keep
from dreamgym.annotation.labels import ERROR_KINDS
from dreamgym.annotation.repair import Method
from lab.navigation import link
from lab.viewmodels.text import counted

METHODS: Mapping[Method, tuple[str, list[str]]] = {
    "sft": ("Train on what is right (SFT)", []),
    "dpo": ("Train on wrong and right pairs (DPO)", ["--method", "dpo"]),
    "demonstrations": ("Only show it as demonstrations", ["--demonstrations-only"]),
}
"""Method -> how it is called, and its options on the command line."""


@dataclass(frozen=True, slots=True)
class RepairChoice:
    """What is learned, and how."""

    error: str = ""
    """Kind of error; empty: any."""
    annotator: str = ""
    """Whose answers; empty: everybody's."""
    method: Method = "sft"

    @property
    def keep(self) -> Keep:
        """As a filter of annotations; AnnotationError for an unknown kind of error."""
        return Keep(error=self.error or None, annotator=self.annotator or None)

    @property
    def options(self) -> list[str]:
        """As options of `dreamgym repair`."""
        return [*_option("--error", self.error), *_option("--annotator", self.annotator), *METHODS[self.method][1]]


def repair_view(
    num_corrected: int, num_elsewhere: int, kinds: Mapping[str, int], person: str, command: str
) -> dict[str, Any]:
    """What could be learned from everybody's settled answers.

    Args:
        num_corrected: Items of train rooms whose settled answer says what is right.
        num_elsewhere: The same of test and validation rooms, which only measure.
        kinds: Kind of error -> how many of the first it is marked on, among those that the person has answered: of the
            others nothing is told.
        person: Who looks; empty where nobody has said.
        command: What a repair runs when nothing is chosen.

    Returns:
        text, href and command; "choices", each with a name, a label and what can be chosen: value, label, and the
        options that it adds to the command.
    """
    kept = f" {num_elsewhere:,} of test and validation rooms only measure." if num_elsewhere else ""
    if not num_corrected:
        text = "Nothing to learn from yet: write what is right of wrong steps of train rooms; twenty of a kind can do."
        return {"text": text + kept, "command": "", "href": link("models"), "choices": []}
    text = f"{counted(num_corrected, 'corrected step')} of train rooms, settled, of everybody."
    errors = [_value("", "Any kind of error", RepairChoice())]
    errors += [_value(one, f"{one} ({kinds[one]:,})", RepairChoice(error=one)) for one in ERROR_KINDS if kinds.get(one)]
    answers = [_value("", "Everybody's answers", RepairChoice())]
    if person:
        answers.append(_value("mine", "My answers alone", RepairChoice(annotator=person)))
    methods = [_value(name, label, RepairChoice(method=name)) for name, (label, _) in METHODS.items()]
    choices = [
        {"name": "error", "label": "Kind of error", "values": errors},
        {"name": "answers", "label": "Whose answers", "values": answers},
        {"name": "method", "label": "How it learns", "values": methods},
    ]
    return {"text": text + kept, "command": command, "href": link("models"), "choices": choices}


def _option(name: str, value: str) -> list[str]:
    return [name, value] if value else []


def _value(value: str, label: str, choice: RepairChoice) -> dict[str, str]:
    return {"value": value, "label": label, "options": shlex.join(choice.options)}
