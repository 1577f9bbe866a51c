"""The pages of the site that are made of the code: commands, routes, error codes, metrics."""

import ast
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import jobs_app
from jobs_app.cli import cli
from jobs_app.core import clock, errors
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.web.api.openapi import INFO
from jobs_app.web.api.problems import HTTP_CODES, STATUSES
from jobs_app.web.app import create_app
from jobs_app.web.metric_families import PREFIX, families

PAGES = ("commands.md", "routes.md", "errors.md", "metrics.md")
OPENAPI = "openapi.json"

Json = dict[str, Any]

_PACKAGE = Path(jobs_app.__file__).parent
#: Where errors are made that no answer of the API has: by other processes, or for pages.
_ELSEWHERE = (
    *("cli/", "up/", "scheduler/", "tasks/builtin/", "accounts/passwords.py", "db/backup"),
    "db/migrations.py",
    *("web/pages/", "web/page_auth.py", "web/csrf.py", "web/server.py"),
)
_ELSEWHERE_MODULES = [f"{_PACKAGE.name}/{name.removesuffix('.py')}" for name in _ELSEWHERE]


def files() -> dict[str, str]:
    """Return the text of each file by its name: the PAGES, and the OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        database_url = f"sqlite:///{folder}/jobs.db"
        # Nobody calls this Redis.
        settings = Settings(
            data_dir=Path(folder), database_url=database_url, redis_url="redis://127.0.0.1"
        )
        migrate(settings)
        document = openapi_document(settings)
        texts = (commands(), routes(document), error_codes(), metrics(settings))
    return dict(zip(PAGES, texts, strict=True)) | {OPENAPI: json.dumps(document, indent=1)}


def commands() -> str:
    """Return a page with the help of each command, as `--help` prints it."""
    parts = ["# All commands", "What `--help` prints. [cli.md](../docs/cli.md) is an overview."]
    for name, ctx in _contexts(click.Context(cli, info_name="jobs-app", max_content_width=100)):
        parts += [f"## {name}", f"```text\n{ctx.command.get_help(ctx)}\n```"]
    return "\n\n".join(parts) + "\n"


def _contexts(ctx: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Yield each command below that of *ctx*, groups before their commands."""
    yield ctx.command_path, ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            inner = click.Context(command, parent=ctx, info_name=name, max_content_width=100)
            yield from _contexts(inner)


def openapi_document(settings: Settings) -> Json:
    """Return the OpenAPI document of the web application."""
    app = create_app(settings)
    with app.test_request_context("/api/v1/openapi.json"):
        # Flask's type of a view has answers of asyncio, too.
        answer: Any = app.view_functions["openapi_document.openapi_json"]()
        document: Json = json.loads(answer.get_data())
    return document


