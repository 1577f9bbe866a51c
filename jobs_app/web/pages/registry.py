"""The pages that people sign in to."""

from importlib import import_module

from flask import Blueprint

#: The modules of this package with a page, or a group of pages.
MODULES = (
    "attention",
    "audit",
    "doctor",
    "home",
    "job",
    "job_actions",
    "job_changes",
    "job_delete",
    "job_form",
    "job_observe",
    "job_start",
    "jobs",
    "links",
    "me",
    "people",
    "preferences",
    "run",
    "run_log",
    "runs",
    "sign_in",
    "tokens",
)

#: Their blueprints.
PAGES: tuple[Blueprint, ...] = tuple(
    import_module(f"jobs_app.web.pages.{name}").page for name in MODULES
)
