"""The command line: serve, dev, setup, doctor, simulate, key. Each imports its code when run."""

import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import TypeAlias

from common.tracing import secret_headers
from gateway import __version__
from gateway.config.addresses import read_web_url
from gateway.config.loader import environment, load_config
from gateway.config.secret_values import secret_values
from gateway.errors import ConfigError, GatewayError
from gateway.security.api_keys import MalformedApiKey, Role, new_key

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 for success, 1 for an error, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        for problem in error.problems:
            print(f"gateway: {problem}", file=sys.stderr)
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    except BrokenPipeError:
        # The reader of the output has closed it (`| head`), so Python must not flush to it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description="Connects telephone calls from Jambonz to LiveKit voice agents."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration file (default: config.yaml)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
    serve.set_defaults(run=_serve)

    dev = commands.add_parser("dev", help="run LiveKit, the gateway and a worker on this machine")
    dev.set_defaults(run=_dev)

    _add_setup(commands)
    _add_doctor(commands)

    _add_simulate(commands)
    _add_key(commands)
    return parser


def _add_simulate(commands: Commands) -> None:
    simulate = commands.add_parser("simulate", help="simulate a call against a running gateway")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    _add_simulate_inbound(kinds)
    _add_simulate_outbound(kinds)
    _add_simulate_voice(kinds)
    _add_simulate_conversation(kinds)


def _add_simulate_inbound(kinds: Commands) -> None:
    inbound = kinds.add_parser(
        "inbound",
        help="a call from Jambonz: simulate Jambonz and the caller",
        description="Simulates Jambonz and a caller who talks to the agent, and times each step.",
    )
    _add_number(inbound, "from", "+15550100", "the caller's number")
    _add_number(inbound, "to", "+15550199", "the called number")
    _add_url_and_hold(inbound)
    inbound.add_argument(
        "--wav", metavar="FILE", help="what the caller says, 16 bit mono (default: a tone)"
    )
    inbound.add_argument("--record", metavar="FILE", help="write what the caller hears to FILE")
    inbound.add_argument(
        "--dtmf", metavar="KEYS", type=_keys, default="", help="keys to press, such as 12#"
    )
    inbound.set_defaults(run=_simulate_inbound)


def _add_simulate_outbound(kinds: Commands) -> None:
    outbound = kinds.add_parser(
        "outbound",
        help="a call to a telephone: dispatch it as n8n does, and follow it",
        description="Dispatches a call as n8n does, and times each step until it ends. With "
        "outbound.dialed_by agent it simulates the callee too; otherwise LiveKit dials a real "
        "telephone.",
    )
    _add_number(outbound, "to", "+15550123", "the number to call")
    _add_url_and_hold(outbound)
    outbound.set_defaults(run=_simulate_outbound)


def _add_simulate_voice(kinds: Commands) -> None:
    voice = kinds.add_parser(
        "voice",
        help="a spoken conversation on this machine, which needs no key and nothing that runs",
        description="Starts LiveKit, a gateway, a worker of the pipeline voice and models that "
        "follow a script; a caller books an appointment. Prints who said what, and when.",
    )
    voice.add_argument("--record", metavar="FILE", help="write what the caller hears to FILE")
    voice.set_defaults(run=_simulate_voice)


def _add_simulate_conversation(kinds: Commands) -> None:
    conversation = kinds.add_parser(
        "conversation",
        help="a conversation in text with an agent of agents.yaml, without a call",
        description="Holds the conversation of FILE in text, with the agent's own model and tools, "
        "and checks what it says and does. Exit code: 0 if all expectations hold, 1 if not, 2 if "
        "it cannot be held.",
    )
    conversation.add_argument("file", metavar="FILE")
    conversation.set_defaults(run=_simulate_conversation)


def _add_number(kind: argparse.ArgumentParser, option: str, default: str, text: str) -> None:
    kind.add_argument(
        f"--{option}",
        dest=f"{option}_number",
        metavar="NUMBER",
        default=default,
        help=f"{text} (default: {default})",
    )


