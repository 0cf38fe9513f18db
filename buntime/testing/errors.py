"""What a test may have to catch beside the exceptions of its app."""

from buntime.testing.answer import Answer


class AppNotLoaded(Exception):
    """There is no app to call: the folder or the object is none; the message says why."""


class Denied(Exception):
    """The app has answered a WebSocket's handshake by a response; `answer` is that."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the app denied the WebSocket: {answer.status}")
        self.answer = answer
