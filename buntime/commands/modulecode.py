"""Keeps the code of our modules in one file, so that a start reads that instead of 500 others.

    __pycache__/modules.cpython-311.bin
        the length of an index, the index, the code of each module, the code of a server

Finding, comparing and reading .pyc files took a fifth of a start. Like them, this is a cache beside
the package, and trusted in the same way: a module's code is used if its source has the time of
change and the size that the code was made from. A module that has changed is imported as usual.
Once all that a server needs is imported, and some of it came from elsewhere, the file is written
again, from .pyc files. Where it cannot be written, all goes on without.

Modules of the standard library are included, where they are files of Python's own folder. Packages
that we need are not: which of them is found depends on sys.path.

What only a server imports is in the file twice: the second time as one piece, in which a name that
many modules use stands once, and in the order in which the modules were complete, so that one loop
can run them all. Finding and running a module then takes 25,000 instructions and not 120,000, and
reading its code a third less.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from _frozen_importlib import ModuleSpec  # importlib.machinery would load more
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source

TYPE_CHECKING = False  # importing `typing` and others is cheaper once they are found by the file
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, ModuleType
else:
    ModuleType = type(sys)

_LENGTH_BYTES = 8  # of the index, at the beginning of the file
_PYC_HEAD_BYTES = 16  # magic number, flags, seconds of change, size; see PEP 552
_MODE = 0o644  # whatever the umask is, nobody else may write what this process runs
_SETTLED_S = 2.0  # from a source's change until no other change can have the same second
# Modules of Windows and of Jython, which the standard library tries to import: looking for them in
# each folder took 2 million instructions of a start.
_OF_OTHER_SYSTEMS = frozenset(("_winapi", "msvcrt", "nt", "org"))
_CODE = type((lambda: None).__code__)

# (source, .pyc, is it a package, ns of change, size)
_Module = tuple[str, str, bool, int, int]


class ModuleCode:
    """Finds a package's modules in its file, for sys.meta_path."""

    def __init__(self, package: str, folder: str, library: str = "") -> None:
        """`folder` is the package's, absolute, and `library` that of the standard library, if that
        is to be included. The file need not exist."""
        self._package = package
        self._folder = folder
        self._library = library
        self._path = cache_from_source(f"{folder}/modules.py").removesuffix(".pyc") + ".bin"
        self._file = -1
        # Each with the offset and length of its code.
        self._modules: dict[str, tuple[_Module, int, int]] = {}
        # What only a server imports, in the order in which it can run: names, and where their code
        # is.
        self._together: tuple[list[str], int, int] = [], 0, 0
        self._before: frozenset[str] | None = None  # what was imported when a server asked for that
        self._state = _state_of(self._path)
        self._is_incomplete = False
        try:
            self._open()
        except (OSError, EOFError, ValueError, TypeError, OverflowError):  # none, or damaged
            self._is_incomplete = True

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module as it is in the file; None, and others look, if it is not there or changed."""
        if name not in self._modules:
            if name in _OF_OTHER_SYSTEMS:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            self._is_incomplete |= self._is_ours(name)
            return None
        (source, cached, is_package, *stamp), offset, length = self._modules[name]
        if _stamp_of(source) != stamp:
            self._is_incomplete = True
            return None
        loader = _Loader(name, source)
        loader.where = (offset, length)
        loader.finder = self
        spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
        spec.has_location = True
        spec.cached = cached
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def code_at(self, offset: int, length: int) -> CodeType | None:
        """A module's code; None if the file is damaged there."""
        try:
            code = marshal.loads(os.pread(self._file, length, offset))
        except (OSError, EOFError, ValueError, TypeError):
            code = None
        if isinstance(code, _CODE):
            return code
        self._is_incomplete = True
        return None

    def import_together(self) -> None:
        """Import what only a server needs: what was imported after this when the file was written.

        If any of it has changed, others may be needed: then `import` works as ever, and so `keep`
        finds out what that is.
        """
        self._before = frozenset(sys.modules)
        names, offset, length = self._together
        if not names:
            return
        try:
            codes = marshal.loads(os.pread(self._file, length, offset))
        except (OSError, EOFError, ValueError, TypeError):  # damaged
            self._is_incomplete = True
            return
        specs = [spec for name in names if (spec := self.find_spec(name)) is not None]
        if len(specs) < len(names):
            self._together = [], 0, 0
            return
        with _QuickLookups():
            for spec, code in zip(specs, codes, strict=True):
                parent = spec.name.rpartition(".")[0]
                if spec.name not in sys.modules and (not parent or parent in sys.modules):
                    _run(spec, code)

    def keep(self) -> None:
        """Write the file again if it lacks a module that this process has imported.

        Another process may have written it since this one began: then that file stays.
        """
        apart = self._later().difference(self._together[0])
        self._is_incomplete |= any(map(self._is_ours, apart))
        if not self._is_incomplete or sys.dont_write_bytecode:
            return
        if _state_of(self._path) != self._state:
            return
        modules, codes, offset = {}, [], 0
        for name, module, code in self._known():
            modules[name] = (module, offset, len(code))
            codes.append(code)
            offset += len(code)
        # A module comes to the end of sys.modules once it is complete. What another process had
        # imported later than this one stays in the piece.
        later = modules.keys() & {*self._later(), *self._together[0]}
        names = [name for name in sys.modules if name in later]
        code_of = dict(zip(modules, codes, strict=True))
        piece = marshal.dumps([marshal.loads(code_of[name]) for name in names]) if names else b""
        head = marshal.dumps((self._key(), modules, (names, offset, len(piece))))
        fresh = f"{self._path}-{os.getpid()}"
        try:
            made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with open(made, "wb") as file:
                file.write(
                    len(head).to_bytes(_LENGTH_BYTES, "little") + head + b"".join(codes) + piece
                )
            os.replace(fresh, self._path)
            self._is_incomplete = False
        except OSError:  # not ours to write, or no room: as with a .pyc
            try:  # contextlib is imported later
                os.unlink(fresh)
            except OSError:
                pass

    def close(self) -> None:
        """Nothing is found any more."""
        self._modules = {}
        self._together = [], 0, 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        length = int.from_bytes(os.read(self._file, _LENGTH_BYTES), "little")
        if length > os.fstat(self._file).st_size:
            raise EOFError("the file is cut short")
        key, modules, together = marshal.loads(os.pread(self._file, length, _LENGTH_BYTES))
        if key != self._key():
            raise ValueError("the file is of another folder or Python")
        begin = _LENGTH_BYTES + length
        names, offset, size = together
        self._together = names, begin + offset, size
        self._modules = {
            name: (module, begin + offset, length)
            for name, (module, offset, length) in modules.items()
        }

    def _later(self) -> set[str]:
        """What this process has imported since a server asked for what it needs."""
        return set() if self._before is None else sys.modules.keys() - self._before

    def _key(self) -> tuple[str, str, bytes]:
        return self._folder, self._library, MAGIC_NUMBER

    def _known(self) -> Iterator[tuple[str, _Module, bytes]]:
        """The modules that have a .pyc of their present source: those that this process has
        imported, and those of the file."""
        files = {name: module[:3] for name, (module, _, _) in self._modules.items()}
        for name, module in tuple(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            if spec is None or spec.name != name or not spec.origin or not spec.cached:
                continue
            if self._is_ours(name) or self._is_of_library(name, spec.origin):
                is_package = spec.submodule_search_locations is not None
                files[name] = (spec.origin, spec.cached, is_package)
        for name, (source, cached, is_package) in files.items():
            try:
                changed_ns, size = _stamp_of(source)
                with open(cached, "rb") as file:
                    head, code = file.read(_PYC_HEAD_BYTES), file.read()
            except (OSError, ValueError):  # one of the two is gone
                continue
            if head == _head(changed_ns, size) and time.time() - changed_ns / 1e9 >= _SETTLED_S:
                yield name, (source, cached, is_package, changed_ns, size), code

    def _is_ours(self, module: str) -> bool:
        return module == self._package or module.startswith(f"{self._package}.")

    def _is_of_library(self, module: str, source: str) -> bool:
        """Whether it is a file of the folder itself, not of one with packages in it."""
        stem = f"{self._library}/{module.replace('.', '/')}"
        return bool(self._library) and source in (f"{stem}.py", f"{stem}/__init__.py")


class _Loader(SourceFileLoader):
    """Loads a module from the file; for everything else, it is like a loader of its source."""

    finder: ModuleCode
    where: tuple[int, int]  # the offset and length of its code

    def get_code(self, fullname: str) -> CodeType | None:
        """Its code; from the .pyc or the source if the file is damaged."""
        return self.finder.code_at(*self.where) or super().get_code(fullname)


class _QuickLookups:
    """While this is entered, modules have a class that looks up attributes as objects do.

    `from x import y` asks each time whether x is a package, that is, whether it has a `__path__`.
    Until Python 3.12 a module that has none makes an error for that, with its message, which took
    30 of the 520 million instructions of a start.
    """

    def __enter__(self) -> None:
        if sys.version_info < (3, 12):
            for module in tuple(sys.modules.values()):
                # importlib and `types` know the class of modules as that of `sys`.
                is_plain = type(module) is ModuleType and "__getattr__" not in module.__dict__
                if is_plain and module is not sys:
                    module.__class__ = _QuickModule

    def __exit__(self, *_: object) -> None:
        for module in tuple(sys.modules.values()):
            if type(module) is _QuickModule:
                module.__class__ = ModuleType  # type: ignore[assignment]  # it is narrowed to ours


class _QuickModule(ModuleType):
    __getattribute__ = object.__getattribute__


def _run(spec: ModuleSpec, code: CodeType) -> None:
    """As importlib creates a module and runs it, in a tenth of the time: here, all that it finds
    out about the module and its loader is known."""
    module = ModuleType(spec.name)
    if sys.version_info < (3, 12):
        module.__class__ = _QuickModule
    known = module.__dict__
    known["__file__"] = spec.origin
    known["__cached__"] = spec.cached
    known["__package__"] = spec.parent
    known["__loader__"] = spec.loader
    known["__spec__"] = spec
    if spec.submodule_search_locations is not None:
        known["__path__"] = spec.submodule_search_locations
    sys.modules[spec.name] = module
    try:
        exec(code, known)
    finally:
        del sys.modules[spec.name]
    sys.modules[spec.name] = module  # behind those that it needs, as importlib does it
    if "__getattr__" in known:
        module.__class__ = ModuleType
    parent, _, name = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)


