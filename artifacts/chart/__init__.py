"""Writes the parts of the Helm chart that come from tables: values, their schema, questions, the
page.

    rows.py           a row of the table of values, and kinds of values
    ownvalues.py      the rows of the chart's own; netvalues.py: more of them
    settingvalues.py  rows of the runtime's settings, and those that the chart decides
    pluginvalues.py   rows of the plugins' options
    writing.py        rows to text: values.yaml, questions.yaml, README.md
    schema.py         rows to values.schema.json
    files.py          all files; which of them are stale

Templates are written by hand.
"""
