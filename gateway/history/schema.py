"""The history's tables. What they once were is in migrations/versions; a test compares both."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()

#: SQLite numbers rows by itself only if their key is an INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")
#: Sorted by code points, as Redis and Python sort, whatever the database's own collation is.
_ID = Text(collation="C").with_variant(Text(), "sqlite")

#: What today's counts are made of: the index has it all, since rows are long.
COUNTED = (
    "start_timestamp",
    "call_id",
    "disconnection_reason",
    "answer_timestamp",
    "is_silent",
    "first_audio_ms",
)

#: A call: what it is found and counted by, and three texts in JSON. `listed` is `views.listed()`,
#: `record` the call as Redis stores it, `deliveries` its callbacks as the API shows them. Numbers
#: are `comparable()`, `search` is `search_text()`. `revision` see UnsavedCall.
CALLS = Table(
    "calls",
    METADATA,
    Column("id", _KEY, Identity(), primary_key=True),
    Column("call_id", _ID, nullable=False, unique=True),
    Column("revision", BigInteger, nullable=False),
    Column("start_timestamp", BigInteger, nullable=False),
    Column("answer_timestamp", BigInteger),
    Column("end_timestamp", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("call_status", Text, nullable=False),
    Column("disconnection_reason", Text),
    Column("agent_name", Text, nullable=False),
    Column("account_code", Text, nullable=False),
    Column("from_number", Text, nullable=False),
    Column("to_number", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("is_silent", Boolean, nullable=False),
    Column("first_audio_ms", BigInteger),
    Column("listed", Text, nullable=False),
    Column("deliveries", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("verdict", Text),
    Index("calls_by_start", "start_timestamp", "call_id"),
    Index("calls_counted", *COUNTED),
    Index("calls_by_end", "end_timestamp"),
    Index("calls_by_from", "from_number", "start_timestamp", "call_id"),
    Index("calls_by_to", "to_number", "start_timestamp", "call_id"),
    Index("calls_by_reason", "disconnection_reason", "start_timestamp", "call_id"),
    Index("calls_by_verdict", "verdict", "start_timestamp", "call_id"),
)

#: Who did what: see AuditEntry.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", _KEY, Identity(), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("client", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_time", "at", "id"),
)
