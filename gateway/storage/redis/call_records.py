"""Reads the records of calls. One that is damaged is set aside, and its call is unknown then."""

from collections.abc import Sequence

from gateway.calls.call import Call
from gateway.errors import RecordUnreadable
from gateway.storage.redis.database import Database
from gateway.storage.serialization import load_call, log_unreadable

#: Records that are read at a time.
BATCH = 200
#: How many damaged records are kept for a look at them, and the callbacks of their calls, in ms.
MAX_SET_ASIDE = 1_000
CALLBACKS_TTL_MS = 604_800_000

#: The token of the last change of a call, and the call.
Version = tuple[str, Call]


class CallRecords:
    """Raises StorageUnavailable, and RecordUnreadable for a record of a newer gateway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, call_id: str) -> str:
        return self._database.key("call", call_id)

    async def read(self, call_id: str) -> Version | None:
        token, text = await self._database.execute("HMGET", self.key(call_id), "version", "json")
        return await self.load(call_id, token, text) if token else None

    async def find_by_call_sid(self, call_sid: str) -> Version | None:
        found = await self._database.run("find_by_call_sid", self._database.key("sid", call_sid))
        return await self.load(*found) if found else None

    async def load(self, call_id: str, token: str, text: str | None) -> Version | None:
        """The call of a record that was just read; None if it is damaged."""
        try:
            return token, load_call(text or "", self.key(call_id))
        except RecordUnreadable as error:
            if error.is_newer:
                raise
            log_unreadable(str(error))
        arguments = call_id, token, MAX_SET_ASIDE, CALLBACKS_TTL_MS
        await self._database.run("set_aside_call", self.key(call_id), *arguments)
        return None

    async def read_many(self, call_ids: Sequence[str]) -> list[Call]:
        """Those of the calls that are stored and readable, in the order of `call_ids`."""
        calls: list[Call] = []
        for start in range(0, len(call_ids), BATCH):
            batch = call_ids[start : start + BATCH]
            texts = await self._database.run("get_calls", self._database.key("all"), *batch)
            for call_id, text in zip(batch, texts, strict=True):
                if text and (call := await self._read_listed(call_id, text)):
                    calls.append(call)
        return calls

    async def _read_listed(self, call_id: str, text: str) -> Call | None:
        try:
            return load_call(text, self.key(call_id))
        except RecordUnreadable as error:
            log_unreadable(str(error))
            if error.is_newer:
                return None
        version = await self.read(call_id)
        return version[1] if version else None
