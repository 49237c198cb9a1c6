"""The command line: serve, dev, setup, doctor, simulate, key. Each imports its part when run."""

import argparse
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.config.loader import load_config
from gateway.config.secret_values import secret_values
from gateway.errors import ConfigError, GatewayError
from gateway.security.api_keys import MalformedApiKey, Role, new_key


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 failed, 2 not understood."""
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
        # Whoever read our output has had enough (`| head`); nor is there anywhere to flush it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description="Lets telephone callers talk to LiveKit voice agents."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--config", metavar="FILE", help="settings (default: config.yaml)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
    serve.set_defaults(run=_serve)

    dev = commands.add_parser("dev", help="run LiveKit, gateway and worker on this machine")
    dev.set_defaults(run=_dev)

    _add_setup(commands)
    _add_doctor(commands)

    simulate = commands.add_parser("simulate", help="play a call against a running gateway")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    inbound = kinds.add_parser("inbound", help="play Jambonz and a caller")
    inbound.add_argument("--url", help="the gateway (default: the configured one)")
    inbound.add_argument("--from", dest="from_number", default="+15550100", help="caller's number")
    inbound.add_argument("--to", dest="to_number", default="+15550199", help="number called")
    inbound.add_argument("--wav", metavar="FILE", help="what the caller says (default: a tone)")
    inbound.add_argument("--record", metavar="FILE", help="write what the caller heard")
    inbound.add_argument("--dtmf", default="", help="keys the caller presses, such as 12#")
    inbound.add_argument("--hold", type=float, default=4.0, help="seconds to stay in the call")
    inbound.set_defaults(run=_simulate_inbound)

    outbound = kinds.add_parser("outbound", help="ask for a call as n8n does, and follow it")
    outbound.add_argument("--url", help="the gateway (default: the configured one)")
    outbound.add_argument("--to", dest="to_number", default="61402012298", help="number to call")
    outbound.add_argument("--hold", type=float, default=4.0, help="seconds to stay in the call")
    outbound.set_defaults(run=_simulate_outbound)

    _add_key(commands)
    return parser


def _add_key(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    key = commands.add_parser(
        "key",
        help="make an API key",
        description="Prints a fresh secret, once, and the hashed entry to store.",
    )
    key.add_argument("name", metavar="NAME", help="whose it is, such as n8n; logs show it")
    key.add_argument("role", metavar="ROLE", choices=[*Role], help="read or dispatch")
    key.set_defaults(run=_key)


def _add_setup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    setup = commands.add_parser(
        "setup",
        help="make LiveKit's trunks and rule, and Jambonz's hooks, as the settings want them",
        description="Shows what it would do. With --apply it does it.",
    )
    setup.add_argument("--apply", action="store_true", help="do what is shown")
    setup.add_argument("--backup", metavar="FILE", help="where --prune writes its backup")
    what = setup.add_mutually_exclusive_group()
    what.add_argument(
        "--prune", action="store_true", help="delete what is in the way too, after a backup"
    )
    what.add_argument("--restore", metavar="FILE", help="bring back what a backup holds")
    setup.add_argument(
        "--jambonz", action="store_true", help="see to the Jambonz application's hooks too"
    )
    setup.set_defaults(run=_setup)


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser("doctor", help="find what is wrong, or explain one call")
    doctor.add_argument("--call", metavar="CALL_ID", help="explain this call, and nothing else")
    doctor.add_argument("--url", help="the gateway (default: the configured one)")
    doctor.add_argument("--json", action="store_true", help="print JSON and nothing else")
    doctor.set_defaults(run=_doctor)


def _serve(arguments: argparse.Namespace) -> int:
    import uvloop

    from gateway.logs import logs_configured
    from gateway.server import serve

    config = load_config(arguments.config)
    with logs_configured(config.logging, secret_values(config)):
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


def _key(arguments: argparse.Namespace) -> int:
    try:
        secret, entry = new_key(arguments.name, Role(arguments.role))
    except MalformedApiKey as error:
        raise ConfigError([str(error)]) from error
    print(f"the secret, for {arguments.name}; it is not shown again:\n  {secret}")
    print(f"the entry, for GATEWAY_API_KEYS or security.hashed_keys in config.yaml:\n  {entry}")
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    from gateway.tools.setup.command import run

    return run(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from gateway.tools.doctor.run import run

    return run(arguments)
