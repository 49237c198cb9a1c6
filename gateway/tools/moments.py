"""Times as people write them, local ones: `2h`, `today`, `02:14`, `2026-11-26T02:14`."""

import re
from datetime import datetime, timedelta

FORMS = "2h ago as 2h (s, m, h, d, w), today, yesterday, 02:14, 2026-11-26 or 2026-11-26T02:14"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
#: Digits alone are ms since epoch if there are so many of them.
_EPOCH = re.compile(r"\d{11,14}")


def read_moment(text: str, now: datetime) -> int:
    """`text` in ms since epoch; a time without a zone is local, as `now` is, which has none.

    A time of day that is still to come is yesterday's. Raises ValueError with the forms to use.
    """
    given = text.strip().lower()
    try:
        return int(given) if _EPOCH.fullmatch(given) else _in_ms(_moment(given, now))
    except (ValueError, OverflowError):
        raise ValueError(f"must be a time: {FORMS}; not {text!r}") from None


def local_time(at: int) -> datetime:
    """`at` (ms since epoch) in the local time zone."""
    return datetime.fromtimestamp(at / 1000).astimezone()


def _moment(given: str, now: datetime) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": now, "today": midnight, "yesterday": _day_before(midnight)}
    if given in days:
        return days[given]
    if ago := _AGO.fullmatch(given):
        # By the clock that does not change for summer: 24 h are a day.
        return now.astimezone() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if clock := _CLOCK.fullmatch(given):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        today = midnight.replace(hour=hour, minute=minute, second=second)
        return today if today <= now else _day_before(today)
    return datetime.fromisoformat(given.upper())


def _day_before(moment: datetime) -> datetime:
    return moment - timedelta(days=1)


def _in_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
