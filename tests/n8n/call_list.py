"""The list's workflow, set up for a test, and the table that it calls."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.n8n.conftest import CALL_LIST, WORKFLOWS, User, node_of, set_field
from tests.n8n.editor import JSON, Execution

SHIPPED_LIST = (WORKFLOWS / "call-list.csv").read_text()


def list_of(*phones: str) -> str:
    """The shipped file with these numbers; the first is written with blanks, as there."""
    columns = SHIPPED_LIST.splitlines()[0].split(",")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for number, phone in enumerate(phones):
        spaced = f"{phone[:3]} {phone[3:]}" if number == 0 else phone
        writer.writerow({"destination": spaced, "name": f"Person {number}"})
    return text.getvalue()


@dataclass(frozen=True)
class CallList:
    """The workflow with a table of its own; `minute()` is what it does once a minute."""

    user: User
    workflow: JSON
    table: str

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            set_field(node_of(self.workflow, "Settings"), name, value)

    async def minute(self) -> Execution:
        execution = await self.user.execute(self.workflow)
        assert execution.status == "success", (execution.error, list(execution.nodes))
        return execution

    async def rows(self) -> list[JSON]:
        return sorted(await self.user.editor.rows(self.table), key=lambda row: row["id"])

    async def outcomes(self) -> list[tuple[str, str]]:
        """`outcome` and `attempts` of each row, in the list's order."""
        return [(row["outcome"] or "", row["attempts"] or "") for row in await self.rows()]

    async def edit(self, row: JSON, **columns: str) -> None:
        await self.user.editor.update_row(self.table, row["id"], **columns)


async def call_list(user: User, name: str, text: str, gateway_url: str) -> CallList:
    """The workflow set up as its note says, open at all hours and without pauses."""
    table = await user.editor.import_csv(name[:100], text)
    workflow = await user.set_up(CALL_LIST)
    node_of(workflow, "List")["parameters"]["dataTableId"]["value"] = table.rsplit("/", 1)[1]
    made = CallList(user, workflow, table)
    days = "Mon Tue Wed Thu Fri Sat Sun"
    made.set(gateway_url=gateway_url, days=days, opens="00:00", closes="23:59", timezone=noon())
    made.set(seconds_between_calls=0.1, calls_at_once=10)
    made.set(busy_retry_minutes=0, no_answer_retry_minutes=0)
    return made


def noon() -> str:
    """A time zone where it is noon: no test runs at its midnight."""
    offset = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-offset:+d}" if offset else "UTC"


def clock(**later: float) -> str:
    """The time of day there, in a while."""
    now = datetime.now(UTC) + timedelta(hours=12 - datetime.now(UTC).hour)
    return f"{now + timedelta(**later):%H:%M}"
