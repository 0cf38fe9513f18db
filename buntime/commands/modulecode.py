"""Keeps the code of our modules in one file, so that a start reads that instead of 400 others.

    __pycache__/modules.cpython-311.bin   the length of an index, the index, the code of each module

Finding, comparing and reading .pyc files took a tenth of a start. Like them, this is a cache beside
the package, and trusted in the same way: a module's code is used if its source has the time of
change and the size that the code was made from. A module that has changed is imported as usual.
Once all that a server needs is imported, and some of it came from elsewhere, the file is written
again, from .pyc files. Where it cannot be written, all goes on without.

Packages that we need are not included: which of them is found depends on sys.path.
"""

import contextlib
import marshal
import os
import sys
import time
from _frozen_importlib import ModuleSpec  # importlib.machinery would load more
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source
from collections.abc import Iterator
from types import CodeType

_LENGTH_BYTES = 8  # of the index, at the beginning of the file
_PYC_HEAD_BYTES = 16  # magic number, flags, seconds of change, size; see PEP 552
_MODE = 0o644  # whatever the umask is, nobody else may write what this process runs
_SETTLED_S = 2.0  # from a source's change until no other change can have the same second

# (source, .pyc, is it a package, ns of change, size)
_Module = tuple[str, str, bool, int, int]


class ModuleCode:
    """Finds a package's modules in its file, for sys.meta_path."""

    def __init__(self, package: str, folder: str) -> None:
        """`folder` is the package's, absolute. The file need not exist."""
        self._package = package
        self._folder = folder
        self._path = cache_from_source(f"{folder}/modules.py").removesuffix(".pyc") + ".bin"
        self._file = -1
        # Each with the offset and length of its code.
        self._modules: dict[str, tuple[_Module, int, int]] = {}
        self._state = _state_of(self._path)
        self._is_incomplete = False
        try:
            self._open()
        except (OSError, EOFError, ValueError, TypeError, OverflowError):  # none, or damaged
            self._is_incomplete = True

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module as it is in the file; None, and others look, if it is not there or changed."""
        if name not in self._modules:
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
        if isinstance(code, CodeType):
            return code
        self._is_incomplete = True
        return None

    def keep(self) -> None:
        """Write the file again if it lacks a module that this process has imported.

        Another process may have written it since this one began: then that file stays.
        """
        if not self._is_incomplete or sys.dont_write_bytecode:
            return
        if _state_of(self._path) != self._state:
            return
        modules, codes, offset = {}, [], 0
        for name, module, code in self._known():
            modules[name] = (module, offset, len(code))
            codes.append(code)
            offset += len(code)
        head = marshal.dumps((self._folder, MAGIC_NUMBER, modules))
        fresh = f"{self._path}-{os.getpid()}"
        try:
            made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with open(made, "wb") as file:
                file.write(len(head).to_bytes(_LENGTH_BYTES, "little") + head + b"".join(codes))
            os.replace(fresh, self._path)
            self._is_incomplete = False
        except OSError:  # not ours to write, or no room: as with a .pyc
            with contextlib.suppress(OSError):
                os.unlink(fresh)

    def close(self) -> None:
        """Nothing is found any more."""
        self._modules = {}
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        length = int.from_bytes(os.read(self._file, _LENGTH_BYTES), "little")
        if length > os.fstat(self._file).st_size:
            raise EOFError("the file is cut short")
        folder, magic, modules = marshal.loads(os.pread(self._file, length, _LENGTH_BYTES))
        if (folder, magic) != (self._folder, MAGIC_NUMBER):
            raise ValueError("the file is of another folder or Python")
        begin = _LENGTH_BYTES + length
        self._modules = {
            name: (module, begin + offset, length)
            for name, (module, offset, length) in modules.items()
        }

    def _known(self) -> Iterator[tuple[str, _Module, bytes]]:
        """The package's modules that have a .pyc of their present source: those that this process
        has imported, and those of the file."""
        files = {name: module[:3] for name, (module, _, _) in self._modules.items()}
        for name in filter(self._is_ours, tuple(sys.modules)):
            spec = sys.modules[name].__spec__
            if spec is not None and spec.origin and spec.cached:
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


class _Loader(SourceFileLoader):
    """Loads a module from the file; for everything else, it is like a loader of its source."""

    finder: ModuleCode
    where: tuple[int, int]  # the offset and length of its code

    def get_code(self, fullname: str) -> CodeType | None:
        """Its code; from the .pyc or the source if the file is damaged."""
        return self.finder.code_at(*self.where) or super().get_code(fullname)


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
    sys.meta_path.insert(0, ModuleCode("buntime", folder))


def keep_file() -> None:
    """End what `find_by_file` began, and write the file again if it lacked some of our modules.

    The few that are imported later are found as usual, so the file need not stay open.
    """
    for finder in [each for each in sys.meta_path if isinstance(each, ModuleCode)]:
        finder.keep()
        finder.close()
        sys.meta_path.remove(finder)
