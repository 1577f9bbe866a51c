"""The table of routes: what a caller must be allowed to do to use each of them."""

from flask import Flask, g, request

from jobs_app.accounts.permissions import Action, allows, refusal
from jobs_app.accounts.principal import Principal
from jobs_app.core.errors import Forbidden

#: Routes without a token: the health checks and public files.
OPEN = frozenset({"health.healthz", "health.readyz", "web.static", "web.docs", "assets.file"})

#: Pages for somebody who is not signed in.
SIGNED_OUT = frozenset(
    {"links_page.show", "links_page.use", "sign_in_page.send", "sign_in_page.sign_in"}
)

#: The blueprints of the pages that people sign in to have names with this end.
PAGE_SUFFIX = "_page"

#: The action of each other route. A route may ask for more when it knows the job.
ACTIONS: dict[str, Action] = {
    "apply.apply_jobs": Action.WRITE_JOBS,
    "attention.acknowledge": Action.CONTROL,
    "attention.list_attention": Action.READ,
    "attention.take_back": Action.CONTROL,
    "attention_page.acknowledge": Action.CONTROL,
    "attention_page.show": Action.CONTROL,
    "attention_page.take_back": Action.CONTROL,
    "audit.list_events": Action.READ,
    "audit_page.show": Action.READ,
    "channels.change_channel": Action.WRITE_CHANNELS,
    "channels.create_channel": Action.WRITE_CHANNELS,
    "channels.delete_channel": Action.WRITE_CHANNELS,
    "channels.list_channels": Action.SEE_CHANNELS,
    "channels.list_notifications": Action.READ,
    "channels.read_channel": Action.SEE_CHANNELS,
    "channels.test_channel": Action.TEST_CHANNELS,
    "doctor.read_report": Action.DIAGNOSE,
    "doctor_page.show": Action.DIAGNOSE,
    "explain.explain_job": Action.READ,
    "home_page.show": Action.READ,
    "job_actions_page.do_pause": Action.CONTROL,
    "job_actions_page.do_resume": Action.CONTROL,
    "job_actions_page.pause": Action.CONTROL,
    "job_actions_page.resume": Action.CONTROL,
    "job_changes_page.compare": Action.READ,
    "job_changes_page.restore": Action.WRITE_JOBS,
    "job_changes_page.show": Action.READ,
    "job_delete_page.ask": Action.WRITE_JOBS,
    "job_delete_page.delete": Action.WRITE_JOBS,
    "job_delete_page.undo": Action.WRITE_JOBS,
    "job_form_page.edit": Action.WRITE_JOBS,
    "job_form_page.new": Action.WRITE_JOBS,
    "job_form_page.preview": Action.WRITE_JOBS,
    "job_form_page.save": Action.WRITE_JOBS,
    "job_form_page.save_new": Action.WRITE_JOBS,
    "job_observe_page.activate": Action.WRITE_JOBS,
    "job_observe_page.ask": Action.WRITE_JOBS,
    "job_page.show": Action.READ,
    "job_page.why": Action.READ,
    "job_start_page.show": Action.START,
    "job_start_page.start": Action.START,
    "jobs.change_job": Action.WRITE_JOBS,
    "jobs.create_job": Action.WRITE_JOBS,
    "jobs.delete_job": Action.WRITE_JOBS,
    "jobs.list_jobs": Action.READ,
    "jobs.next_fires": Action.READ,
    "jobs.pause_job": Action.CONTROL,
    "jobs.read_job": Action.READ,
    "jobs.replace_job": Action.WRITE_JOBS,
    "jobs.resume_job": Action.CONTROL,
    "jobs.run_job": Action.START,
    "jobs_page.show": Action.READ,
    "links.list_links": Action.MANAGE_PEOPLE,
    "links.make_link": Action.MANAGE_PEOPLE,
    "links.revoke_link": Action.MANAGE_PEOPLE,
    "me.read_me": Action.IDENTIFY,
    "me_page.end_others": Action.OWN_SESSIONS,
    "me_page.end_session": Action.OWN_SESSIONS,
    "me_page.password": Action.IDENTIFY,
    "me_page.set_password": Action.IDENTIFY,
    "me_page.show": Action.IDENTIFY,
    "metrics.metrics": Action.READ_METRICS,
    "openapi_document.openapi_json": Action.IDENTIFY,
    "people.change_person": Action.MANAGE_PEOPLE,
    "people.create_person": Action.MANAGE_PEOPLE,
    "people.list_people": Action.MANAGE_PEOPLE,
    "people.read_person": Action.MANAGE_PEOPLE,
    "people.remove_person": Action.MANAGE_PEOPLE,
    "people_page.change": Action.MANAGE_PEOPLE,
    "people_page.confirm_removal": Action.MANAGE_PEOPLE,
    "people_page.create": Action.MANAGE_PEOPLE,
    "people_page.disable": Action.MANAGE_PEOPLE,
    "people_page.enable": Action.MANAGE_PEOPLE,
    "people_page.end_sessions": Action.MANAGE_PEOPLE,
    "people_page.make_link": Action.MANAGE_PEOPLE,
    "people_page.new": Action.MANAGE_PEOPLE,
    "people_page.person": Action.MANAGE_PEOPLE,
    "people_page.remove": Action.MANAGE_PEOPLE,
    "people_page.show": Action.MANAGE_PEOPLE,
    "preferences_page.save": Action.IDENTIFY,
    "preferences_page.show": Action.IDENTIFY,
    "queues.list_keys": Action.READ,
    "queues.list_queues": Action.READ,
    "revisions.list_revisions": Action.READ,
    "revisions.read_revision": Action.READ,
    "revisions.restore_revision": Action.WRITE_JOBS,
    "run_log_page.download": Action.READ,
    "run_log_page.follow": Action.READ,
    "run_log_page.read": Action.READ,
    "run_logs.follow_log": Action.READ,
    "run_logs.read_log": Action.READ,
    "run_page.ask_cancel": Action.CONTROL,
    "run_page.ask_retry": Action.CONTROL,
    "run_page.cancel": Action.CONTROL,
    "run_page.result": Action.READ,
    "run_page.retry": Action.CONTROL,
    "run_page.show": Action.READ,
    "runs.cancel_run": Action.CONTROL,
    "runs.list_runs": Action.READ,
    "runs.read_run": Action.READ,
    "runs.retry_run": Action.CONTROL,
    "runs.start_task": Action.RUN_TASK,
    "schedules.preview_schedule": Action.READ,
    "secrets.delete_secret": Action.WRITE_SECRETS,
    "secrets.list_secrets": Action.SEE_SECRETS,
    "secrets.put_secret": Action.WRITE_SECRETS,
    "secrets.read_secret": Action.SEE_SECRETS,
    "runs_page.show": Action.READ,
    "sessions.end_own_session": Action.OWN_SESSIONS,
    "sessions.end_own_sessions": Action.OWN_SESSIONS,
    "sessions.end_session": Action.MANAGE_PEOPLE,
    "sessions.end_sessions": Action.MANAGE_PEOPLE,
    "sessions.list_own_sessions": Action.OWN_SESSIONS,
    "sessions.list_sessions": Action.MANAGE_PEOPLE,
    "sign_in_page.again": Action.IDENTIFY,
    "sign_in_page.send_again": Action.IDENTIFY,
    "sign_in_page.sign_out": Action.IDENTIFY,
    "stats.job_stats": Action.READ,
    "tasks.list_tasks": Action.READ,
    "tokens.create_token": Action.OWN_TOKENS,
    "tokens.list_tokens": Action.OWN_TOKENS,
    "tokens.revoke_token": Action.OWN_TOKENS,
    "tokens_page.confirm": Action.OWN_TOKENS,
    "tokens_page.create": Action.OWN_TOKENS,
    "tokens_page.new": Action.OWN_TOKENS,
    "tokens_page.revoke": Action.OWN_TOKENS,
    "tokens_page.show": Action.OWN_TOKENS,
    "tutorial.start_task": Action.RUN_TASK,
    "tutorial.task_status": Action.READ,
    "workers.list_workers": Action.READ,
}