def routes(document: Json) -> str:
    """Return a page with each operation of an OpenAPI document, by tag."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["others"])[0]
            by_tag[tag].append(_operation(method, path, operation, document))
    parts = [
        "# All routes",
        f"Version {INFO.version}, from the [OpenAPI document]({OPENAPI}). An installation has it at"
        " `/api/v1/openapi.json`, and shows it at `/api/docs`. [api.md](../docs/api.md) has the"
        " rules that all routes share.",
    ]
    for tag, operations in by_tag.items():
        parts += [f"## {tag}", *operations]
    return "\n\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: Json, document: Json) -> str:
    parts = [f"### {method.upper()} {path}".replace("<", "{").replace(">", "}")]
    parts += [text for key in ("summary", "description") if (text := operation.get(key))]
    if parameters := [_resolved(item, document) for item in operation.get("parameters", ())]:
        rows = [
            (f"`{item['name']}`", item["in"], _type(item["schema"]), _description(item))
            for item in parameters
        ]
        parts.append(_table(("parameter", "in", "type", ""), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"**Body** (`{media}`)")
        parts.append(_fields(_resolved(content["schema"], document)))
    answers = operation.get("responses", {}).items()
    parts.append(
        _table(
            ("answer", ""),
            [
                (f"`{status}`", _resolved(answer, document)["description"])
                for status, answer in answers
            ],
        )
    )
    return "\n\n".join(parts)


def _fields(schema: Json) -> str:
    """Return a table of the fields of a body, or the type of one that is no object."""
    properties = schema.get("properties", {})
    if not properties:
        return _type(schema)
    needed = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            _type(field),
            "needed" if name in needed else _default(field),
            _description(field),
        )
        for name, field in properties.items()
    ]
    return _table(("field", "type", "default", ""), rows)


def _type(schema: Json) -> str:
    """Return the type of a value in a few words, the names of its choices included."""
    if reference := schema.get("$ref"):
        return str(reference).rpartition("/")[2]
    if choices := schema.get("enum"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if "const" in schema:
        return f"`{schema['const']}`"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(part) for part in schema[key]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{text} ({schema['format']})" if "format" in schema else text


def _default(schema: Json) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _description(item: Json) -> str:
    text = item.get("description") or item.get("schema", {}).get("description") or ""
    return " ".join(str(text).split())


def _resolved(item: Json, document: Json) -> Json:
    """Return what a `$ref` means; anything else as it is."""
    while reference := item.get("$ref"):
        value: Any = document
        for name in str(reference).removeprefix("#/").split("/"):
            value = value[name]
        item = value
    return item


def error_codes() -> str:
    """Return a page with each code that an answer of the API may have."""
    parts = [
        "# All error codes",
        "An error is `application/problem+json`, and its `code` is stable."
        " [api.md](../docs/api.md#errors) has the rest of its shape.",
        _table(
            ("status", "code"),
            [
                (f"{status}", f"`{code}`")
                for status, codes in codes_by_status().items()
                for code in codes
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def codes_by_status() -> dict[int, list[str]]:
    """Return the codes of the problems that the API answers with, by their HTTP status.

    They are those of the errors of HTTP itself, and of each place that makes an error: its own
    code, else that of its class.
    """
    classes = {
        error.__name__: error
        for error in _subclasses(errors.JobsError)
        # Whether somebody has imported such a module must not matter.
        if not error.__module__.replace(".", "/").startswith(tuple(_ELSEWHERE_MODULES))
    }
    # No request fails because of Redis: see web/redis_notifier.py.
    del classes[errors.BrokerUnavailable.__name__]
    codes: dict[int, set[str]] = defaultdict(set)
    for status, (code, _) in HTTP_CODES.items():
        codes[status].add(code)
    for path in sorted(_PACKAGE.rglob("*.py")):
        if path.relative_to(_PACKAGE).as_posix().startswith(_ELSEWHERE):
            continue
        for name, call, code in _coded_calls(path.read_text(), {*classes, "problem"}):
            if name in classes:
                codes[_status(classes[name])].add(code or classes[name].code)
            elif code:
                codes[int(ast.literal_eval(call.args[0]))].add(code)
    return {status: sorted(codes[status]) for status in sorted(codes)}


def _coded_calls(text: str, names: set[str]) -> Iterator[tuple[str, ast.Call, str]]:
    """Yield each call in a module of one of *names*, with its name and its `code` ("": none).

    A code that is known only when it runs is that of another error: such a call is left out.
    """
    if not re.search(rf"\b(?:{'|'.join(names)})\(", text):
        return
    constants = dict(re.findall(r'^(\w+) = "(\w+)"$', text, flags=re.MULTILINE))
    for call in ast.walk(ast.parse(text)):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        code = next((word.value for word in call.keywords if word.arg == "code"), ast.Constant(""))
        value = constants.get(code.id) if isinstance(code, ast.Name) else None
        if isinstance(code, ast.Constant):
            value = str(code.value)
        if name in names and value is not None:
            yield name, call, value


def _subclasses(error: type[errors.JobsError]) -> Iterator[type[errors.JobsError]]:
    for inner in error.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _status(error: type[errors.JobsError]) -> int:
    return next((STATUSES[base] for base in error.__mro__ if base in STATUSES), 500)


def metrics(settings: Settings) -> str:
    """Return a page with each metric, as `/metrics` describes it."""
    database = Database(settings.effective_database_url)
    with database.reading() as session:
        rows = [
            (
                f"`{PREFIX}{family.name}{'_total' if family.kind == 'counter' else ''}`",
                family.kind,
                ", ".join(f"`{label}`" for label in family.labels),
                family.help,
            )
            for family in families(session, at=clock.now())
        ]
    database.close()
    parts = [
        "# All metrics",
        "[observing.md](../docs/observing.md) has a dashboard and alerts for them.",
        _table(("metric", "type", "labels", "meaning"), rows),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )
