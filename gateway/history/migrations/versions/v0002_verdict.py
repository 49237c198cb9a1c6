"""What was wrong with a call's conversation, as a column: it can be searched for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_VERDICTS = (
    "no_conversation",
    "silent_agent",
    "slow_first_word",
    "unanswered_speech",
    "slow_turns",
    "lost_packets",
    "silent_caller",
)
_CALLS = sa.table("calls", sa.column("listed", sa.Text), sa.column("verdict", sa.Text))


def upgrade() -> None:
    op.add_column("calls", sa.Column("verdict", sa.Text))
    # A quotation mark within a text of the JSON has a backslash before it: that is not found.
    texts = {f'"verdict":"{verdict}"': verdict for verdict in _VERDICTS}
    found = {_CALLS.c.listed.contains(text, autoescape=True): it for text, it in texts.items()}
    has_one = _CALLS.c.listed.contains('"verdict":"', autoescape=True)
    op.execute(_CALLS.update().where(has_one).values(verdict=sa.case(*found.items())))
    op.create_index("calls_by_verdict", "calls", ["verdict", "start_timestamp", "call_id"])
