"""The pages that people sign in to."""

from jobs_app.web.pages import (
    attention,
    audit,
    home,
    job,
    job_actions,
    job_changes,
    job_delete,
    job_form,
    job_start,
    jobs,
    links,
    me,
    people,
    preferences,
    run,
    run_log,
    runs,
    sign_in,
    tokens,
)

#: The blueprint of each page, or group of pages.
PAGES = tuple(
    module.page
    for module in (
        attention,
        audit,
        home,
        job,
        job_actions,
        job_changes,
        job_delete,
        job_form,
        job_start,
        jobs,
        links,
        me,
        people,
        preferences,
        run,
        run_log,
        runs,
        sign_in,
        tokens,
    )
)