def principal() -> Principal:
    """Return the caller; call it only on routes that need a token."""
    caller: Principal = g.principal
    return caller


def actor() -> str:
    """Return the name of the caller in the audit."""
    return principal().name


def is_page() -> bool:
    """Tell whether this request is for a page that people sign in to."""
    return (request.blueprint or "").endswith(PAGE_SUFFIX)


def is_for_browser() -> bool:
    """Tell whether a browser asks for a page, or for an address at which there is nothing."""
    if request.endpoint is not None:
        return is_page()
    is_api = request.path.startswith("/api/")
    # Browsers name it among others, some of which werkzeug takes for better ones.
    return not is_api and "text/html" in request.accept_mimetypes.values()


def check_table(app: Flask) -> None:
    """Raise RuntimeError for a route of *app* without an action, and for an action without one."""
    routes = {rule.endpoint for rule in app.url_map.iter_rules()}
    if missing := sorted(routes - ACTIONS.keys() - OPEN - SIGNED_OUT):
        raise RuntimeError(f"These routes have no entry in the table of permissions: {missing}")
    if unknown := sorted((ACTIONS.keys() | OPEN | SIGNED_OUT) - routes):
        raise RuntimeError(f"The table of permissions has entries without a route: {unknown}")


def check_route() -> None:
    """Raise Forbidden unless the caller may use the route of this request."""
    # Without an endpoint there is nothing at the address.
    if request.endpoint is not None:
        require(ACTIONS[request.endpoint])


def require(action: Action) -> None:
    """Raise Forbidden unless the caller may do *action*."""
    if (sentence := refusal(principal(), action)) is not None:
        raise Forbidden(sentence, action=action)


def may(action: Action) -> bool:
    """Tell whether the caller may do *action*."""
    return allows(principal(), action)
