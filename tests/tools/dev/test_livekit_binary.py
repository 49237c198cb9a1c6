"""Where `livekit-server` comes from: PATH, the cache, or a build, here with a fake Go."""

from pathlib import Path

import pytest

from gateway.tools.dev.livekit_binary import NoLiveKit, find_or_build

GO = """\
#!/bin/sh
test -f go.mod && test -f go.sum || exit 3
if [ "$1" = list ]; then
  echo "go: downloading example.com/module v1.2.3" >&2
  echo example.com/module/first
  echo example.com/module/second
else
  {build}
fi
"""
COMPILES = 'echo example.com/module/first >&2; echo "a server" > livekit-server'
FAILS = "echo 'first.go:1:1: syntax error' >&2; exit 1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder on PATH, before the system's, and an empty home."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def write(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)


def test_the_program_on_path_is_used(folder: Path) -> None:
    write(folder / "livekit-server", "#!/bin/sh\n")
    assert find_or_build() == folder / "livekit-server"


@pytest.mark.server
def test_without_it_the_server_is_built_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "go", GO.format(build=COMPILES))
    built = find_or_build()
    assert built.read_text() == "a server\n"
    assert built.parent == tmp_path / ".cache" / "jambonz-livekit-gateway"
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "building livekit-server with Go, once ..."
    assert last.startswith("building livekit-server with Go, once: done in 0:0")

    (folder / "go").unlink()
    assert find_or_build() == built
    assert list(built.parent.iterdir()) == [built]


@pytest.mark.server
def test_a_failed_build_is_explained_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    write(folder / "go", GO.format(build=FAILS))
    with pytest.raises(NoLiveKit) as error:
        find_or_build()
    assert "go build ended with exit code 1\n  first.go:1:1: syntax error" in str(error.value)
    assert "put `livekit-server` on PATH" in str(error.value)
    assert list((tmp_path / ".cache" / "jambonz-livekit-gateway").iterdir()) == []


def test_without_go_the_error_lists_the_ways_to_get_livekit(folder: Path) -> None:
    with pytest.raises(NoLiveKit, match=r"install Go 1\.26 or newer"):
        find_or_build()
