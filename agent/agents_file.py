"""agents.yaml in a worker: checked at start and on SIGHUP, and published for the jobs.

A job runs in a process of its own, which may have been started before a reload. So it does not
read the operator's file, which may be half written: it reads what the worker published last.
"""

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from agent.profiles.checks import file_problems, turn_model_users, warnings
from agent.profiles.loader import AgentsFileInvalid, parse_agents, read_text
from agent.profiles.model_access import ModelAccess
from agent.profiles.plain_yaml import at
from agent.profiles.profile import AgentsFile
from agent.settings import WorkerSettings, environment

logger = logging.getLogger("agent.agents_file")

#: Names the published file to the processes of the jobs, which inherit the environment.
_PUBLISHED = "_AGENTS_FILE_PUBLISHED"
_NOT_SHARED = (
    "until the worker starts again each of their calls loads the turn detector's model for itself, "
    "250 MB"
)


def current_agents(settings: WorkerSettings) -> AgentsFile:
    """What a new call uses. Raises AgentsFileInvalid, which the worker's start has ruled out.

    A process that waits for a call has parsed it before, unless there was a reload.
    """
    published = Path(os.environ.get(_PUBLISHED, ""))
    # A folder for temporary files may be tidied, after weeks.
    path = published if published.is_file() else settings.agents_file
    return _parsed(path, _version(path))


@lru_cache(maxsize=1)
def _parsed(path: Path | None, _: object) -> AgentsFile:
    return parse_agents(read_text(path), environment())


def _version(path: Path | None) -> object:
    """Differs once `path` has been replaced."""
    if path is None or not path.exists():
        return None
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def check_agents(text: str, env: Mapping[str, str], access: ModelAccess) -> AgentsFile:
    """The profiles of a file's text, all that they name included: files, models, packages, keys.

    Call it on the main thread: it imports plugins. Raises AgentsFileInvalid.
    """
    # They import the framework, which takes a second.
    from agent.voice.models import model_problems  # noqa: PLC0415
    from agent.voice.tools.available import tool_problems  # noqa: PLC0415

    checks = (file_problems, lambda it: model_problems(it, access), tool_problems)
    return parse_agents(text, env, checks)


def prepare(settings: WorkerSettings) -> None:
    """Import what the profiles name, on the main thread: a process does it before it gets a call.

    What fails is logged: other profiles work, and a call that needs it ends in words.
    """
    from agent.profiles.model_choice import ModelProblem  # noqa: PLC0415
    from agent.voice.models import import_plugins  # noqa: PLC0415
    from agent.voice.tools.available import tool_problems  # noqa: PLC0415

    try:
        agents = current_agents(settings)
        import_plugins(agents, settings.models)
        found = [
            f"{at('profiles', name)}.{key}: {text}"
            for name, profile in agents.profiles.items()
            for key, text in tool_problems(profile)
        ]
    except AgentsFileInvalid as error:
        found = error.problems
    except ModelProblem as error:
        found = [str(error)]
    _log_problems(found)


@contextmanager
def publishing(settings: WorkerSettings) -> Iterator[None]:
    """While it is entered, jobs read what is published: the file now, and again on SIGHUP.

    A file with mistakes is logged, a line for each, and the one before stays in force. Raises
    AgentsFileInvalid, OSError.
    """
    loop = asyncio.get_running_loop()
    shares_turn_model = True
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:
        published = Path(folder) / "agents.yaml"
        if settings.pipeline == "voice":
            _publish(read_text(settings.agents_file), published)
            os.environ[_PUBLISHED] = str(published)
            if settings.jobs == "process":
                shares_turn_model = bool(turn_model_users(current_agents(settings)))
        loop.add_signal_handler(signal.SIGHUP, _reload, settings, published, shares_turn_model)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            os.environ.pop(_PUBLISHED, None)


def _reload(settings: WorkerSettings, published: Path, shares_turn_model: bool) -> None:
    """`shares_turn_model`: the processes of jobs inherit it from the worker's start."""
    if settings.pipeline != "voice":
        logger.info("agents_file.not_used", extra={"pipeline": settings.pipeline})
        return
    try:
        text = read_text(settings.agents_file)
        agents = check_agents(text, environment(), settings.models)
        _publish(text, published)
    except AgentsFileInvalid as error:
        _log_problems(error.problems)
    except OSError as error:
        logger.error("agents_file.not_published", extra={"error": str(error)})
    else:
        counts = {"profiles": len(agents.profiles), "routes": len(agents.routes)}
        logger.info("agents_file.reloaded", extra=counts)
        log_warnings(agents)
        if (users := turn_model_users(agents)) and not shares_turn_model:
            warning = f"turn_handling.detection: model, in {', '.join(users)}: {_NOT_SHARED}"
            logger.warning("agents_file.warning", extra={"warning": warning})


def _log_problems(problems: Sequence[str]) -> None:
    for problem in problems:
        logger.error("agents_file.invalid", extra={"problem": problem})


def log_warnings(agents: AgentsFile) -> None:
    for warning in warnings(agents):
        logger.warning("agents_file.warning", extra={"warning": warning})


def _publish(text: str, path: Path) -> None:
    """In one step: a job finds the whole text, or the whole one before."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