def _stamp_of(source: str) -> list[int]:
    """[ns of change, size], empty if there is no such file."""
    try:
        state = os.stat(source)
    except OSError:
        return []
    return [state.st_mtime_ns, state.st_size]


def _state_of(path: str) -> tuple[int, int] | None:
    """What changes when the file is written again."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns


def _head(changed_ns: int, size: int) -> bytes:
    """The head of a .pyc that was made from a source of this time of change and size."""
    numbers = (changed_ns // 1_000_000_000, size)
    return (
        MAGIC_NUMBER
        + bytes(4)
        + b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
    )


def find_by_file() -> None:
    """From now on, find our modules in the file of this Python."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = os.path.dirname(os.__file__)
    sys.meta_path.insert(0, ModuleCode("buntime", folder, library))


def import_together() -> None:
    """Import what only a server needs, as far as the file has it."""
    for finder in _finders():
        finder.import_together()


def keep_file() -> None:
    """End what `find_by_file` began, and write the file again if it lacked some of our modules.

    The few that are imported later are found as usual, so the file need not stay open.
    """
    for finder in _finders():
        finder.keep()
        finder.close()
        sys.meta_path.remove(finder)


def _finders() -> list[ModuleCode]:
    return [each for each in sys.meta_path if isinstance(each, ModuleCode)]
