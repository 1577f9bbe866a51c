"""What the code of a task declares is a default of its jobs; what is not followed is said."""

from typing import Any

import pytest
from celery import Celery, Task
from kombu import Queue

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.tasks.declarations import Declaration, declaration_of

# Celery warns of options that people still use.
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")


def an_app(**conf: Any) -> Celery:
    app = Celery("tests.declarations", set_as_current=False)
    app.conf.update(conf)
    return app


def a_task(app: Celery, **options: Any) -> Task[Any, Any]:
    @app.task(shared=False, name="shop.import", **options)
    def shop_import() -> None:
        """Import."""

    app.finalize()
    return app.tasks["shop.import"]


@pytest.mark.parametrize(
    "options, fields",
    [
        ({}, {}),
        (
            {"time_limit": 3, "soft_time_limit": 2, "queue": "slow", "priority": 9},
            {
                "time_limit_seconds": 3,
                "soft_time_limit_seconds": 2,
                "queue": "slow",
                "priority": 9,
            },
        ),
        ({"time_limit": 2.5}, {"time_limit_seconds": 3}),
        ({"queue": Queue("slow")}, {"queue": "slow"}),
        ({"priority": 0}, {"priority": 0}),
    ],
)
def test_a_decorator_declares_fields(options: dict[str, Any], fields: dict[str, Any]) -> None:
    assert declaration_of(a_task(an_app(), **options)) == Declaration(fields)


@pytest.mark.parametrize(
    "conf, fields",
    [
        ({"task_time_limit": 5}, {"time_limit_seconds": 5}),
        ({"task_soft_time_limit": 4}, {"soft_time_limit_seconds": 4}),
        ({"task_routes": {"shop.*": {"queue": "shop"}}}, {"queue": "shop"}),
        (
            {"task_routes": ([("shop.*", {"queue": "shop", "priority": 2})],)},
            {"queue": "shop", "priority": 2},
        ),
        ({"task_routes": {"other.*": {"queue": "shop"}}}, {}),
        ({"task_routes": lambda *_, **__: "shop"}, {"queue": "shop"}),
        ({"task_default_priority": 3}, {"priority": 3}),
        ({"task_annotations": {"shop.import": {"time_limit": 7}}}, {"time_limit_seconds": 7}),
    ],
)
def test_an_application_declares_fields(conf: dict[str, Any], fields: dict[str, Any]) -> None:
    assert declaration_of(a_task(an_app(**conf))).fields == fields


def test_a_decorator_counts_before_its_application() -> None:
    app = an_app(task_time_limit=5, task_routes={"*": {"queue": "all"}})

    assert declaration_of(a_task(app, time_limit=3, queue="slow")).fields == {
        "time_limit_seconds": 3,
        "queue": "slow",
    }


def test_the_time_zone_of_an_application_is_declared() -> None:
    assert declaration_of(a_task(an_app(timezone="Europe/Paris"))).timezone == "Europe/Paris"
    assert declaration_of(a_task(an_app())).timezone is None


def test_our_own_application_declares_nothing() -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0")

    assert declaration_of(a_task(make_celery(settings))) == Declaration()
    assert declaration_of(a_task(make_celery(settings), priority=7)).fields == {"priority": 7}


def test_an_eager_application_is_named_in_a_warning() -> None:
    [warning] = declaration_of(a_task(an_app(task_always_eager=True))).warnings

    assert "sets task_always_eager" in warning
    assert declaration_of(a_task(an_app())).warnings == ()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"rate_limit": "1/m"}, "declares rate_limit='1/m', which runs do not follow."),
        ({"acks_late": True}, "declares acks_late=True, which runs do not follow."),
        ({"expires": 60}, "declares expires=60, which runs do not follow."),
        ({"routing_key": "a.b"}, "declares routing_key='a.b', which runs do not follow."),
        ({"time_limit": 0}, "declares time_limit=0, which no job takes."),
        ({"soft_time_limit": float("inf")}, "declares soft_time_limit=inf, which no job takes."),
        ({"priority": 255}, "declares priority=255, which no job takes."),
        ({"queue": 5}, "declares queue=5, which no job takes."),
    ],
)
def test_what_is_not_followed_is_said(options: dict[str, Any], sentence: str) -> None:
    declaration = declaration_of(a_task(an_app(), **options))

    assert not declaration.fields
    assert len(declaration.warnings) == 1
    assert sentence in declaration.warnings[0]


@pytest.mark.parametrize(
    "conf", [{"timezone": "Mars/Olympus"}, {"task_routes": lambda *_, **__: 1 / 0}]
)
def test_an_application_that_cannot_be_read_declares_nothing(conf: dict[str, Any]) -> None:
    assert declaration_of(a_task(an_app(**conf), time_limit=3)) == Declaration()


DECLARED = Declaration({"time_limit_seconds": 30, "soft_time_limit_seconds": 20})


@pytest.mark.parametrize(
    "document, defaults, limits",
    [
        ({}, {"time_limit_seconds": 3600}, (30, 20)),
        ({"time_limit_seconds": 5}, {}, (5, None)),
        ({"time_limit_seconds": None}, {}, (None, 20)),
        ({"soft_time_limit_seconds": 60}, {"time_limit_seconds": 3600}, (3600, 60)),
        ({"soft_time_limit_seconds": 60}, {}, ("left out", 60)),
        ({"time_limit_seconds": 5, "soft_time_limit_seconds": 60}, {}, (5, 60)),
    ],
)
def test_a_job_counts_before_the_declaration_and_limits_do_not_contradict(
    document: dict[str, Any], defaults: dict[str, Any], limits: tuple[Any, Any]
) -> None:
    values = DECLARED.completed(document, defaults)

    assert values.get("time_limit_seconds", "left out") == limits[0]
    assert values["soft_time_limit_seconds"] == limits[1]
