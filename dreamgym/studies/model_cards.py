"""Publish a trained model: weights, tokenizer, recipe and a card that says what it is and how it was made."""

import json
import shutil
from pathlib import Path
from typing import Any


def publish(
    source: Path,
    target: Path,
    what: str,
    knows: str,
    recipe: dict[str, Any],
    trained: list[dict[str, Any]],
    origin: dict[str, Any],
    figures: dict[str, Any],
) -> None:
    """Copy weights and tokenizer, and write recipe.json and the model card.

    Args:
        source: The trained model.
        target: Gets the files.
        what: The model in a few words.
        knows: What it was made for.
        recipe: Its settings.
        trained: Settings and results of each stage of training.
        origin: Command, commit, date and data.
        figures: What was measured; single numbers are shown.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in (
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    text = json.dumps({"recipe": recipe, "trained": trained, **origin}, indent=2) + "\n"
    (target / "recipe.json").write_text(text, encoding="utf-8")
    card = _card(target.name, what, knows, trained, origin, figures)
    (target / "README.md").write_text(card, encoding="utf-8")


def _card(
    name: str,
    what: str,
    knows: str,
    trained: list[dict[str, Any]],
    origin: dict[str, Any],
    figures: dict[str, Any],
) -> str:
    data = origin["data"]
    numbers = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    lines = [
        f"# {name}",
        "",
        f"The bundled {what}.",
        f"A Llama of {trained[-1]['num_parameters']:,} parameters with its own tokenizer, trained by",
        f"`{origin['command']}`.",
        "",
        f"- Data: {data['num_trajectories']:,} trajectories, {data['num_transitions']:,} transitions;",
        f"  {data['environment']}.",
        *(f"  - {policy}: {num:,} trajectories" for policy, num in sorted(data["by_policy"].items())),
        f"  - {data['num_variations']:,} variations of the train tasks, proved by solving them in the real engine:",
        f"    {data['num_transitions_of_proofs']:,} more transitions, of which only the instructions are learned.",
        *(
            f"- Began with the blocks of {origin['begins_as']}: {each['num_transitions']:,} transitions, another world."
            for each in origin.get("before", ())[:1]
        ),
        *(
            f"- Then {each['num_trajectories']:,} more, {each['num_transitions']:,} transitions: "
            f"{', '.join(each['by_policy'])}."
            for each in origin.get("refreshed", ())
        ),
        *(line for stage in trained for line in _stage_lines(stage)),
        "- Licence: Apache-2.0. Seeds, settings and commit: `recipe.json`.",
        "",
        "| on the test rooms (never seen in training) | |",
        "|---|---|",
        *(f"| {key} | {value:,.4g} |" for key, value in numbers.items()),
        "",
        f"Made for {knows}; it knows nothing else.",
    ]
    return "\n".join(lines) + "\n"


def _stage_lines(stage: dict[str, Any]) -> list[str]:
    settings, minutes = stage["settings"], stage["seconds"] / 60
    return [
        f"- Training: {settings['steps']:,} steps of {settings['batch_size']} sequences, Muon and AdamW, learning rate",
        f"  {settings['learning_rate']:g}, seed {settings['seed']}; {stage['num_rows']:,} sequences of",
        f"  {stage['num_tokens']:,} tokens, loss on {stage['num_target_tokens']:,}; {minutes:.0f} minutes,",
        f"  final loss {stage['loss']:.4f}.",
    ]
