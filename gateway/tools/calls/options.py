"""The options of `python -m gateway calls`."""

import argparse

from gateway.calls.call import CallStatus, Direction
from gateway.calls.conversation import ConversationProblem
from gateway.calls.outcomes import TransferKind
from gateway.calls.reasons import DisconnectionReason
from gateway.tools.arguments import Commands, add_command, add_json, add_url, moment
from gateway.tools.moments import FORMS

#: Calls of one list at most; `export` has no limit.
MAX_LISTED = 10_000
_ID = "its id, or the beginning of it"


def add(commands: Commands) -> None:
    calls = add_command(
        commands,
        "calls",
        help="list, show, watch, hang up, transfer or export calls of a running gateway",
    )
    kinds = calls.add_subparsers(required=True, metavar="ACTION")
    _add_list(kinds)
    _add_show(kinds)
    _add_watch(kinds)
    _add_hangup(kinds)
    _add_transfer(kinds)
    _add_export(kinds)


def _add_list(kinds: Commands) -> None:
    listing = add_command(
        kinds,
        "list",
        help="list calls, newest first: active ones, or with a search ended ones too",
        examples=(
            ("gateway calls list", "who is on the telephone now"),
            ("gateway calls list --since 02:00 --until 03:00", "what happened last night"),
            ("gateway calls list -q 0156 --since 2d", "calls of a number that has 0156 in it"),
            ("gateway calls list --reason no_agent --since today", "callers who found no agent"),
            ("gateway calls list --verdict silent_agent --since 7d", "who heard silence"),
        ),
        notes=f"Times: {FORMS}.",
    )
    listing.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="ended calls too, as with -q, --reason, --verdict or a time",
    )
    _add_search(listing)
    listing.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="the call that was dispatched with KEY, by the API key that this command has",
    )
    listing.add_argument(
        "-n", "--limit", type=_limit, default=50, metavar="N", help="at most N calls (default: 50)"
    )
    add_json(listing)
    _runs(listing, "list")


def _add_show(kinds: Commands) -> None:
    show = add_command(
        kinds,
        "show",
        help="show a call: parties, timeline, transcript, callbacks",
        examples=(
            ("gateway calls show call-2b776760", "the call whose id begins so"),
            ("gateway calls show call-2b776760 --json", "everything that the gateway has of it"),
        ),
    )
    show.add_argument("call", metavar="CALL_ID", help=_ID)
    add_json(show)
    _runs(show, "show")


def _add_watch(kinds: Commands) -> None:
    watch = add_command(
        kinds,
        "watch",
        help="follow what happens to calls, until Ctrl-C",
        description="Prints a line for each change of a call. After a lost connection it continues "
        "where it was; what can no longer be had is said.",
        examples=(
            ("gateway calls watch", "everything that happens"),
            ("gateway calls watch --direction inbound --json | jq .call.call_id", "in a script"),
        ),
    )
    _add_filters(watch)
    add_json(watch, "print a JSON object a line: event and call, or the event `missed`")
    _runs(watch, "watch")


def _add_hangup(kinds: Commands) -> None:
    hangup = add_command(
        kinds,
        "hangup",
        help="end a call",
        examples=(("gateway calls hangup call-2b776760", "hang up on everybody in this call"),),
    )
    hangup.add_argument("call", metavar="CALL_ID", help=_ID)
    add_json(hangup)
    _runs(hangup, "hangup")


def _add_transfer(kinds: Commands) -> None:
    transfer = add_command(
        kinds,
        "transfer",
        help="transfer a call",
        examples=(
            ("gateway calls transfer call-2b776760 +15550123", "to this number"),
            (
                'gateway calls transfer call-2b776760 +15550123 --kind announced --summary "Ann"',
                "to somebody who hears the summary first",
            ),
        ),
    )
    transfer.add_argument("call", metavar="CALL_ID", help=_ID)
    transfer.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        default="",
        help="digits, E.164, tel: or sip:user@host (default: the call's own transfer_target)",
    )
    transfer.add_argument(
        "--kind", choices=[kind.value for kind in TransferKind], default=TransferKind.COLD.value
    )
    transfer.add_argument(
        "--summary", default="", metavar="TEXT", help="what an announced target hears"
    )
    add_json(transfer)
    _runs(transfer, "transfer")


def _add_export(kinds: Commands) -> None:
    export = add_command(
        kinds,
        "export",
        help="write calls, newest first, as JSON lines or CSV",
        examples=(
            ("gateway calls export --since 30d > calls.jsonl", "a month, a JSON object a line"),
            ("gateway calls export --format csv -o calls.csv", "everything, for a spreadsheet"),
        ),
        notes=f"Times: {FORMS}.",
    )
    _add_search(export)
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    export.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE, which is there once it is complete"
    )
    _runs(export, "export")


def _add_search(command: argparse.ArgumentParser) -> None:
    """What can be searched for: also by time."""
    command.add_argument("--since", type=moment, metavar="TIME", help="begun at TIME or later")
    command.add_argument("--until", type=moment, metavar="TIME", help="begun before TIME")
    _add_filters(command)


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("-q", "--query", metavar="TEXT", help="with TEXT in a number or the id")
    command.add_argument("--direction", choices=[direction.value for direction in Direction])
    command.add_argument("--status", choices=[status.value for status in CallStatus])
    command.add_argument(
        "--reason",
        metavar="REASON",
        choices=[reason.value for reason in DisconnectionReason],
        help="why it ended, such as user_hangup or no_agent",
    )
    command.add_argument(
        "--verdict",
        metavar="VERDICT",
        choices=[problem.value for problem in ConversationProblem],
        help="what was wrong with the conversation, such as silent_agent",
    )
    command.add_argument("--from", dest="from_number", metavar="NUMBER")
    command.add_argument("--to", dest="to_number", metavar="NUMBER")
    command.add_argument("--agent", dest="agent_name", metavar="NAME")
    command.add_argument("--account", dest="account_code", metavar="CODE")


def _limit(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_LISTED):
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MAX_LISTED}")
    return int(text)


def _runs(command: argparse.ArgumentParser, action: str) -> None:
    def run(arguments: argparse.Namespace) -> int:
        from gateway.tools.calls.command import run

        return run(action, arguments)

    add_url(command)
    command.set_defaults(run=run)
