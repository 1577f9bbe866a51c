"""Names of jobs say which program runs, and are names that the API takes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.jobs.document import NAME
from jobs_app.jobs.importers.command_names import is_numbered, name_of, runs_others, unique_name
from tests.profiles import examples

CERTBOT = (
    "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))'"
    " && certbot -q renew --no-random-sleep-on-renew"
)


@pytest.mark.parametrize(
    "command, name",
    [
        ("/usr/local/bin/backup.sh --all", "backup"),
        ("cd /srv/app && .venv/bin/python manage.py clearsessions >x 2>&1", "manage-clearsessions"),
        ("php /var/www/artisan schedule:run >> /dev/null 2>&1", "artisan-schedule-run"),
        ("[ -x /usr/lib/php/clean ] && if [ ! -d /run/x ]; then /usr/lib/php/clean; fi", "clean"),
        (CERTBOT, "certbot-renew"),
        ("flock -n /tmp/l.lock /usr/bin/rsync -a /home/ /mnt/backup/", "rsync-home"),
        ("flock /tmp/l.lock -c 'foo.sh nightly'", "foo-nightly"),
        ("nice -n 19 ionice -c3 /usr/bin/updatedb", "updatedb"),
        ("sudo -u www-data php -f /var/www/nextcloud/cron.php", "cron"),
        ("/bin/bash -lc 'cd /srv && bin/nightly.sh'", "nightly"),
        ("curl -fsS -m 10 https://me:pw@hc.example.com/ping/1 > /dev/null", "curl-hc.example.com"),
        ("python3 -m app.tasks nightly", "app.tasks-nightly"),
        (". ~/.profile; ~/bin/sync.rb", "sync"),
        ("( sleep 30 ; /usr/bin/foo )", "foo"),
        ("/usr/bin/envdir /etc/wal-e.d/env /usr/local/bin/clean-wale.sh", "clean-wale"),
        ("command -v sa1 > /dev/null && sa1 1 1", "sa1"),
        ("FOO=1 BAR='x y' ./run", "run"),
        ("mysqldump -uroot -psecret --all-databases", "mysqldump"),
        ("date '+\"unterminated", "date"),
        ("flock -n /tmp/l /usr/bin/python3 --version >/dev/null 2>&1", "python3"),
        ("python3 -V > /dev/null", "python3"),
        ("python3 -V &> /dev/null", "python3"),
        ("bash < /x/script.sh", "bash"),
        (">/tmp/x 2>&1 backup.sh all", "backup-all"),
        ("(python3 -V)>/tmp/x && y", "python3"),
        ("python3 -V > >(logger -t x)", "python3"),
        ("diff <(sort a) <(sort b)", "diff-sort"),
        ("date 2>/dev/null '+\"open", "date"),
        ("flock -n /x -c 'php >/dev/null 2>&1'", "php"),
        ('for i in a b c; do echo "site $i"; done', "echo-site-i"),
        ('for f in /srv/*.csv; do /x/load.py "$f"; done', "load-f"),
        ("while ! ping -c1 db; do sleep 1; done; /x/weekly", "weekly"),
        ("until curl -f http://x/; do sleep 5; done", "curl-x"),
        ("if grep -q x /etc/y; then /x/z.sh; fi", "z"),
        ("case $(date +%u) in 1) /x/mon.sh;; *) /x/other.sh;; esac", "mon"),
        ("f() { /x/run.sh; }; f", "run"),
        ("function f() { /x/run.sh; }; f", "run"),
        ("FOO=bar env LC_ALL=C /x/close", "close"),
        ("env -u FOO --chdir /tmp x", "x"),
        ("nice --adjustment 5 x", "x"),
        ("timeout -k 10 --signal TERM 5m /x/report.sh", "report"),
        ("sudo -Eu git /x/clean", "clean"),
        ("sudo --user git /x/clean", "clean"),
        ("su - postgres -c 'vacuumdb --all'", "vacuumdb"),
        ("su -s /bin/bash -c '/x/y.sh nightly' www-data", "y-nightly"),
        ("su - postgres", "su-postgres"),
        ("runuser -l git -c 'backup create'", "backup-create"),
        ("runuser -u git -- backup create", "backup-create"),
        ("gosu git backup create", "backup-create"),
        ("/usr/bin/time -o /tmp/t -v /x/y.sh", "y"),
        ("cd /x || exit 1; ./y.sh", "y"),
        ("set -e; umask 077; /x/y.sh", "y"),
        ("trap '' HUP; /x/y.sh", "y"),
        ("bash -o pipefail -c 'pg_dump shop | gzip'", "pg_dump-shop"),
        ("bash -lc 'cd /x && bundle exec rake orders:expire'", "rake-orders-expire"),
        ("pgrep -x worker || /x/start-worker", "start-worker"),
        ("( date; df -h / )", "df"),
        ("{ echo start; /x/pull; } 2>&1 | logger -t pull", "pull"),
        ("cat /x/list | /x/y.sh", "y"),
        ("sleep $((RANDOM%60)); /x/status", "status"),
        ("sleep $(( $RANDOM % 60 )) && /x/status", "status"),
        ("sleep `shuf -i 0-60 -n 1` ; /x/status", "status"),
        ("DAY=$(date +%F) && pg_dump shop > /b/$DAY", "pg_dump-shop"),
        ("if [ -x /x/y ] && [ $(date +%d) -le 7 ]; then /x/y --all; fi", "y"),
        ("$(which php) /x/cron.php", "cron"),
        ("`which php` /x/cron.php", "cron"),
        ("$(/x/y.sh)", "y"),
        ('eval "$(ssh-agent)"; /x/y.sh', "y"),
        ("python3 x.py -c conf", "x-conf"),
        ("python3 -W ignore x.py", "x"),
        ("php -d memory_limit=-1 /x/cron.php", "cron"),
        ("php -r 'print 1;'", "php"),
        ("java -cp /x/lib:/x com.acme.Job nightly", "com.acme.job-nightly"),
        ("curl -X POST -H 'A: b' https://example.com/", "curl-example.com"),
        ("wget -O /dev/null http://example.com/cron.php", "wget-example.com"),
        ("echo hello", "echo-hello"),
        ("A=b 2 && 3", "job"),
        ("日本", "job"),
        ("", "job"),
        ("x" * 200, "x" * 60),
    ],
)
def test_a_name_has_the_program_and_what_tells_it_from_others(command, name):
    assert name_of(command) == name


def test_a_prefix_comes_first():
    assert name_of("/x/backup.sh", prefix="web1-") == "web1-backup"


@settings(max_examples=examples(200))
@given(st.text(max_size=200) | st.text("a;&|'\"()/-. \\$={}[]!<>", max_size=60))
def test_each_command_has_a_name_that_the_api_takes(command):
    assert NAME.fullmatch(name_of(command))
    assert name_of(command) == name_of(command)


def test_words_of_the_shell_run_others_as_wrappers_do():
    assert all(runs_others(word) for word in ("if", "for", "cd", "flock", "bundle", "python3.12"))
    assert not any(runs_others(word) for word in ("root", "deploy", "rsync"))


def test_a_name_that_is_taken_gets_a_number():
    assert unique_name("x", set()) == "x"
    assert unique_name("x", {"x", "x-2"}) == "x-3"
    assert [is_numbered(name, "x") for name in ("x", "x-2", "x-y", "xx", "x-2-3")] == [
        *(True, True),
        *(False, False, False),
    ]
