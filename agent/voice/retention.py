"""How long recordings stay: the worker deletes from the folders of all profiles what is too old."""

import asyncio
import logging

from agent.agents_file import current_agents
from agent.profiles.loader import AgentsFileInvalid
from agent.settings import WorkerSettings
from agent.voice.recording_store import delete_old

logger = logging.getLogger("agent.recording")

#: Between two looks at the folders, in s.
INTERVAL = 3600.0


async def delete_old_recordings(settings: WorkerSettings) -> None:
    """Runs as long as the worker; reads the profiles anew each time, as calls do."""
    while settings.pipeline == "voice":
        try:
            deleted = await asyncio.to_thread(delete_old, _folders(settings))
        except Exception:
            # What could not be deleted now is deleted the next time.
            logger.exception("recordings.not_deleted")
        else:
            if deleted:
                logger.info("recordings.deleted", extra={"recordings": deleted})
        await asyncio.sleep(INTERVAL)


def _folders(settings: WorkerSettings) -> dict[str, int]:
    """The folders, and how many days each keeps a recording: of several profiles the most."""
    try:
        profiles = current_agents(settings).profiles.values()
    except AgentsFileInvalid:
        return {}  # calls, too, fail then, and say so
    folders: dict[str, int] = {}
    for record in (profile.record for profile in profiles if profile.record.folder):
        folders[record.folder] = max(record.keep_days, folders.get(record.folder, 0))
    return folders
