"""The tables; each constraint and index names the rule or query it serves."""

# All of them: a foreign key finds its table only when the table's module is imported.
from jobs_app.db.models import accounts, jobs, metrics, notifications, processes, runs, secrets

__all__ = ["accounts", "jobs", "metrics", "notifications", "processes", "runs", "secrets"]
