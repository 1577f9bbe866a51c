"""The tasks of a user's own Celery applications are run as they are there."""

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, current_app

from jobs_app.celery_app import JobsCelery, make_celery
from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.tasks import registry, user_apps
from jobs_app.web import extension

OWN_APP = """
from celery import Celery, Task, shared_task

class WithContext(Task):
    def __call__(self, *args, **kwargs):
        return ["in context", self.run(*args, **kwargs)]

celery_app = Celery("theirs", task_cls=WithContext, broker="redis://nowhere.invalid")

@celery_app.task
def decorated(x: int) -> int:
    return x

@celery_app.task(name="named.otherwise", shared=False)
def named(x: int) -> int:
    return x

@shared_task
def shared(x: int) -> int:
    return x

class ByClass(Task):
    name = "theirs.by-class"

    def run(self, x: int) -> int:
        return x

celery_app.register_task(ByClass())
"""

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules that can be imported until the test is over."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(**modules: str) -> None:
        for name, text in modules.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            if path.parent != tmp_path:
                (path.parent / "__init__.py").touch()
            path.write_text(text)

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("user_module_"):
            del sys.modules[name]


def app_with(*modules: str) -> JobsCelery:
    """Return our application as a worker has it."""
    app = make_celery(Settings(imports=",".join(modules), redis_url="redis://127.0.0.1:1/0"))
    app.loader.import_default_modules()
    return app


def test_all_tasks_of_a_user_application_are_registered(write: Write) -> None:
    write(user_module_one=OWN_APP)

    names = registry.names(app_with("user_module_one"))

    assert {
        "user_module_one.decorated",
        "user_module_one.shared",
        "named.otherwise",
        "theirs.by-class",
        "shell",
    } <= set(names)


def test_a_user_task_keeps_its_application_and_its_base_class(write: Write) -> None:
    write(user_module_two=OWN_APP)

    app = app_with("user_module_two")

    for name in ("user_module_two.decorated", "user_module_two.shared", "named.otherwise"):
        assert app.tasks[name].app.main == "theirs"
        assert app.tasks[name](5) == ["in context", 5]


def test_the_application_in_a_flask_application_is_found(write: Write) -> None:
    write(
        user_module_flask="""
from celery import Celery, Task, shared_task
from flask import Flask, current_app, request

def create_app():
    app = Flask("shop")

    class FlaskTask(Task):
        def __call__(self, *args, **kwargs):
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery("shop", task_cls=FlaskTask, set_as_current=False)
    celery.set_default()
    app.extensions["celery"] = celery
    return app

app = create_app()

@shared_task
def in_context():
    return current_app.name
"""
    )

    app = app_with("user_module_flask")

    assert app.tasks["user_module_flask.in_context"]() == "shop"


@pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning")
def test_our_tasks_stay_ours_and_our_application_the_current_one(write: Write) -> None:
    write(
        user_module_three="from celery import Celery, Task\n"
        "app = Celery('theirs')\n"
        "app.set_default()\n"
        "class Shell(Task):\n"
        "    name = 'shell'\n"
        "    def run(self, command: int) -> None:\n"
        "        pass\n"
        "app.register_task(Shell())\n"
    )

    app = app_with("user_module_three")

    assert app.tasks["shell"].app is app
    assert type(app.tasks["shell"]).__module__ == "jobs_app.tasks.builtin.shell"
    with ThreadPoolExecutor() as threads:
        # Celery's proxy does not show it to type checkers.
        in_a_thread = threads.submit(current_app._get_current_object).result()  # type: ignore[attr-defined]
    # Celery's proxy does not show it to type checkers.
    assert current_app._get_current_object() is in_a_thread is app  # type: ignore[attr-defined]


def test_modules_that_a_user_application_includes_are_registered_too(write: Write) -> None:
    write(
        user_module_four__celery="from celery import Celery\n"
        "app = Celery('four', include=['user_module_four.jobs'])\n"
        "app.autodiscover_tasks(['user_module_four'])\n",
        user_module_four__jobs="from user_module_four.celery import app\n"
        "@app.task\n"
        "def included() -> None:\n"
        "    pass\n",
        user_module_four__tasks="from user_module_four.celery import app\n"
        "@app.task\n"
        "def discovered() -> None:\n"
        "    pass\n",
    )

    names = registry.names(app_with("user_module_four.celery"))

    assert {"user_module_four.jobs.included", "user_module_four.tasks.discovered"} <= set(names)


def test_an_application_is_found_through_a_task_of_it(write: Write) -> None:
    write(
        user_module_five_app="from celery import Celery\napp = Celery('five')\n",
        user_module_five="import user_module_five_app\n"
        "@user_module_five_app.app.task(shared=False)\n"
        "def through() -> None:\n"
        "    pass\n",
    )

    app = app_with("user_module_five")

    assert app.tasks["user_module_five.through"].app.main == "five"


