import subprocess
import sys

import numpy as np
import pytest

from dreamgym.replay_buffer.encoders import NUM_TEXTS_AT_ONCE, HashedNgrams, situation

STATE = "You arrive at fridge 1.\nat: fridge 1 (closed)\nholding: potato 2 (hot)\nhere: not visible"
TEXTS = ["", "a", "\n", STATE, situation(STATE, "open fridge 1"), "Käse ⟨✓⟩\n\x00", "\ud800", "x" * 5000]


def cosine(one: str, other: str) -> float:
    first, second = HashedNgrams().encode([one, other]).astype(np.float64)
    return float(first @ second)


def test_every_text_gets_a_float32_row_of_length_one() -> None:
    vectors = HashedNgrams(64).encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_no_text_gives_no_row() -> None:
    assert HashedNgrams(64).encode([]).shape == (0, 64)


def test_a_vector_does_not_depend_on_the_texts_encoded_with_it() -> None:
    texts = [f"go to shelf {i}\nat: shelf {i}" for i in range(NUM_TEXTS_AT_ONCE + 3)]
    together = HashedNgrams().encode(texts)
    for i in (0, 1, NUM_TEXTS_AT_ONCE - 1, NUM_TEXTS_AT_ONCE, NUM_TEXTS_AT_ONCE + 2):
        np.testing.assert_array_equal(HashedNgrams().encode([texts[i]])[0], together[i])


def test_another_process_makes_the_same_vectors() -> None:
    program = (
        "from dreamgym.replay_buffer.encoders import HashedNgrams;"
        "print(HashedNgrams(16).encode(['open fridge 1\\nat: fridge 1']).tobytes().hex())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    here = HashedNgrams(16).encode(["open fridge 1\nat: fridge 1"]).tobytes().hex()
    assert printed == [here, here]


def test_similar_situations_are_closer_than_different_ones() -> None:
    here = situation(STATE, "open fridge 1")
    assert cosine(here, here) == pytest.approx(1.0)
    near = cosine(here, situation(STATE.replace("potato 2", "potato 1"), "open fridge 1"))
    far = cosine(here, situation("You open the drawer 3.\nat: drawer 3 (open)", "examine drawer 3"))
    assert near > 0.9 > 0.5 > far


def test_the_action_weighs_more_than_the_state() -> None:
    other_state = "You look around.\nat: middle of the room\nplaces: drawer 1, bed 1"
    here = situation(STATE, "heat potato 2 with microwave 1")
    same_action = cosine(here, situation(other_state, "heat potato 2 with microwave 1"))
    same_state = cosine(here, situation(STATE, "inventory"))
    assert same_action > same_state


def test_the_name_tells_encoders_apart_that_make_other_vectors() -> None:
    encoders = [HashedNgrams(), HashedNgrams(128), HashedNgrams(shortest=2), HashedNgrams(action_weight=1.0)]
    assert HashedNgrams().name == "hashed-ngrams-3-5-256-1.5"
    assert len({encoder.name for encoder in encoders}) == len(encoders)
