"""The options of `python -m gateway doctor`."""

import argparse

from gateway.tools.arguments import Commands, add_command, add_json, add_url


def add(commands: Commands) -> None:
    doctor = add_command(
        commands,
        "doctor",
        help="check everything that calls need, or explain one call",
        description="Checks everything that calls need, and names the next step for each problem. "
        "Exit code: 0 for ok, 1 for warnings, 2 for failures.",
        examples=(
            ("gateway doctor", "would a call connect?"),
            ("gateway doctor --call call-2b776760-…", "what happened in this call, and why"),
            ("gateway doctor --offline", "can a gateway start with this configuration?"),
            ("gateway doctor --json", "all checks for a program"),
        ),
    )
    what = doctor.add_mutually_exclusive_group()
    what.add_argument("--call", metavar="CALL_ID", help="only explain this call")
    what.add_argument(
        "--offline",
        action="store_true",
        help="only check the configuration: nothing is asked, as before a deployment",
    )
    add_url(doctor)
    add_json(doctor)
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gateway.tools.doctor.run import run

    return run(arguments)
