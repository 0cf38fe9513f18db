"""What a test may have to catch besides the exceptions of its app."""

from buntime.testing.answer import Answer


class AppNotLoaded(Exception):
    """There is no app to call: the folder or object is not one; the message says why."""


class Denied(Exception):
    """The app has answered a WebSocket's handshake with a response, which is `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the app denied the WebSocket: {answer.status}")
        self.answer = answer
