"""`buntime access explain APP [PATH]`: why a request is let in, or is not; `access rules`."""

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_PASSES = {True: "yes", False: "no", None: "-"}


def parser() -> Parser:
    made = Parser(
        "buntime access explain APP [PATH] [--FLAG VALUE...] | rules",
        "Show which checks a request to an app goes through and what each of them decides, or "
        "whether a key has a right at the app. Exit code 1 if access is refused. `rules` "
        "lists the rules of the config file in their order.",
        examples=(
            "buntime access explain shop",
            "buntime access explain shop /admin --key forge",
            "buntime access explain shop --key forge --right apps:deploy",
            "buntime access explain shop /admin --user ann --roles admin",
            "buntime access rules",
        ),
    )
    made.add_words("WORD", "explain or rules; an app, and a path below its base")
    made.add_argument("--key", metavar="NAME", help="the key that the request carries [none]")
    made.add_argument("--user", metavar="NAME", help="the user who has signed in [nobody]")
    made.add_argument("--roles", metavar="A,B", help="the roles of that user")
    made.add_argument("--groups", metavar="A,B", help="the groups of that user")
    made.add_argument("--address", metavar="IP", help="where the request comes from [unknown]")
    made.add_argument("--method", metavar="METHOD", help="the method of the request [GET]")
    made.add_argument(
        "--right", metavar="RIGHT", help="check only whether the key has this right at the app"
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *rest = command.words or ("",)
    if action == "rules" and not rest:
        return _list_rules(command, mode)
    if action != "explain" or len(rest) not in (1, 2):
        raise UsageError("access needs rules, or explain APP [PATH] (see buntime access --help)")
    args = command.args
    answer = connect(command, mode).get(
        "/api/access/explain",
        app=rest[0],
        path=rest[1] if len(rest) > 1 else None,
        key=args["key"],
        method=args["method"],
        right=args["right"],
        **{name: args[name] for name in ("user", "roles", "groups", "address")},
    )
    if args["json"]:
        print_json(answer)
    else:
        rows = [(each["check"], _PASSES[each["passes"]], each["why"]) for each in answer["checks"]]
        print_rows(("CHECK", "PASSES", "WHY"), rows)
        say("let in" if answer["isLetIn"] else "not let in")
    return 0 if answer["isLetIn"] else 1


def _list_rules(command: Command, mode: Mode) -> int:
    rules = connect(command, mode).get("/api/access/rules")["rules"]
    if command.args["json"]:
        print_json({"rules": rules})
        return 0
    columns = ("who", "apps", "paths", "methods")
    rows = [
        (each["do"], *(", ".join(each.get(name, ["all"])) for name in columns), each["place"])
        for each in rules
    ]
    print_rows(("DO", *(name.upper() for name in columns), "WHERE"), rows)
    return 0
