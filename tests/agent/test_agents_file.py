"""agents.yaml of a running worker: what its jobs read, and when."""

import asyncio
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from agent import __main__ as command
from agent.agents_file import current_agents, publishing
from agent.profiles.model_access import ModelAccess
from agent.profiles.profile import Profile
from agent.settings import WorkerSettings
from tests.agent.worker_settings import settings_for

GOOD = "profiles: {{default: {{greeting: {0}, turn_handling: {{detection: vad}}}}}}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = tmp_path / "agents.yaml"
    path.write_text(GOOD.format("first"))
    return path


@pytest.fixture
def settings(file: Path) -> WorkerSettings:
    return replace(
        settings_for(file.parent),
        pipeline="voice",
        agents_file=file,
        models=ModelAccess(openai=True),
    )


def greeting(settings: WorkerSettings) -> str:
    return current_agents(settings).profiles["default"].greeting


def edit(file: Path, text: str | None) -> None:
    """None deletes it."""
    file.unlink() if text is None else file.write_text(text)


def reload(file: Path, text: str | None) -> None:
    edit(file, text)
    os.kill(os.getpid(), signal.SIGHUP)


def tidy(folder: Path) -> None:
    (published,) = folder.glob("agent-*/agents.yaml")
    published.unlink()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_jobs_read_what_the_worker_found_usable(
    settings: WorkerSettings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agent.agents_file")
    with publishing(settings):
        edit(file, GOOD.format("second"))
        assert greeting(settings) == "first"
        reload(file, GOOD.format("second"))
        await until(lambda: greeting(settings) == "second")
        (record,) = caplog.records
        assert record.message == "agents_file.reloaded"
        assert record.__dict__["profiles"] == 1

        caplog.clear()
        reload(file, "profiles: {default: {greting: a, stt: {plugin: no-such-plugin}, ivr: 3}}")
        await until(lambda: len(caplog.records) == 3)
        assert greeting(settings) == "second"
        assert [it.__dict__["problem"] for it in caplog.records] == [
            "profiles.default.ivr: must be true or false",
            'profiles.default.greting: unknown key; did you mean "greeting"?',
            "profiles.default.stt: there is no plugin no-such-plugin",
        ]

        caplog.clear()
        reload(file, None)
        await until(lambda: bool(caplog.records))
        assert caplog.records[0].__dict__["problem"].startswith("cannot be read: No such file")
        assert greeting(settings) == "second"


async def test_a_call_finds_the_operators_file_if_the_published_one_is_gone(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with publishing(settings):
        tidy(tmp_path)
        assert greeting(settings) == "first"


async def test_a_process_parses_a_file_once(settings: WorkerSettings) -> None:
    with publishing(settings):
        first = current_agents(settings)
        assert current_agents(settings) is first


async def test_what_no_call_brings_is_told(
    settings: WorkerSettings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with publishing(settings):
        reload(file, GOOD.format('"{{nobody}}"'))
        await until(lambda: greeting(settings) == "{{nobody}}")
    (record,) = caplog.records
    assert "{{nobody}} is empty in calls that do not bring it" in record.__dict__["warning"]


@pytest.mark.parametrize(("at_start", "is_told"), [("vad", True), ("model", False)])
async def test_a_turn_model_that_the_worker_has_not_loaded_is_used_and_told(
    at_start: str,
    is_told: bool,
    settings: WorkerSettings,
    file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = GOOD.format("first").replace(
        "{default:", "{quiet: {turn_handling: {detection: model}}, default:"
    )
    edit(file, text.replace("model", at_start))
    with publishing(settings):
        reload(file, text.replace("first", "second"))
        await until(lambda: greeting(settings) == "second")
        assert current_agents(settings).profiles["quiet"].turn_handling.detection == "model"
    told = [it.__dict__["warning"] for it in caplog.records]
    assert [it.split(": until")[0] for it in told] == (
        ["turn_handling.detection: model, in quiet"] if is_told else []
    )


async def test_the_line_test_needs_no_profiles(
    settings: WorkerSettings, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agent.agents_file")
    edit(file, "no profiles")
    with publishing(replace(settings, pipeline="diagnostic")):
        reload(file, "no profiles")
        await until(lambda: bool(caplog.records))
    assert caplog.records[0].message == "agents_file.not_used"


async def test_without_a_file_the_built_in_profile_is_used(settings: WorkerSettings) -> None:
    without = replace(settings, agents_file=None)
    with publishing(without):
        assert current_agents(without).profiles == {"default": Profile()}


def read_when_asked(settings: WorkerSettings, pipe: Connection) -> None:
    pipe.send("started")
    pipe.recv()
    pipe.send(greeting(settings))


@pytest.mark.server
async def test_a_process_that_waited_for_its_call_reads_the_new_file(
    settings: WorkerSettings, file: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with publishing(settings):
        process = context.Process(target=read_when_asked, args=(settings, theirs))
        process.start()
        assert await asyncio.to_thread(ours.recv) == "started"
        reload(file, GOOD.format("second"))
        await until(lambda: greeting(settings) == "second")
        edit(file, "half of a fi")
        ours.send("go")
        assert await asyncio.to_thread(ours.recv) == "second"
        await asyncio.to_thread(process.join)
    ours.close()
    theirs.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["agent", *arguments])
        return command.main()

    return run


def test_check_counts_what_is_usable(
    run: Callable[..., int], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check") == 0
    assert capsys.readouterr().out == "agents.yaml: ok, 1 profile, 0 routes\n"
    other = file.with_name("other.yaml")
    other.write_text(
        "profiles: {default: {greeting: '{{who}}'}, b: {}}\nroutes: [{profile: b, trunk: a}]"
    )
    assert run("check", "other.yaml") == 0
    output = capsys.readouterr()
    assert output.out == "other.yaml: ok, 2 profiles, 1 route\n"
    assert output.err.startswith("other.yaml: warning: profiles.default.greeting: {{who}} is empty")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "profiles: {default: {ivr: 3, greting: a, failure: {clip: no.wav}, stt: {plugin: no}, "
            "tools: [{type: python, function: 'no.such:tool'}]}}",
            [
                "ivr: must be true",
                "greting: unknown",
                "failure.clip: cannot be played",
                "stt: there is no plugin no",
                "tools[0].function: no.such:tool cannot be imported",
            ],
        ),
        ("profiles: {default: {stt: {plugn: deepgram}}}", ["stt.plugin: is missing"]),
    ],
)
def test_check_tells_every_problem(
    text: str,
    problems: list[str],
    run: Callable[..., int],
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_text(text)
    assert run("check") == 1
    output = capsys.readouterr()
    assert not output.out
    lines = output.err.splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"agents.yaml: profiles.default.{problem}")


def test_check_names_a_file_that_is_not_there(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "no.yaml") == 1
    assert capsys.readouterr().err == "no.yaml: cannot be read: No such file or directory\n"


def test_check_without_keys_names_them(
    run: Callable[..., int],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("OPENAI_API_KEY", "LIVEKIT_URL", "LIVEKIT_INFERENCE_URL"):
        monkeypatch.delenv(name, raising=False)
    needs = ".models: auto needs OPENAI_API_KEY"
    assert run("check") == 1
    assert capsys.readouterr().err.startswith(f"agents.yaml: profiles.default{needs}")
    # What would follow from another mistake is not told.
    file.write_text("profiles: {default: {extends: clinic}, other: {llm: {plugn: groq}}}")
    assert run("check") == 1
    assert needs not in capsys.readouterr().err
    file.write_text("profiles: {")
    assert run("check") == 1
    assert needs not in capsys.readouterr().err
    file.unlink()
    assert run("check") == 1
    assert capsys.readouterr().err.startswith(
        f"no agents.yaml, so the built-in profile: profiles.default{needs}"
    )


@pytest.mark.parametrize("pipeline", ["voice", "diagnostic"])
def test_the_worker_starts_with_a_usable_file_only(
    pipeline: str,
    run: Callable[..., int],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "LIVEKIT_URL": "ws://192.0.2.10:7880",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret",
        "GATEWAY__AGENT__PIPELINE": pipeline,
    }.items():
        monkeypatch.setenv(name, value)
    started: list[list[str]] = []

    def start(argv: list[str]) -> int:
        started.append(argv)
        return 0

    monkeypatch.setattr("livekit.agents.__main__.main", start)
    file.write_text("profiles: {default: {ivr: 3}}")
    assert run() == (1 if pipeline == "voice" else 0)
    assert bool(started) is (pipeline == "diagnostic")
    expected = "agents.yaml: profiles.default.ivr: must be true or false\n"
    assert capsys.readouterr().err == (expected if pipeline == "voice" else "")
