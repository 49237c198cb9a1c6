"""Calls, the index of parts of their numbers and ids, and the audit."""

import sqlalchemy as sa
from alembic import op

from gateway.history.dialects import tune

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", _KEY, sa.Identity(), primary_key=True),
        sa.Column("call_id", _ID, nullable=False, unique=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("start_timestamp", sa.BigInteger, nullable=False),
        sa.Column("answer_timestamp", sa.BigInteger),
        sa.Column("end_timestamp", sa.BigInteger, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("call_status", sa.Text, nullable=False),
        sa.Column("disconnection_reason", sa.Text),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("account_code", sa.Text, nullable=False),
        sa.Column("from_number", sa.Text, nullable=False),
        sa.Column("to_number", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("is_silent", sa.Boolean, nullable=False),
        sa.Column("first_audio_ms", sa.BigInteger),
        sa.Column("listed", sa.Text, nullable=False),
        sa.Column("deliveries", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("calls_by_start", "calls", ["start_timestamp", "call_id"])
    counted = ["disconnection_reason", "answer_timestamp", "is_silent", "first_audio_ms"]
    op.create_index("calls_counted", "calls", ["start_timestamp", "call_id", *counted])
    op.create_index("calls_by_end", "calls", ["end_timestamp"])
    for name, column in (
        ("calls_by_from", "from_number"),
        ("calls_by_to", "to_number"),
        ("calls_by_reason", "disconnection_reason"),
    ):
        op.create_index(name, "calls", [column, "start_timestamp", "call_id"])
    op.create_table(
        "audit",
        sa.Column("id", _KEY, sa.Identity(), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at", "id"])
    tune(op.get_bind())
