"""What an environment's module offers, beyond what its files' own tests say."""

import pytest

from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import ConfigError


def test_every_environment_has_the_whole_interface() -> None:
    for name in ENVIRONMENTS:
        module = environment_module(name)
        for part in ("availability", "version_text", "load_tasks", "make", "make_policy", "facts", "action_type"):
            assert callable(getattr(module, part))
        for part in (
            "possible_actions",
            "is_determined",
            "recall",
            "write_reasoning",
            "drill",
            "expert_decision",
            "solution",
        ):
            assert callable(getattr(module, part))
        for part in ("instruction_parts", "vary", "other_tasks"):
            assert callable(getattr(module, part))
        assert module.POLICIES
        assert module.availability().detail


def test_an_unknown_environment_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'chess'.*alfworld"):
        environment_module("chess")


def test_actions_are_counted_under_their_verb() -> None:
    module = environment_module("alfworld")
    assert module.action_type("go to desk 1") == "go"
    assert module.action_type("heat egg 1 with microwave 1") == "heat"
    assert module.action_type("win the game") == "other"
