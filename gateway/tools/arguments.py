"""What the options of all commands have in common: their help with examples, and their types.

Each command declares its options in its folder's `options.py`, which imports the command's code
only when it runs: `gateway --help` and completion in a shell stay quick.
"""

import argparse
import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from gateway.config.addresses import read_web_url
from gateway.tools.moments import read_moment

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    *,
    help: str,  # noqa: A002 - argparse's word
    description: str = "",
    examples: Sequence[tuple[str, str]] = (),
    notes: str = "",
) -> argparse.ArgumentParser:
    """A command with its help; each of `examples` is a command line, and what it does."""
    return commands.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog="\n\n".join(filter(None, [_shown(examples), notes])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _shown(examples: Sequence[tuple[str, str]]) -> str:
    if not examples:
        return ""
    lines = [line for command, text in examples for line in (f"  {command}", f"      {text}")]
    return "\n".join(["examples:", *lines])


def add_url(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url",
        type=_checked(read_web_url),
        help="the gateway's address (default: the configured one)",
    )


def add_json(command: argparse.ArgumentParser, text: str = "print one JSON document") -> None:
    command.add_argument("--json", action="store_true", help=text)


def keys(text: str) -> str:
    if not re.fullmatch(r"[0-9*#A-Da-d]{0,64}", text):
        raise argparse.ArgumentTypeError("keys are 0 to 9, *, # and A to D, at most 64")
    return text.upper()


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 86_400:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 to 86400")
    return number


def moment(text: str) -> int:
    """ms since epoch: see moments.py."""
    now = datetime.now()  # noqa: DTZ005 - the local time, in which people think
    return int(_checked(lambda given: read_moment(given, now))(text))


def _checked(read: Any) -> Any:
    """`read` as an argument's type: its ValueError is the message."""

    def checked(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
