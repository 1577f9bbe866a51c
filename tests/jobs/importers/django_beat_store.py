"""A database as django-celery-beat 2.9 makes it, with the rows that it wrote for some tasks."""

import sqlite3
from pathlib import Path

#: CREATE TABLE statements of its migrations on SQLite, without the tables' constraints.
TABLES = """
CREATE TABLE django_celery_beat_clockedschedule (id integer PRIMARY KEY, clocked_time datetime);
CREATE TABLE django_celery_beat_crontabschedule (
    id integer PRIMARY KEY, minute varchar(240), hour varchar(96), day_of_week varchar(64),
    day_of_month varchar(124), month_of_year varchar(64), timezone varchar(63));
CREATE TABLE django_celery_beat_intervalschedule (
    id integer PRIMARY KEY, every integer, period varchar(24));
CREATE TABLE django_celery_beat_solarschedule (
    id integer PRIMARY KEY, event varchar(24), latitude decimal, longitude decimal);
CREATE TABLE django_celery_beat_periodictask (
    id integer PRIMARY KEY, name varchar(200) NOT NULL UNIQUE, task varchar(200) NOT NULL,
    args text NOT NULL, kwargs text NOT NULL, queue varchar(200), exchange varchar(200),
    routing_key varchar(200), expires datetime, enabled bool NOT NULL, last_run_at datetime,
    total_run_count integer unsigned NOT NULL, date_changed datetime NOT NULL,
    description text NOT NULL, crontab_id integer, interval_id integer, solar_id integer,
    one_off bool NOT NULL, start_time datetime, priority integer unsigned, headers text NOT NULL,
    clocked_id integer, expire_seconds integer unsigned);
"""

ROWS = """
INSERT INTO django_celery_beat_crontabschedule VALUES(1,'30','7','mon-fri','*','*','Europe/Paris');
INSERT INTO django_celery_beat_intervalschedule VALUES(1,10,'minutes');
INSERT INTO django_celery_beat_solarschedule VALUES(1,'sunset',48.9,2.3);
INSERT INTO django_celery_beat_clockedschedule VALUES(1,'2099-01-01 08:00:00');
INSERT INTO django_celery_beat_periodictask VALUES(1,'Nightly report','sleep','[5]','{}','slow',
    NULL,NULL,NULL,1,NULL,0,'2026-11-30 08:02:47.726747','A report',1,NULL,NULL,0,NULL,3,'{}',
    NULL,NULL);
INSERT INTO django_celery_beat_periodictask VALUES(2,'poll','sleep','[]','{"duration": 1}',NULL,
    NULL,NULL,NULL,0,'2026-11-30 08:05:01',0,'2026-11-30 08:02:47.774662','',NULL,1,NULL,0,NULL,
    NULL,'{}',NULL,60);
INSERT INTO django_celery_beat_periodictask VALUES(3,'sun','sleep','[]','{}',NULL,NULL,NULL,NULL,
    1,NULL,0,'2026-11-30 08:02:47.826739','',NULL,NULL,1,0,NULL,NULL,'{}',NULL,NULL);
INSERT INTO django_celery_beat_periodictask VALUES(4,'once','sleep','[1]','{}',NULL,NULL,NULL,
    '2099-02-01 00:00:00',1,NULL,0,'2026-11-30 08:02:47.886505','',NULL,NULL,NULL,1,
    '2026-12-01 00:00:00',NULL,'{}',1,NULL);
"""


def make_store(path: Path) -> None:
    """Write the database, with its rows, to a file of SQLite."""
    connection = sqlite3.connect(path)
    connection.executescript(TABLES + ROWS)
    connection.close()
