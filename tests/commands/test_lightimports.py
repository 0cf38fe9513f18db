"""Modules that a start does without, and what stands in for them."""

import subprocess
import sys
from textwrap import dedent


def told(code: str) -> str:
    """What a fresh Python prints that has imported the command line's entry, as any start does."""
    program = "import buntime.__main__\nimport sys\n" + dedent(code)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_what_a_start_does_without() -> None:
    """Neither `inspect` nor `gettext` is loaded, also not as something else."""
    assert told("print([*{'inspect', 'gettext', 'ast', 'dis'} & {*sys.modules}])") == "[]\n"


def test_dataclasses_work_without_inspect() -> None:
    """Only the docstring of a class without one differs; whoever imports `inspect` gets it."""
    code = """
        from dataclasses import dataclass, replace

        @dataclass
        class Point:
            x: int

        @dataclass
        class Told:
            "A docstring."
            x: int

        import inspect
        import dataclasses
        print(replace(Point(1), x=2), Point.__doc__, Told.__doc__)
        print(inspect.signature(Point), dataclasses.inspect.isclass(Point))
    """
    assert told(code) == "Point(x=2) Point(...) A docstring.\n(x: int) -> None True\n"


def test_argparse_works_without_gettext() -> None:
    """Help and errors read as they do otherwise; whoever imports `gettext` gets it."""
    code = """
        import argparse
        import gettext

        parser = argparse.ArgumentParser("tool")
        parser.add_argument("--some", nargs=2, required=True)
        print(parser.format_usage(), gettext.find("none"))
        try:
            parser.parse_args(["--some", "1"])
        except SystemExit as exc:
            print(exc.code)
    """
    assert told(code) == "usage: tool [-h] --some SOME SOME\n None\n2\n"


def test_subprocess_works_without_locale() -> None:
    """Pipes are read as text as they are otherwise; whoever imports `locale` gets it."""
    code = """
        from buntime.commands.lightimports import import_subprocess
        import_subprocess()
        print("locale" in sys.modules)
        import subprocess
        done = subprocess.run([sys.executable, "-c", "print('ä')"], capture_output=True, text=True)
        import locale
        print(done.stdout.strip() == "ä", subprocess.locale.getencoding() == locale.getencoding())
    """
    assert told(code) == "False\nTrue True\n"


def test_h11_works_without_its_connection() -> None:
    """Fields are checked as ever, and whoever wants a connection gets one that works."""
    code = """
        import dataclasses, typing
        from buntime.commands.lightimports import import_h11
        import_h11()
        import h11
        print("h11._connection" in sys.modules, "h11._readers" in sys.modules)
        print(sys.modules["dataclasses"] is dataclasses, sys.modules["typing"] is typing)
        try:
            h11.Request(method=b"GET", target=b"/", headers=[(b"a b", b"c")], http_version=b"1.0")
        except h11.ProtocolError as exc:
            print(exc)
        request = h11.Request(method="GET", target="/", headers=[("Host", "x")])
        print(request.headers, hasattr(h11, "other"), hasattr(h11, "__path__"))
        from h11 import Connection
        client, server = Connection(h11.CLIENT), h11.Connection(h11.SERVER)
        server.receive_data(client.send(request) + client.send(h11.EndOfMessage()))
        print(server.next_event().headers, type(server.next_event()), server.next_event())
    """
    assert told(code).splitlines() == [
        "False False",
        "True True",
        "Illegal header name b'a b'",
        "<Headers([(b'host', b'x')])> False True",
        "<Headers([(b'host', b'x')])> <class 'h11._events.EndOfMessage'> NEED_DATA",
    ]


def test_the_names_of_h11_are_all_there() -> None:
    """Those of its connection, too."""
    code = """
        from buntime.commands.lightimports import import_h11
        import_h11()
        import h11
        print([name for name in h11.__all__ if getattr(h11, name, None) is None])
    """
    assert told(code) == "[]\n"


def test_websockets_work_with_it() -> None:
    """wsproto imports h11, too."""
    code = """
        from buntime.commands.lightimports import import_h11
        import_h11()
        import buntime.server.websocket.socketlink
    """
    assert told(code) == ""


def test_what_has_been_imported_stays() -> None:
    """A program that imported them before keeps all four as they are."""
    code = """
        import inspect, gettext, dataclasses, argparse
        from buntime.commands.lightimports import import_lightly
        import_lightly()
        print(sys.modules["inspect"] is inspect, sys.modules["gettext"] is gettext)
    """
    assert told(code) == "True True\n"