def test_two_applications_keep_their_own_tasks(write: Write) -> None:
    module = (
        "from celery import Celery\napp = Celery('{0}')\n@app.task\ndef mine() -> None:\n    pass\n"
    )
    write(user_module_six=module.format("six"), user_module_seven=module.format("seven"))

    app = app_with("user_module_six", "user_module_seven")

    assert app.tasks["user_module_six.mine"].app.main == "six"
    assert app.tasks["user_module_seven.mine"].app.main == "seven"


def test_the_current_application_is_ours_and_is_not_loaded_again(write: Write) -> None:
    write(
        user_module_current="from celery import current_app, shared_task\n"
        "current_app.conf.beat_schedule = {}\n"
        "@shared_task\n"
        "def there() -> None:\n"
        "    pass\n"
    )

    app = app_with("user_module_current")

    assert app.tasks["user_module_current.there"].app is app


def test_an_object_that_raises_is_skipped(write: Write) -> None:
    write(
        user_module_eight="from celery import Celery\n"
        "class Lazy:\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        raise RuntimeError('not set up')\n"
        "lazy = Lazy()\n"
        "app = Celery('eight')\n"
        "@app.task(shared=False)\n"
        "def there() -> None:\n"
        "    pass\n"
    )

    assert "user_module_eight.there" in registry.names(app_with("user_module_eight"))


def test_a_failed_import_of_a_user_application_is_an_error_of_its_module(write: Write) -> None:
    write(
        user_module_nine="from celery import Celery\n"
        "app = Celery('nine', include=['user_module_nowhere'])\n"
        "@app.task(shared=False)\n"
        "def there() -> None:\n"
        "    pass\n"
    )

    with pytest.raises(user_apps.BrokenModule, match="user_module_nowhere"):
        user_apps.load("user_module_nine")


def test_the_web_process_knows_them_and_names_what_is_broken(write: Write) -> None:
    write(user_module_ten=OWN_APP, user_module_broken="raise ValueError('no')\n")
    settings = Settings(
        imports="user_module_broken,user_module_ten", redis_url="redis://127.0.0.1:1/0"
    )

    made = extension.make(settings)

    assert made.broken_imports == {"user_module_broken": "ValueError"}
    assert "theirs.by-class" in registry.names(made.app)


