"""What an app imports: `from buntime import Request, Response`."""

from buntime.message import AsyncRequest, File, Headers, Request, Response

__version__ = "0.1.0"
__all__ = ["AsyncRequest", "File", "Headers", "Request", "Response", "__version__"]
