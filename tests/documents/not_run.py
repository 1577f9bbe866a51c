"""How the commands of the pages are run: what cannot run, and what a page needs before."""

import re
from collections.abc import Iterable

#: Programs that the pages may call. Nothing else is run: the tests may belong to root.
PROGRAMS = {
    *("jobs-app", "./run", "curl", "jq", "python3", "crontab", "journalctl", "pass"),
    *("cat", "date", "echo", "eval", "export", "grep", "mkdir"),
}
#: Pages that are not run here, and the reason.
PAGES_NOT_RUN = {
    "SECURITY.md": "its commands look for known vulnerabilities on a server of others",
    "examples/README.md": "each way needs workers; tests/integration/test_examples.py runs them",
    "docs/containers.md": "it needs a container engine; tests/deploy/ check the files",
    "docs/deploy.md": "it installs on the machine, as root; tests/deploy/ check the files",
    "docs/kubernetes.md": "it needs a cluster; tests/deploy/ check the files",
}
#: Lines that are not run here: how they begin, and the reason. test_blocks.py reads all of them.
NOT_RUN = {
    r"./run up|jobs-app up": "the installation of this test is one; README and tutorial start it",
    r"jobs-app (worker|web|scheduler)": "it does not end; tests/integration/ start these processes",
    r"./run (test|docs)": "the tests, and the site: test_site.py",
    r"docker |deploy/make-secrets": "it needs a container engine; tests/deploy/ check the files",
    r"useradd ": "it changes the machine; tests/integration/test_command_accounts.py",
    r"jobs-app secret set .* # ": "it asks on a terminal; tests/cli/commands/test_secrets.py",
    r"jobs-app channel add ops --default ": "it asks on a terminal;"
    " tests/cli/commands/test_notifications.py",
    r"jobs-app channel test": "it sends a message to an address of others",
    r"jobs-app import crontab /etc": "it asks on a terminal, and reads this machine's crontabs",
    r".*jobs-app import apscheduler": "it needs a store of APScheduler;"
    " tests/cli/commands/test_import_apscheduler.py",
    r"jobs-app import redbeat redis://cache": "it needs the Redis of a beat;"
    " tests/cli/commands/test_import_redbeat.py",
    r"jobs-app restore": "it needs a stopped installation; tests/cli/commands/test_backup.py",
    r".*zsh_source|jobs-app \| source": "another shell; tests/cli/test_completion.py",
    r".*cronicle.example.org": "it needs a Cronicle",
}
#: Exit codes of commands that are not 0, besides those that the page itself names.
EXIT_CODES = {
    r"jobs-app doctor": (0, 1, 2),
    r"jobs-app job create probe --task http --arg url=ftp": (2,),
    r"journalctl": (0, 1),
}
#: What stands for any name in a page.
PLACEHOLDERS = {
    "docs/beat.md": {"NAME": "sales"},
    "docs/crontab.md": {"NAME": "true"},
}
#: Jobs, secrets and channels that a page takes for granted.
BEFORE = {
    "docs/beat.md": "export BROKER_URL=redis://cache/0 RESULT_URL=redis://cache/1",
    "docs/accounts.md": 'export JOBS_TOKEN=$(cat "$HOME/.local/share/jobs-app/admin-token")',
    "docs/explain.md": "jobs-app job create backup --command true --cron '30 2 * * *'",
    "docs/notifications.md": "jobs-app channel add ops --url json://ops.example.org/ --default;"
    " jobs-app job create nightly-report --command true --manual;"
    " jobs-app job create hello --command true --manual",
    "docs/queues.md": "jobs-app job create nightly-report --command true --manual",
    "docs/retention.md": "jobs-app job create backup --command true --manual",
    "docs/tasks.md": "for name in shop-broker shop-results; do echo redis://redis.example/0 |"
    " jobs-app secret set $name --from -; done;"
    " jobs-app job create nightly-report --command true --manual",
}


def beginning(line: str, patterns: Iterable[str]) -> str | None:
    """Return the pattern that *line* begins with, after the variables that it sets."""
    command = re.sub(r"^(\s*\w+=\S*\s+)+", "", line).strip()
    return next((pattern for pattern in patterns if re.match(pattern, command)), None)