def _add_url_and_hold(kind: argparse.ArgumentParser) -> None:
    _add_url(kind)
    kind.add_argument(
        "--hold",
        metavar="SECONDS",
        type=_seconds,
        default=4.0,
        help="how long to talk (default: 4)",
    )


def _add_url(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", type=_url, help="the gateway's address (default: the configured one)"
    )


def _url(text: str) -> str:
    try:
        return read_web_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _keys(text: str) -> str:
    if not re.fullmatch(r"[0-9*#A-Da-d]{0,64}", text):
        raise argparse.ArgumentTypeError("keys are 0 to 9, *, # and A to D, at most 64")
    return text.upper()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 to 86400")
    return seconds


def _add_key(commands: Commands) -> None:
    key = commands.add_parser(
        "key",
        help="create an API key",
        description="Prints a new secret, which is not stored, and the hashed entry to configure.",
    )
    key.add_argument("name", metavar="NAME", help="the client, such as n8n; logs show it")
    key.add_argument(
        "role",
        metavar="ROLE",
        choices=[role.value for role in Role],
        help="view, read, dispatch or admin",
    )
    key.set_defaults(run=_key)


def _add_setup(commands: Commands) -> None:
    setup = commands.add_parser(
        "setup",
        help="bring LiveKit's trunks and Jambonz's hooks to the desired state",
        description="Prints the plan: which trunks, dispatch rules and hooks it would create, "
        "update and delete. With --apply it applies the plan.",
    )
    setup.add_argument("--apply", action="store_true", help="apply the plan")
    setup.add_argument(
        "--backup",
        metavar="FILE",
        help="the file for the backup of --prune (default: named by its time)",
    )
    mode = setup.add_mutually_exclusive_group()
    mode.add_argument(
        "--prune", action="store_true", help="delete conflicting items too, after a backup"
    )
    mode.add_argument("--restore", metavar="FILE", help="restore the items of a backup")
    setup.add_argument(
        "--jambonz", action="store_true", help="set the hooks of the Jambonz application too"
    )
    setup.set_defaults(run=_setup)


def _add_doctor(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check everything that calls need, or explain one call",
        description="Checks everything that calls need, and names the next step for each problem. "
        "Exit code: 0 for ok, 1 for warnings, 2 for failures.",
    )
    what = doctor.add_mutually_exclusive_group()
    what.add_argument("--call", metavar="CALL_ID", help="only explain this call")
    what.add_argument(
        "--offline",
        action="store_true",
        help="only check the configuration: nothing is asked, as before a deployment",
    )
    _add_url(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)


def _serve(arguments: argparse.Namespace) -> int:
    import uvloop

    from gateway.logs import logs_configured
    from gateway.server import serve
    from gateway.telemetry import tracing

    config, env = load_config(arguments.config), environment()
    secrets = secret_values(config) | secret_headers(env)
    with logs_configured(config.logging, secrets), tracing.exporting(env, version=__version__):
        uvloop.run(serve(config))
    return 0


def _dev(arguments: argparse.Namespace) -> int:
    from gateway.tools.dev.run import run

    return run(arguments.config)


def _simulate_inbound(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.inbound import run

    return run(arguments)


def _simulate_outbound(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.outbound import run

    return run(arguments)


def _simulate_voice(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.spoken import run

    return run(arguments)


def _simulate_conversation(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.conversation import run

    return run(arguments.file)


def _key(arguments: argparse.Namespace) -> int:
    try:
        secret, entry = new_key(arguments.name, Role(arguments.role))
    except MalformedApiKey as error:
        raise ConfigError([str(error)]) from error
    print(f"the secret for {arguments.name}, shown only now:\n  {secret}")
    print(f"the entry, for GATEWAY_API_KEYS or security.hashed_keys in config.yaml:\n  {entry}")
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    from gateway.tools.setup.command import run

    return run(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from gateway.tools.doctor.run import run

    return run(arguments)
