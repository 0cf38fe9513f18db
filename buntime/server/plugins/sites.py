"""What a plugin has at its base: code, a page, or both."""

from buntime.core.access.paths import plain_path
from buntime.core.access.publicroutes import Patterns
from buntime.core.apps.app import App
from buntime.core.values.frozen import frozen


@frozen()
class PluginSite:
    """The site of one plugin. `app` is its code, `page` its page and the files beside it, if any.

    What `routes`, below the base, cover goes to the code, all else to the page.
    """

    name: str
    app: App | None
    page: App | None
    routes: Patterns
    unavailable: str = ""  # why it cannot answer
    is_shown: bool = False  # in the shell's frames, where it has a page
    is_trusted: bool = False  # its pages run without a sandbox at the operators' address

    def is_page(self, rest: str) -> bool:
        """Whether the page, or a file beside it, answers at this raw path below the base."""
        if self.page is None:
            return False
        return self.app is None or not self.routes.may_cover(plain_path(rest) or rest)

    def opens(self, method: str, rest: str) -> bool:
        """Whether it needs no sign-in: a frame has none to show when it loads a page's files."""
        return self.is_shown and method in ("GET", "HEAD") and self.is_page(rest)
