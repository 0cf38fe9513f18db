"""JSON as apps send and get it. A separate module, because `json` and its `re` cost 14 ms to
import."""

from __future__ import annotations

from json import JSONEncoder, loads

from buntime.sdk.fields import BadBody

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# In ASCII: a lone surrogate that came as "\ud800" can be sent back unchanged. One encoder for all,
# because json.dumps with arguments makes one per call, which takes 2 µs. What JSON cannot express
# is a TypeError, NaN a ValueError.
json_text = JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_value(text: str | bytes, what: str) -> Any:
    """Parse what a client has sent; `what` describes it in errors. Raises BadBody."""
    try:
        return loads(text)
    except RecursionError:
        raise BadBody(f"{what} is JSON that is nested too deeply") from None
    except ValueError as exc:
        raise BadBody(f"{what} is not JSON: {exc}") from exc
