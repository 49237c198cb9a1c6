"""The options of `python -m gateway simulate`."""

import argparse

from gateway.tools.arguments import Commands, add_command, add_json, add_url, keys, seconds

_LINES = "print a JSON object a line"


def add(commands: Commands) -> None:
    simulate = add_command(commands, "simulate", help="simulate a call against a running gateway")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    _add_inbound(kinds)
    _add_outbound(kinds)
    _add_voice(kinds)
    _add_conversation(kinds)


def _add_inbound(kinds: Commands) -> None:
    inbound = add_command(
        kinds,
        "inbound",
        help="a call from Jambonz: simulate Jambonz and the caller",
        description="Simulates Jambonz and a caller who talks to the agent, and times each step.",
        examples=(
            ("gateway simulate inbound", "a caller who lets a tone be heard for 4 s"),
            ("gateway simulate inbound --dtmf 12# --hold 10", "one who presses keys, and stays"),
            ("gateway simulate inbound --wav hello.wav --record heard.wav", "one who speaks"),
        ),
    )
    _add_number(inbound, "from", "+15550100", "the caller's number")
    _add_number(inbound, "to", "+15550199", "the called number")
    _add_url_and_hold(inbound)
    inbound.add_argument(
        "--wav", metavar="FILE", help="what the caller says, 16 bit mono (default: a tone)"
    )
    inbound.add_argument("--record", metavar="FILE", help="write what the caller hears to FILE")
    inbound.add_argument(
        "--dtmf", metavar="KEYS", type=keys, default="", help="keys to press, such as 12#"
    )
    inbound.set_defaults(run=_run_inbound)


def _add_outbound(kinds: Commands) -> None:
    outbound = add_command(
        kinds,
        "outbound",
        help="a call to a telephone: dispatch it as n8n does, and follow it",
        description="Dispatches a call as n8n does, and times each step until it ends. With "
        "outbound.dialed_by agent it simulates the callee too; otherwise LiveKit dials a real "
        "telephone.",
        examples=(("gateway simulate outbound --to +15550123", "have an agent call this number"),),
    )
    _add_number(outbound, "to", "+15550123", "the number to call")
    _add_url_and_hold(outbound)
    outbound.set_defaults(run=_run_outbound)


def _add_voice(kinds: Commands) -> None:
    voice = add_command(
        kinds,
        "voice",
        help="a spoken conversation on this machine, which needs no key and nothing that runs",
        description="Starts LiveKit, a gateway, a worker of the pipeline voice and models that "
        "follow a script; a caller books an appointment. Prints who said what, and when.",
        examples=(("gateway simulate voice --record heard.wav", "and listen to it later"),),
    )
    voice.add_argument("--record", metavar="FILE", help="write what the caller hears to FILE")
    add_json(voice, _LINES)
    voice.set_defaults(run=_run_voice)


def _add_conversation(kinds: Commands) -> None:
    conversation = add_command(
        kinds,
        "conversation",
        help="a conversation in text with an agent of agents.yaml, without a call",
        description="Holds the conversation of FILE in text, with the agent's own model and tools, "
        "and checks what it says and does. Exit code: 0 if all expectations hold, 1 if not, 2 if "
        "it cannot be held.",
        examples=(
            (
                "gateway simulate conversation deploy/agents/receptionist-conversation.yaml",
                "does the receptionist do what is expected?",
            ),
        ),
    )
    conversation.add_argument("file", metavar="FILE")
    add_json(conversation, _LINES)
    conversation.set_defaults(run=_run_conversation)


def _add_number(kind: argparse.ArgumentParser, option: str, default: str, text: str) -> None:
    kind.add_argument(
        f"--{option}",
        dest=f"{option}_number",
        metavar="NUMBER",
        default=default,
        help=f"{text} (default: {default})",
    )


def _add_url_and_hold(kind: argparse.ArgumentParser) -> None:
    add_url(kind)
    kind.add_argument(
        "--hold",
        metavar="SECONDS",
        type=seconds,
        default=4.0,
        help="how long to talk (default: 4)",
    )
    add_json(kind, _LINES)


def _run_inbound(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.inbound import run

    return run(arguments)


def _run_outbound(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.outbound import run

    return run(arguments)


def _run_voice(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.spoken import run

    return run(arguments)


def _run_conversation(arguments: argparse.Namespace) -> int:
    from gateway.tools.simulate.conversation import run

    return run(arguments.file, in_json=arguments.json)