@pytest.mark.parametrize(
    "text, name",
    [
        ("import sys; sys.exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--x'])", "SystemExit"),
        ("import pytest; pytest.skip('not here', allow_module_level=True)", "Skipped"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import nosuchlibrary", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(write: Write, text: str, name: str) -> None:
    write(broken_module=text)

    with pytest.raises(user_apps.BrokenModule, match=f"'broken_module' of JOBS_IMPORTS .*{name}"):
        user_apps.load("broken_module")


def test_a_broken_module_leaves_the_tasks_of_the_others(write: Write) -> None:
    write(broken_module="raise SystemExit(0)", own=OWN_APP)

    app = make_celery(Settings(imports="broken_module,own", redis_url="redis://127.0.0.1:6379/0"))
    app.loader.import_default_modules()

    assert "own.decorated" in registry.names(app)
    assert "shell" in registry.names(app)


def test_readiness_names_a_module_that_ends_the_program(write: Write) -> None:
    write(broken_module="raise SystemExit(0)")

    made = extension.make(Settings(imports="broken_module", redis_url="redis://127.0.0.1:6379/0"))

    assert made.broken_imports == {"broken_module": "SystemExit"}


def test_the_periodic_tasks_of_a_users_application_are_named(tmp_path: Path) -> None:
    name = f"periodic_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(
        "from celery import Celery\n"
        "app = Celery('theirs', set_as_current=False)\n"
        "app.conf.beat_schedule = {'a': {'task': 't', 'schedule': 1.0}}\n"
        "@app.on_after_configure.connect\n"
        "def setup(sender, **_):\n"
        "    sender.add_periodic_task(2.0, t.s())\n"
        "@app.on_after_finalize.connect\n"
        "def setup_more(sender, **_):\n"
        "    sender.add_periodic_task(3.0, t.s('more'), name='more')\n"
        "@app.task\n"
        "def t(*_):\n"
        "    pass\n"
        "quiet = Celery('quiet', set_as_current=False)\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        user_apps.load(name)
        ignored = user_apps.ignored_schedules(app_with(), ["json", name])
    finally:
        sys.path.remove(str(tmp_path))

    assert ignored is not None
    assert sorted(ignored.names) == ["a", "more", f"{name}.t()"]
    assert (ignored.modules, ignored.waiting) == ([name], 0)


def test_functions_that_wait_for_the_current_application_are_counted(write: Write) -> None:
    write(
        user_module_waiting="from celery import current_app\n"
        "@current_app.on_after_finalize.connect\n"
        "def setup(sender, **_):\n"
        "    sender.add_periodic_task(2.0, None)\n"
    )
    app = app_with("user_module_waiting")

    ignored = user_apps.ignored_schedules(app, ["user_module_waiting"])
    assert ignored == user_apps.IgnoredSchedules([], ["user_module_waiting"], 1)


@pytest.mark.parametrize(
    "settings_text, kind",
    [("import user_module_nowhere", "ModuleNotFoundError"), ("raise SystemExit(3)", "SystemExit")],
)
def test_an_application_that_cannot_be_configured_spoils_its_own_tasks_only(
    write: Write, settings_text: str, kind: str
) -> None:
    name = f"user_module_{kind.lower()}"
    write(
        **{
            name: "from celery import Celery\n"
            "app = Celery('unconfigured', set_as_current=False)\n"
            f"app.config_from_object('{name}_settings')\n"
            "@app.task(shared=False)\n"
            "def mine():\n"
            "    pass\n",
            f"{name}_settings": settings_text,
            f"{name}_other": OWN_APP,
        }
    )
    modules = [name, f"{name}_other"]
    settings = Settings(imports=",".join(modules), redis_url="redis://127.0.0.1:1/0")

    made = extension.make(settings)

    assert made.broken_imports == {name: kind}
    assert f"{name}_other.shared" in registry.names(made.app)
    assert user_apps.ignored_schedules(made.app, modules) is None
    # Nor does a task that is declared later ask the application.
    write(**{f"{name}_later": "from celery import shared_task\n@shared_task\ndef t(): pass\n"})
    user_apps.load(f"{name}_later")


UNCONFIGURED = """
from celery import Celery, shared_task
app = Celery("unconfigured", set_as_current=False)
app.config_from_object("{0}_nowhere")
@shared_task
def mine():
    return "without the context of its application"
"""


def test_a_shared_task_of_a_broken_application_fails_with_its_name(write: Write) -> None:
    name = "user_module_no_context"
    write(**{name: UNCONFIGURED.format(name)})

    app = app_with(name)

    sentence = (
        f"The task '{name}.mine' cannot run. The application 'unconfigured' in the module '{name}'"
        f" of JOBS_IMPORTS cannot be loaded: ModuleNotFoundError: No module named '{name}_nowhere'."
    )
    with pytest.raises(user_apps.NotLoaded) as error:
        app.tasks[f"{name}.mine"]()
    assert str(error.value) == sentence
    assert registry.check(app, f"{name}.mine", {"x": 1}) == [
        FieldError("/task", "broken_task", sentence)
    ]
    assert registry.task_warnings(app, f"{name}.mine") == [sentence]
    described = next(task for task in registry.tasks(app) if task.name == f"{name}.mine")
    assert described.notes == [sentence]


def test_a_module_that_makes_errors_of_warnings_does_not_end_the_web_server(write: Write) -> None:
    name = "user_module_strict"
    write(**{name: "import warnings\nwarnings.simplefilter('error')\n"})
    before = list(warnings.filters)

    extension.make(Settings(imports=name, redis_url="redis://127.0.0.1:1/0"))

    assert warnings.filters == before


def test_a_task_that_is_gone_is_warned_of_with_the_error_of_its_module(write: Write) -> None:
    name = "user_module_gone"
    write(**{name: "raise ValueError('moved')"})

    app = app_with(name)

    sentence = f"The module '{name}' of JOBS_IMPORTS cannot be imported: ValueError: moved."
    assert registry.broken_modules(app) == [sentence]
    task = f"{name}.gone"
    assert registry.task_warnings(app, task) == [
        f"There is no task '{task}', so its runs fail. {sentence}"
    ]
    # Another module may be the one that imports it.
    assert registry.task_warnings(app, "x.gone") == [
        f"There is no task 'x.gone', so its runs fail. {sentence}"
    ]


def test_a_shared_task_beside_a_broken_application_keeps_its_own_one(write: Write) -> None:
    name = "user_module_beside"
    write(**{name: UNCONFIGURED.format(name), f"{name}_other": OWN_APP})

    app = app_with(name, f"{name}_other")

    assert isinstance(app.tasks[f"{name}.mine"], user_apps.BrokenTask)
    assert app.tasks[f"{name}_other.shared"].app.main == "theirs"
    assert app.tasks[f"{name}_other.shared"](5) == ["in context", 5]


def test_a_shared_task_in_the_package_of_a_broken_application_fails(write: Write) -> None:
    name = "user_module_parted"
    write(
        **{
            f"{name}__celery": UNCONFIGURED.format(name),
            f"{name}__tasks": "from celery import shared_task\n"
            "@shared_task\n"
            "def apart():\n"
            "    pass\n",
            f"{name}_other": OWN_APP,
        }
    )

    app = app_with(f"{name}_other", f"{name}.celery", f"{name}.tasks")

    assert isinstance(app.tasks[f"{name}.tasks.apart"], user_apps.BrokenTask)


def test_the_tasks_before_the_error_of_a_module_fail_too(write: Write) -> None:
    task = "from celery import shared_task\n@shared_task\ndef early():\n    pass\n"
    write(
        user_module_half=task + "raise ValueError('half')\n",
        user_module_whole=task,
    )

    app = app_with("user_module_half", "user_module_whole")

    with pytest.raises(user_apps.NotLoaded, match=r"'user_module_half' of JOBS_IMPORTS .*half"):
        app.tasks["user_module_half.early"]()
    assert app.tasks["user_module_whole.early"]() is None


def test_a_task_that_a_broken_module_never_declared_is_refused_with_the_error(
    write: Write,
) -> None:
    write(user_module_early="raise ValueError('early')\n")

    app = app_with("user_module_early")

    (fault,) = registry.check(app, "user_module_early.late", {})
    # Shared tasks of other tests may be suggested.
    assert fault.detail.startswith("There is no task 'user_module_early.late'.")
    assert fault.detail.endswith(
        "The module 'user_module_early' of JOBS_IMPORTS cannot be imported: ValueError: early."
    )
    assert user_apps.why_unknown(app_with(), "another.late") is None


def test_a_task_is_unknown_because_the_module_that_imports_its_own_one_is_broken(
    write: Write,
) -> None:
    write(
        user_module_shop__tasks="raise ValueError('half')",
        user_module_makes="import user_module_shop.tasks",
        user_module_other="raise KeyError('x')",
    )

    app = app_with("user_module_makes", "user_module_other")

    (fault,) = registry.check(app, "user_module_shop.tasks.added", {})
    makes = "The module 'user_module_makes' of JOBS_IMPORTS cannot be imported: ValueError: half."
    other = "The module 'user_module_other' of JOBS_IMPORTS cannot be imported: KeyError: 'x'."
    assert fault.detail.startswith("There is no task 'user_module_shop.tasks.added'.")
    assert fault.detail.endswith(f" {makes} {other}")
    assert registry.check(app, "shel", {})[0].detail.startswith(
        f"There is no task 'shel'. Did you mean 'shell'? {makes}"
    )


def test_the_tasks_of_an_application_that_includes_a_missing_module_fail(write: Write) -> None:
    write(
        user_module_including="from celery import Celery\n"
        "app = Celery('including', include=['user_module_missing'])\n"
        "@app.task(shared=False)\n"
        "def there():\n"
        "    pass\n"
    )

    app = app_with("user_module_including")

    with pytest.raises(user_apps.NotLoaded, match=r"'including' .* 'user_module_missing'"):
        app.tasks["user_module_including.there"]()


def test_a_shared_task_gets_the_application_of_its_package(write: Write) -> None:
    for name in ("user_module_shop", "user_module_bank"):
        write(
            **{
                f"{name}__celery": "from celery import Celery\n"
                f"app = Celery('{name}', include=['{name}.tasks'], set_as_current=False)\n",
                f"{name}__tasks": "from celery import shared_task\n"
                "@shared_task\n"
                "def mine():\n"
                "    pass\n",
            }
        )

    app = app_with("user_module_shop.celery", "user_module_bank.celery")

    assert app.tasks["user_module_shop.tasks.mine"].app.main == "user_module_shop"
    assert app.tasks["user_module_bank.tasks.mine"].app.main == "user_module_bank"


def test_a_task_that_no_application_can_have_breaks_its_own_one_only(write: Write) -> None:
    """Each application makes the tasks of all others when it is finalized."""
    broken = (
        "from celery import Celery\n"
        "app = Celery('broken', set_as_current=False)\n"
        "bad = app.task(name='user_module_lambda.bad')(lambda x=2: x)\n"
    )
    write(user_module_lambda=broken, user_module_after=OWN_APP)

    app: Any = app_with("user_module_lambda", "user_module_after")

    assert list(app.broken_modules) == ["user_module_lambda"]
    assert app.tasks["user_module_after.decorated"].app.main == "theirs"
    # Nor does it break one that is made later.
    Celery("later", set_as_current=False).finalize()


def test_a_shared_task_of_no_package_gets_the_application_that_imported_it(write: Write) -> None:
    first = "from celery import Celery\napp = Celery('first', set_as_current=False)\n"
    second = (
        "from celery import Celery\n"
        "app = Celery('second', include=['user_module_orders'], set_as_current=False)\n"
    )
    orders = "from celery import shared_task\n@shared_task\ndef ship(): pass\n"
    write(user_module_first=first, user_module_second=second, user_module_orders=orders)

    app = app_with("user_module_first", "user_module_second")

    assert app.tasks["user_module_orders.ship"].app.main == "second"
