# PYTHON_ARGCOMPLETE_OK
"""The command line: serve, dev, setup, doctor, simulate, calls, key.

Each command's options are in `gateway/tools/<command>/options.py`; its code is imported when it
runs.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Mapping, Sequence

from common.tracing import secret_headers
from gateway import __version__
from gateway.config.loader import environment, load_config
from gateway.config.secret_values import secret_values
from gateway.errors import ConfigError, GatewayError
from gateway.security.api_keys import MalformedApiKey, Role, new_key
from gateway.tools.arguments import Commands, add_command, add_json
from gateway.tools.calls import options as calls
from gateway.tools.doctor import options as doctor
from gateway.tools.setup import options as setup
from gateway.tools.simulate import options as simulate

#: What each exit code says; `--help` and docs/command-line.md have this list.
EXIT_CODES: Mapping[int, str] = {
    0: "success; doctor: all is well; simulate conversation: all expectations hold",
    1: "failure, which standard error names; doctor: warnings; simulate conversation: an "
    "expectation does not hold",
    2: "wrong usage; doctor: failures; simulate conversation: it cannot be held",
    130: "stopped by Ctrl-C; 0 where that is how the command ends: serve, dev, calls watch",
}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns one of EXIT_CODES."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how the line may go on
        import argcomplete

        argcomplete.autocomplete(parser)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        for problem in error.problems:
            print(f"gateway: {problem}", file=sys.stderr)
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed it (`| head`), so Python must not flush to it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:<5}{text}" for code, text in EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="Connects telephone calls from Jambonz to LiveKit voice agents.",
        epilog=f"`gateway COMMAND --help` has examples.\n\nexit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration file (default: config.yaml)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve_and_dev(commands)
    setup.add(commands)
    doctor.add(commands)
    simulate.add(commands)
    calls.add(commands)
    _add_key(commands)
    return parser


def _add_serve_and_dev(commands: Commands) -> None:
    serve = add_command(
        commands,
        "serve",
        help="run the gateway",
        description="Runs the gateway until SIGTERM or SIGINT. Its log goes to standard output, "
        "as JSON with logging.format: json.",
        examples=(("gateway --config /etc/gateway/config.yaml serve", "with these settings"),),
    )
    serve.set_defaults(run=_serve)
    dev = add_command(
        commands,
        "dev",
        help="run LiveKit, the gateway and a worker on this machine",
        description="Runs everything on this machine until Ctrl-C: `make run`.",
        examples=(("PORT=8010 gateway dev", "with the gateway on another port"),),
    )
    dev.set_defaults(run=_dev)


def _add_key(commands: Commands) -> None:
    key = add_command(
        commands,
        "key",
        help="create an API key",
        description="Prints a new secret, which is not stored, and the hashed entry to configure.",
        examples=(("gateway key n8n dispatch", "a key with which n8n may have calls made"),),
    )
    key.add_argument("name", metavar="NAME", help="the client, such as n8n; logs show it")
    roles = [role.value for role in Role]
    key.add_argument("role", metavar="ROLE", choices=roles, help=", ".join(roles))
    add_json(key)
    key.set_defaults(run=_key)


def _serve(arguments: argparse.Namespace) -> int:
    # Modules make no garbage while they load, and to look for it takes a sixth of the start.
    # `serve()` enables it again.
    gc.disable()
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


def _key(arguments: argparse.Namespace) -> int:
    name, role = arguments.name, Role(arguments.role)
    try:
        secret, entry = new_key(name, role)
    except MalformedApiKey as error:
        raise ConfigError([str(error)]) from error
    if arguments.json:
        print(json.dumps({"name": name, "role": role, "secret": secret, "entry": entry}, indent=2))
        return 0
    print(f"the secret for {name}, shown only now:\n  {secret}")
    print(f"the entry, for GATEWAY_API_KEYS or security.hashed_keys in config.yaml:\n  {entry}")
    return 0
