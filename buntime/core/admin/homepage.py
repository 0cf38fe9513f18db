"""The page at `/` in development, without a control panel: which apps there are, and their state.

It works in browsers without scripts and is one file of a few KB. All texts come from folders and
apps, and are escaped.
"""

from collections.abc import Callable, Sequence

from buntime.core.values.tuples import NamedTuple

ROWS_MAX = 200  # apps shown; a command lists the others
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_FAULT_MAX_CHARS = 2000

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Buntime</title>
<style>
:root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:48rem;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0}}
th,td{{border-bottom:1px solid #8884}}
pre{{margin:.3rem 0 0;white-space:pre-wrap;overflow-wrap:anywhere}}
small{{opacity:.7}}
.faulty{{color:#c22}}
</style></head><body>
<h1>Buntime</h1>
{content}
<p>docs/apps.md says what apps can be, docs/manifest.md has their keys, and all pages are listed in
docs/README.md. What this runtime does now: <code>buntime status</code> and
<code>buntime logs -f</code>.
<p>The control panel would be here: <code>buntime plugins enable cpanel</code>.
<p><small>Buntime {version}, in development. Only browsers on this machine get this page.</small>
</body></html>
"""


class AppRow(NamedTuple):
    """An app as the page shows it. `url` is "" where the app is only at hosts of its own."""

    name: str
    url: str
    versions: Sequence[str]
    status: str
    fault: str = ""


def render_home(
    rows: Sequence[AppRow], *, more: int, folders: Sequence[str], version: str
) -> bytes:
    """The page. `more` apps are not among the rows; `folders` are where apps are looked for."""
    from html import escape  # loads the table of all entities, a quarter of a bare start

    if rows:
        head = "<tr><th>App<th>Versions<th>State</tr>"
        content = f"<table>{head}{''.join(_row(row, escape) for row in rows)}</table>"
        if more:
            content += f"<p>and {more} more: <code>buntime list</code>"
    else:
        place = folders[0] if folders else "apps"
        content = (
            f"<p>There is no app yet in {escape(', '.join(folders) or 'any folder')}. Write "
            f"one:<pre>buntime new {escape(place)}/hello</pre><p>Then load this page again."
        )
    return _PAGE.format(content=content, version=escape(version)).encode("utf-8", "replace")


def _row(row: AppRow, escape: Callable[[str], str]) -> str:
    name = escape(row.name)
    shown = f'<a href="{escape(row.url)}">{name}</a>' if row.url else name
    state = escape(row.status)
    if row.fault:
        state = (
            f'<span class="faulty">at fault</span><pre>{escape(row.fault[:_FAULT_MAX_CHARS])}</pre>'
        )
    return f"<tr><td>{shown}<td>{escape(', '.join(row.versions))}<td>{state}</tr>"
