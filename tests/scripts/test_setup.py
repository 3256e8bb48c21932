"""scripts/setup.sh against an interpreter, a compiler and an apt-get that only write down what they are asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "chmod", "cksum", "cp", "dirname", "ls", "mkdir", "rm", "touch")
ON_DEBIAN = "ID=debian" in (Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else "")

PYTHON = """#!/usr/bin/env bash
case "$*" in
    *"version_info[:2]"*) echo 3.11 ;;
    *"sys.exit(sys.version_info"*) exit "${PYTHON_IS_OLD:-0}" ;;
    *"import ensurepip"*) [ -z "${NO_ENSUREPIP:-}" ] ;;
    "-m venv"*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    "-m pip"*) echo "pip $*" >>"$LOG"; [ -z "${ALFWORLD_FAILS:-}" ] || [[ "$*" != *alfworld* ]] ;;
esac
"""


class Machine:
    """A copy of what setup.sh reads, and a PATH with nothing else on it than stand-ins that log."""

    def __init__(self, folder: Path, user: int = 1000) -> None:
        self.folder = folder / "project"
        self.bin = folder / "bin"
        self.log = folder / "log"
        (self.folder / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("pyproject.toml", "constraints.txt", "scripts/setup.sh"):
            shutil.copy(ROOT / name, self.folder / name)
        for name in TOOLS:
            tool = shutil.which(name)
            assert tool
            (self.bin / name).symlink_to(tool)
        self.program("python3", PYTHON)
        self.program("make", "#!/usr/bin/env bash\n")
        self.program("id", f"#!/usr/bin/env bash\necho {user}\n")
        self.program("apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$LOG"\n')

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def add_compiler(self) -> None:
        self.program("g++", "#!/usr/bin/env bash\n")

    def setup(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": str(self.bin), "HOME": str(self.folder), "LOG": str(self.log), **environment}
        bash = shutil.which("bash") or "bash"
        command = [bash, str(self.folder / "scripts/setup.sh"), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, cwd=os.sep, check=False)

    def calls(self, name: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(name)]


def test_everything_is_installed_with_one_pip_call_and_only_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    assert machine.setup().returncode == 0
    assert machine.setup().returncode == 0
    (call,) = machine.calls("pip")
    assert "--constraint constraints.txt --editable .[alfworld,dev]" in call


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(name: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    machine.setup()
    with (machine.folder / name).open("a") as file:
        file.write("# changed\n")
    machine.setup()
    assert len(machine.calls("pip")) == 2


def test_an_index_with_the_cpu_build_of_torch_is_handed_to_pip(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    machine.setup(TORCH_CPU_INDEX="https://example.org/cpu")
    assert "--extra-index-url https://example.org/cpu --editable" in machine.calls("pip")[0]


def test_without_a_compiler_the_command_is_named_and_the_rest_is_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    first = machine.setup()
    assert first.returncode == 0
    assert "g++ make" in first.stderr
    assert "going on without the real ALFWorld" in first.stderr
    again = machine.setup()
    assert again.stderr == ""
    (call,) = machine.calls("pip")
    assert call.endswith(".[dev]")


def test_alfworld_is_added_once_there_is_a_compiler(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.setup()
    machine.add_compiler()
    machine.setup()
    assert machine.calls("pip")[-1].endswith(".[alfworld,dev]")


def test_a_failed_build_of_alfworld_leaves_the_rest_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    answer = machine.setup(ALFWORLD_FAILS="1")
    assert answer.returncode == 0
    assert "ALFWorld could not be built" in answer.stderr
    assert machine.calls("pip")[-1].endswith(".[dev]")


def test_an_old_python_is_refused_with_a_way_to_name_another(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    answer = machine.setup(PYTHON_IS_OLD="1")
    assert answer.returncode == 1
    assert "needs Python 3.11 or newer" in answer.stderr
    assert "PYTHON=python3.12" in answer.stderr
    assert not machine.calls("pip")


def test_a_python_without_venv_names_the_package(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    answer = machine.setup(NO_ENSUREPIP="1")
    assert answer.returncode == 1
    assert "python3.11-venv" in answer.stderr


def test_the_tests_go_on_without_a_browser_and_say_so_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    first = machine.setup("browser")
    assert first.returncode == 0
    assert "playwright install --with-deps chromium" in first.stderr
    assert machine.setup("browser").stderr == ""


def test_vllm_is_installed_beside_where_there_is_a_gpu(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_compiler()
    assert machine.setup("gpu").returncode == 0
    assert not (machine.folder / ".venv-gpu").exists() and len(machine.calls("pip")) == 1
    machine.program("nvidia-smi", "#!/usr/bin/env bash\n")
    for _ in range(2):
        assert machine.setup("gpu").returncode == 0
    assert (machine.folder / ".venv-gpu/bin/python").exists()
    assert machine.calls("pip")[1:] == ["pip -m pip install --disable-pip-version-check --editable .[alfworld,dev,gpu]"]


@pytest.mark.skipif(not ON_DEBIAN, reason="apt-get is used on Debian")
def test_root_on_debian_gets_what_is_missing_with_apt_get(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    machine.setup("browser")
    calls = machine.calls("apt-get")
    assert [call.split(" --no-install-recommends ")[-1] for call in calls] == [
        "apt-get update -qq",
        "g++ make",
        "apt-get update -qq",
        "chromium",
    ]
