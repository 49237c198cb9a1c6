"""The options of `python -m gateway setup`."""

import argparse

from gateway.tools.arguments import Commands, add_command, add_json


def add(commands: Commands) -> None:
    setup = add_command(
        commands,
        "setup",
        help="bring LiveKit's trunks and Jambonz's hooks to the desired state",
        description="Prints the plan: which trunks, dispatch rules and hooks it would create, "
        "update and delete. With --apply it applies the plan.",
        examples=(
            ("gateway setup", "show what would change at LiveKit"),
            ("gateway setup --jambonz --apply", "change it, and the hooks of Jambonz"),
            ("gateway setup --prune --apply", "delete what conflicts, too, after a backup"),
            ("gateway setup --json", "the plan for a program"),
        ),
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
    add_json(setup, "print the plan, and what was done, as one JSON document")
    setup.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gateway.tools.setup.command import run

    return run(arguments)
