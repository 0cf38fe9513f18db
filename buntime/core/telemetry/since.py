"""From when on lines of a log are wanted: `"2026-03-01T12:00:00Z"`, or `"15m"` ago."""

from datetime import UTC, datetime

from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue, parse_duration
from buntime.core.values.wording import shown

# In a time with a zone, "12:00:00+01:00": an unescaped plus is a space in a query.
_LOST_PLUS = regex(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}\Z)")


def parse_since(text: str, now: float) -> float:
    """Seconds since the epoch; a time without a zone is UTC. Raises BadValue."""
    try:
        return max(now - parse_duration(text), 0.0)
    except BadValue:
        pass
    try:
        text = text.strip()
        moment = datetime.fromisoformat(_LOST_PLUS.sub("+", text) if "T" in text else text)
        return max(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp(), 0.0)
    except (ValueError, OverflowError):
        raise BadValue(
            f'{shown(text)} is not a moment; write "2026-03-01T12:00:00Z", '
            'or "15m" for 15 minutes ago'
        ) from None
