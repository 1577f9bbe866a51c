"""The parameters that the address of each page may have."""

from collections.abc import Collection

from flask import request
from pydantic import BaseModel

from jobs_app.core.errors import BadRequest
from jobs_app.web.api.audit import EventQuery
from jobs_app.web.api.schemas.job_input import JobQuery
from jobs_app.web.api.schemas.runs import RunQuery
from jobs_app.web.session import READING_METHODS

#: At most so many unknown parameters are named.
MOST_NAMES = 5


def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


#: The parameters of each page; a page that is not named has none.
PARAMETERS: dict[str, frozenset[str]] = {
    "audit_page.show": _names(EventQuery) | {"since"},
    "job_changes_page.compare": frozenset({"with"}),
    "job_form_page.edit": frozenset({"as"}),
    "job_form_page.new": frozenset({"from", "task"}),
    "job_page.show": frozenset({"saved"}),
    "job_page.why": frozenset({"at"}),
    "job_start_page.show": frozenset({"like"}),
    "jobs_page.show": _names(JobQuery),
    "people_page.new": frozenset({"kind"}),
    "people_page.show": frozenset({"after"}),
    "preferences_page.show": frozenset({"back"}),
    "run_page.show": frozenset({"attempt", "find", "part"}),
    "runs_page.show": _names(RunQuery) | {"since"},
    "sign_in_page.again": frozenset({"next"}),
    "sign_in_page.sign_in": frozenset({"next"}),
    "tokens_page.confirm": frozenset({"back"}),
    "tokens_page.new": frozenset({"owner"}),
}

#: Those that say where in a list a page begins.
PLACES = frozenset({"after", "cursor", "since"})


def unknown() -> list[str]:
    """Return the parameters of this address that its page does not know, and leaves out.

    They are no error, because links grow in mails; but a filter with a wrong name shows more
    than somebody asked for.
    """
    if request.endpoint is None or request.method not in READING_METHODS:
        return []
    known = PARAMETERS.get(request.endpoint, frozenset())
    return [name for name in request.args if name not in known][:MOST_NAMES]


def known() -> dict[str, list[str]]:
    """Return the parameters of this address that its page knows, for another address of it.

    Others must not get there: some names mean something else to `url_for`.
    """
    names = PARAMETERS.get(request.endpoint or "", frozenset())
    sent = request.args.to_dict(flat=False)
    return {name: values for name, values in sent.items() if name in names}


def choice(name: str, choices: Collection[str], *, sent: str | None = None) -> str:
    """Return the parameter *name*, one of *choices*; "" if the address does not have it.

    Raises BadRequest for any other value. *sent* is the value if a form may have it, too.
    """
    value = request.args.get(name, "") if sent is None else sent
    if value and value not in choices:
        named = " or ".join(choices)
        raise BadRequest(f"The parameter {name} is {named}.", code="bad_parameter")
    return value
