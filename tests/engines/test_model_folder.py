from pathlib import Path

from dreamgym.engines.model_folder import find_bundled, offline_transitions, write_data


def test_a_bundled_name_is_a_folder_and_other_names_pass() -> None:
    assert (
        Path(find_bundled("nano")).name == Path(find_bundled("nano-experience-model")).name == "nano-experience-model"
    )
    assert find_bundled("nano") == find_bundled("nano-experience-model") != "nano-experience-model"
    assert find_bundled("org/model") == "org/model"


def test_data_that_models_share_counts_once_and_other_data_is_added(tmp_path: Path) -> None:
    for name, data in (("a", 60), ("b", 60), ("c", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(f'{{"data": {{"num_transitions": {data}}}}}')
    names = [str(tmp_path / name) for name in "abc"]
    assert offline_transitions(names[:2]) == 60
    assert offline_transitions(names) == 67
    assert offline_transitions([*names, str(tmp_path)]) is None, "one that says nothing makes the sum unknown"


def test_a_trained_policy_says_what_it_cost_beside_what_it_began_with(tmp_path: Path) -> None:
    for name, data in (("warm", 60), ("dream", 7), ("policy", 0)):
        (tmp_path / name).mkdir()
        if data:
            (tmp_path / name / "recipe.json").write_text(f'{{"data": {{"num_transitions": {data}}}}}')
    warm, dream, policy = (str(tmp_path / name) for name in ("warm", "dream", "policy"))
    write_data(Path(policy), [warm, str(tmp_path)], "run-1", 80)
    write_data(Path(policy), [warm], "run-1", None)
    assert offline_transitions([policy]) is None, "what is not known is not written"
    write_data(Path(policy), [warm, dream], "run-1", 80)
    assert offline_transitions([policy]) == 80 == offline_transitions([policy, warm, dream])
    write_data(Path(policy), [warm, dream], "run-1", 67)
    assert offline_transitions([policy]) == 67
