"""Notices that folders of apps have changed, without a request that asks for them.

    the kernel reports (inotify) ┐
    each second, where it can't ─┴> a thread looks at all folders ─> `Deploys` acts, on the loop

What the kernel reports is only a reason to look, so without it nothing differs but the time. Where
nothing changes there is one look a minute. A look runs on a thread that may wait for the disk. It
costs 4 us a folder, and the next look waits long enough that looks take only a small part of the
time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from buntime.core.apps.quiet import Quiet
from buntime.core.apps.versions import is_version
from buntime.core.apps.watching import Watching
from buntime.core.settings.live import LiveSettings
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.following import Followed, TooManyFiles
from buntime.server.apps.inotify import Happening, Inotify, open_inotify
from buntime.server.apps.survey import NOTHING, Sight, Survey
from buntime.server.lifetime.deploys import Deploys
from buntime.server.loop.loop import READ, Loop
from buntime.server.pool.deployment import Deployment
from buntime.server.telemetry.logs import Log

_LONGEST_S = 30.0  # what keeps changing is acted on after this time
_REST_FACTOR = 20  # looks take at most a twentieth of the time

_CODE = Watching()


class Pace(NamedTuple):
    """How long to wait, in seconds."""

    rest_s: float = 60.0  # between looks where the kernel reports; not all file systems do
    poll_s: float = 1.0  # where it does not report them
    soon_s: float = 0.1  # from its report to the look: a copy makes many changes
    unread_s: float = 0.25  # how long reports then stay unread, however many come
    again_s: float = 0.4  # between looks while something changes
    folder_quiet_s: float = 0.3  # until a changed manifest or folder is acted on
    code_quiet_s: float = 1.0  # until changed code is acted on


_PACE = Pace()


class _Found(NamedTuple):
    """What a look has found."""

    sight: Sight
    took_s: float
    changed: dict[Deployment, str]  # and one file of each that has changed
    too_many: dict[Deployment, str]
    is_watched: bool  # whether the kernel will report further changes
    trouble: str


class Lookout:
    """Looks, from `start` to `stop`. Used on the loop's thread, except for `_work`."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        deploys: Deploys,
        *,
        pace: Pace = _PACE,
        open_watch: Callable[[], Inotify | None] = open_inotify,
    ) -> None:
        self._loop = loop
        self._live = live
        self._log = log
        self._deploys = deploys
        self._pace = pace
        self._open_watch = open_watch
        self._inotify: Inotify | None = None
        self._is_registered = False
        self._has_logged_trouble = False
        self._survey = Survey()
        self._sight = NOTHING
        self._has_looked = False
        self._is_looking = False
        self._is_stopped = False
        self.looks = 0  # how many there were
        self._is_watched = False  # the kernel will report all further changes
        self._due_s = float("inf")  # when the next look is due, by the loop's clock
        self._names: Quiet[str] = Quiet(quiet_s=pace.folder_quiet_s, longest_s=_LONGEST_S)
        self._code: Quiet[Deployment] = Quiet(quiet_s=pace.code_quiet_s, longest_s=_LONGEST_S)
        self._files: dict[Deployment, str] = {}  # changed files of those in `_code`
        self._followed: dict[Deployment, Followed] = {}
        self._suspect: set[Deployment] = set()  # whose files to check with the next look

    def __repr__(self) -> str:
        return f"Lookout({self._inotify}, {len(self._sight.marks)} folders)"

    def is_looking(self) -> bool:
        return self._is_looking

    def is_at_rest(self) -> bool:
        """Whether it has looked, and nothing is left to look at or act on."""
        left = self._names or self._code or self._suspect or self._is_looking
        soon = self._is_watched and self._due_s < self._loop.now + self._pace.again_s
        return self._has_looked and not left and not soon

    def start(self) -> None:
        self._look()

    def stop(self) -> None:
        self._is_stopped = True
        self._unregister()
        if self._inotify is not None and not self._is_looking:
            self._inotify.close()

    def follow(self, deployment: Deployment) -> None:
        """A worker has loaded it: in production, changes of its files count from now on.

        For an app with processes they always count, as no request checks for them.
        """
        app = deployment.app
        is_loaded = deployment.stays and not self._live.now.is_development
        if app.plugin is not None or not (is_loaded or app.manifest.processes):
            return
        if deployment not in self._followed:
            self._followed[deployment] = Followed(
                app.dir,
                deployment.watching,
                deployment.made_ns,
                is_run=bool(app.manifest.processes),
            )
            self._suspect.add(deployment)
            self.look_soon()

    def look_soon(self, delay_s: float | None = None) -> None:
        """Look within this many seconds."""
        delay_s = self._pace.soon_s if delay_s is None else delay_s
        due_s = self._loop.now + delay_s
        if due_s < self._due_s and not self._is_stopped:
            self._due_s = due_s
            self._loop.call_later(delay_s, self._on_time)

    # Watcher: what the kernel reports

    def on_ready(self, events: int) -> None:
        if self._inotify is None:
            return
        happened = self._inotify.read()
        self._unregister()  # further reports gather in the kernel, which keeps each once
        self._loop.call_later(self._pace.unread_s, self._register)
        if happened is None:
            self._suspect.update(self._followed)
        if happened is None or [each for each in happened if self._matters(each)]:
            self.look_soon()

    def abort(self) -> None:
        """Without the kernel's reports, only time starts looks."""
        self._unregister()
        inotify, self._inotify = self._inotify, None
        if inotify is not None:
            inotify.close()

    def _matters(self, happening: Happening) -> bool:
        folder, name = happening
        of_code = [each for each, files in self._followed.items() if files.has(folder, name)]
        self._suspect.update(of_code)
        if of_code or not name or folder in self._sight.listed:
            return not name.startswith(".") or name == "..data"  # as Kubernetes swaps volumes
        return folder in self._sight.marks and (_CODE.covers(name) or is_version(name))

    def _register(self) -> None:
        is_free = not (self._is_registered or self._is_looking or self._is_stopped)
        if self._inotify is not None and is_free:
            self._loop.register(self._inotify.fd, READ, self)
            self._is_registered = True

    def _unregister(self) -> None:
        if self._inotify is not None and self._is_registered:
            self._loop.unregister(self._inotify.fd)
            self._is_registered = False

    # Looks

    def _on_time(self) -> None:
        if self._loop.now >= self._due_s:
            self._look()

    def _look(self) -> None:
        if self._is_looking or self._is_stopped:
            return  # another one follows, see `_on_found`
        self._is_looking, self._due_s = True, float("inf")
        self.looks += 1
        self._unregister()  # its lists of folders belong to the thread now
        self._drop_unserved()
        chosen = self._suspect if self._is_watched else self._followed.keys()
        files = {each: self._followed[each] for each in chosen if each in self._followed}
        files |= {each: self._followed[each] for each in self._files if each in self._followed}
        self._suspect = set()
        roots, before, followed = (
            self._live.now.worker_dirs,
            self._sight,
            [*self._followed.values()],
        )
        self._loop.run_blocking(
            lambda: self._work(list(roots), before, files, followed), self._on_found
        )

    def _drop_unserved(self) -> None:
        for deployment in [each for each in self._followed if not self._deploys.serves(each)]:
            del self._followed[deployment]
            self._files.pop(deployment, None)

    def _on_found(self, found: _Found | BaseException) -> None:
        self._is_looking = False
        missed = self._due_s <= self._loop.now
        self._due_s = float("inf") if missed else self._due_s
        if isinstance(found, BaseException):
            self.look_soon(self._pace.poll_s)
            raise found
        if self._is_stopped:
            if self._inotify is not None:
                self._inotify.close()
            return
        self._is_watched = found.is_watched
        if found.is_watched:
            self._register()
        elif found.trouble:
            self._tell_of_trouble(found.trouble)
        now = self._loop.now
        if self._has_looked:
            for name in set(found.sight.changed(self._sight).values()):
                self._names.touch(name, now)
        self._sight, self._has_looked = found.sight, True
        for deployment, file in found.changed.items():
            self._files[deployment] = file
            self._code.touch(deployment, now)
        for deployment, why in found.too_many.items():
            self._followed.pop(deployment, None)
            self._deploys.give_up(deployment, why)
        self._act(now)
        self.look_soon(self._pause_s(found, missed=missed))

    def _pause_s(self, found: _Found, *, missed: bool) -> float:
        if missed or self._names or self._code or self._suspect:
            pause_s = self._pace.again_s
        else:
            pause_s = (
                self._pace.rest_s
                if found.is_watched and found.sight.is_whole
                else self._pace.poll_s
            )
        return max(pause_s, found.took_s * _REST_FACTOR)

    def _act(self, now: float) -> None:
        edited = self._code.take_due(now)
        for deployment in edited:
            self._deploys.edited(deployment, self._files.pop(deployment, "."))
        names = {*self._names.take_due(now), *(each.app.name for each in edited)}
        if names:
            self._deploys.changed(names)

    def _tell_of_trouble(self, trouble: str) -> None:
        if not self._has_logged_trouble:
            self._has_logged_trouble = True
            self._log.warn(
                "apps.polled",
                "the system does not report changed folders; looking at them every second",
                error=trouble,
            )

    # On a thread that may wait for the disk

    def _work(
        self,
        roots: Sequence[str | Path],
        before: Sight,
        files: dict[Deployment, Followed],
        followed: Sequence[Followed],
    ) -> _Found:
        begun_s = monotonic()
        sight = self._survey.take(roots)
        changed: dict[Deployment, str] = {}
        too_many: dict[Deployment, str] = {}
        for deployment, each in files.items():
            try:
                file = each.look()
            except TooManyFiles as exc:
                too_many[deployment] = str(exc)
                continue
            except OSError:  # no descriptors: try again with the next look
                continue
            if file:
                changed[deployment] = file
        is_watched, trouble = False, ""
        try:
            is_new = self._watch(sight, before, followed)
            is_watched = self._inotify is not None
        except OSError as exc:
            is_new, trouble = False, exc.strerror or str(exc)
        if is_new:  # nobody has reported what changed between the look and the watch
            sight = self._survey.take(roots)
        return _Found(sight, monotonic() - begun_s, changed, too_many, is_watched, trouble)

    def _watch(self, sight: Sight, before: Sight, followed: Sequence[Followed]) -> bool:
        """Have the kernel watch these folders; return whether there are new ones among them."""
        if self._inotify is None and not self._has_looked:
            self._inotify = self._open_watch()
        if self._inotify is None:
            return False
        wanted = sight.folders.union(*(each.folders for each in followed))
        self._inotify.keep_only(wanted)
        is_new = False
        again = sight.listed | sight.changed(before).keys()  # maybe others with that name
        for folder in wanted:
            if not self._inotify.has(folder):
                is_new = self._inotify.add(folder) or is_new
            elif folder in again:
                self._inotify.add(folder)
        return is_new
