"""The Dockerfile, as far as it can be checked without Docker."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.config.loader import build_config
from gateway.config.settings import ServerSettings
from tests.deploy.variables import check_environment_file, check_variables

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
IMAGES = {"gateway": str(ServerSettings().port), "worker": "8081"}


class Instruction(NamedTuple):
    name: str
    arguments: str


def stages() -> Mapping[str, tuple[str, list[Instruction]]]:
    """By name: what a stage begins from, and its instructions."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, tuple[str, list[Instruction]]] = {}
    for line in filter(None, re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            base, _, stage = arguments.partition(" AS ")
            instructions: list[Instruction] = []
            found[stage] = (base, instructions)
        else:
            instructions.append(Instruction(name, arguments))
    return found


def instructions_of(stage: str) -> Iterator[Instruction]:
    """With those of the stages that it begins from."""
    base, own = stages()[stage]
    if base in stages():
        yield from instructions_of(base)
    yield from own


def copied_from_context(stage: str) -> set[str]:
    """The files and folders of the project that a stage copies."""
    return {
        source
        for name, arguments in instructions_of(stage)
        if name == "COPY" and not arguments.startswith("--from=")
        for source in arguments.split()[:-1]
    }


def last(stage: str, name: str) -> str:
    return [it.arguments for it in instructions_of(stage) if it.name == name][-1]


@pytest.mark.server
def test_hadolint_accepts_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    process = subprocess.run(
        [hadolint, DOCKERFILE], check=False, capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.parametrize("stage", ["gateway-dependencies", "worker-dependencies"])
def test_a_change_of_the_code_installs_no_dependencies_again(stage: str) -> None:
    assert copied_from_context(stage) == {
        "constraints.txt",
        "pyproject.toml",
        "setup.cfg",
        "gateway/__init__.py",
    }


def test_dockerignore_lets_pass_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.partition("/")[0] for stage in stages() for source in copied_from_context(stage)
    }
    assert "*" in lines
    assert sent == copied
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_the_documentation_says_of_it(image: str) -> None:
    user, _, group = last(image, "USER").partition(":")
    assert user.isdigit()
    assert group.isdigit()
    assert int(user) > 0
    assert last(image, "EXPOSE") == IMAGES[image]
    assert last(image, "VOLUME") == last(image, "WORKDIR") == "/var/lib/gateway"
    assert last(image, "HEALTHCHECK").endswith('CMD ["python", "-m", "gateway.tools.healthy"]')
    # In this form no shell stands between Docker's SIGTERM and the process.
    *_, python, option, module = json.loads(last(image, "ENTRYPOINT"))
    assert (python, option, module) == ("python", "-m", {"worker": "agent"}.get(image, image))


@pytest.mark.parametrize("image", IMAGES)
def test_the_settings_of_an_image_exist(image: str) -> None:
    pairs = [
        pair.split("=", 1)
        for name, arguments in instructions_of(image)
        if name == "ENV"
        for pair in arguments.split()
    ]
    env = dict(pairs)
    check_environment_file(env)
    assert build_config({}, env).logging.format == "json"
    by_env = [word.split("=") for word in json.loads(last(image, "ENTRYPOINT")) if "=" in word]
    check_variables(dict(by_env))
    *copied, folder = last("runtime", "COPY").split()
    for file in (env["GATEWAY_CONFIG"], *(value for _, value in by_env if "/" in value)):
        assert file.removeprefix(folder) in copied
