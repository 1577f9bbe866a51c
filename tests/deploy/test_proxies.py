"""deploy/nginx.conf and deploy/Caddyfile before a web server: at the root of a host, below a path.

The nightly profile runs the real nginx and Caddy, with TLS.
"""

import html
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk
from jobs_app.up.valkey import free_port
from tests.factories import claim, make_job, make_run, make_worker
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
NGINX, CADDY = ROOT / "deploy/nginx.conf", ROOT / "deploy/Caddyfile"

#: The hosts of the examples, and the path at which each one has jobs-app.
PATHS = {"jobs.example.org": "", "example.org": "/jobs"}

#: Where the requests of these tests come from: not where the proxy calls the web server from.
CLIENT = "127.0.0.2"

#: Where somebody sends more from than the proxy lets through.
HASTY = "127.0.0.3"

#: What a browser loads, opens or sends forms to.
ADDRESSES = re.compile(r'\b(href|src|action|hx-get|hx-post|data-address|data-stream)="([^"]*)"')

#: Pages that a browser opens by itself or by a click, in a crawl.
MOST_PAGES = 60


def test_nginx_takes_bodies_as_large_as_the_web_server_does() -> None:
    sizes = re.findall(r"client_max_body_size (\d+)m;", NGINX.read_text())

    assert {int(size) << 20 for size in sizes} == {8 * Settings().max_body_bytes}
    assert len(sizes) == len(PATHS)


def test_nginx_limits_each_host_in_the_same_way() -> None:
    servers = NGINX.read_text().split("\nserver {")[1:]
    limits = [re.findall(r"^ +(limit_\w+ .+);", server, re.MULTILINE) for server in servers]

    redirecting, *others = limits
    assert redirecting == []
    assert len(others) == len(PATHS)
    assert len({tuple(one) for one in others}) == 1
    assert {limit.split("jobs_app_")[-1].split()[0] for limit in others[0][:3]} == {
        "requests",
        "sign_in",
        "connections",
    }


def test_caddy_refuses_bodies_that_the_web_server_hangs_up_at() -> None:
    found = re.search(r"Content-Length (\S+)", CADDY.read_text())
    assert found is not None
    most = 8 * Settings().max_body_bytes

    is_refused = {size: bool(re.match(found[1], str(size))) for size in (most, 8_400_000, 10**7)}

    assert is_refused == {most: False, 8_400_000: True, 10**7: True}


def replaced(text: str, changes: dict[str, str]) -> str:
    """Return *text* with each key replaced; all of them must be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Site:
    """A proxy with the examples, and a web server behind it."""

    def __init__(self, directory: Path, host: str, settings: Settings) -> None:
        self.directory = directory
        self.host = host
        self.port = free_port()
        self.web_port = free_port()
        self.settings = settings
        self.url = f"https://{host}:{self.port}{PATHS[host]}"
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        names = ",".join(f"DNS:{name}" for name in PATHS)
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        subprocess.run(
            [
                *make.split(),
                *("-subj", "/CN=test", "-addext", f"subjectAltName={names}"),
                *("-keyout", self.key, "-out", self.certificate),
            ],
            check=True,
            capture_output=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the web server, as docs/deploy.md has them."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "JOBS_DATA_DIR": str(self.settings.data_dir),
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_PORT": str(self.web_port),
            "JOBS_PUBLIC_URL": self.url,
            "JOBS_TRUSTED_PROXY": "127.0.0.1",
            "JOBS_METRICS_OPEN": "true",
        }

    def command(self, *arguments: str) -> str:
        """Run a command of jobs-app with the same settings; return its output."""
        return subprocess.run(
            [sys.executable, "-m", "jobs_app", *arguments],
            env=self.environment | {"JOBS_URL": self.url, "SSL_CERT_FILE": str(self.certificate)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def client(self, *, address: str = CLIENT, **headers: str) -> httpx.Client:
        """Return a client that calls the proxy from *address*."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        limits = httpx.Limits(max_connections=None)
        transport = httpx.HTTPTransport(verify=context, local_address=address, limits=limits)
        return httpx.Client(base_url=self.url, transport=transport, headers=headers, timeout=20)

    def nginx(self) -> list[str]:
        """Return the command of an nginx with the example, and what Debian has around it."""
        changes = {
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "    listen [::]:80;\n": "",
            "127.0.0.1:5000": f"127.0.0.1:{self.web_port}",
        }
        for name in PATHS:
            live = f"/etc/letsencrypt/live/{name}"
            changes[f"{live}/fullchain.pem"] = str(self.certificate)
            changes[f"{live}/privkey.pem"] = str(self.key)
        (self.directory / "jobs-app.conf").write_text(replaced(NGINX.read_text(), changes))
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            f"""
            {"user root;" if os.geteuid() == 0 else ""}
            pid {self.directory}/nginx.pid;
            daemon off;
            events {{}}
            http {{
                include /etc/nginx/mime.types;
                access_log off;
                gzip on;
                include {self.directory}/jobs-app.conf;
            }}
            """
        )
        return ["nginx", "-p", str(self.directory), "-e", "stderr", "-c", str(configuration)]

    def caddy(self) -> list[str]:
        """Return the command of a Caddy with the example, with a certificate of this test."""
        changes = {"127.0.0.1:5000": f"127.0.0.1:{self.web_port}"}
        for name in PATHS:
            site = f"https://{name}:{self.port} {{\n\ttls {self.certificate} {self.key}\n"
            changes[f"\n{name} {{\n"] = f"\n{site}"
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
        configuration = self.directory / "Caddyfile"
        configuration.write_text(options + replaced(CADDY.read_text(), changes))
        return ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """The proxy and the host that the parameter names, which answer."""
    program, host = request.param
    if shutil.which(program) is None:
        pytest.skip(f"Debian's package {program} is not installed")
    site = Site(tmp_path, host, Settings(data_dir=tmp_path / "data", database_url=database_url))
    site.settings.data_dir.mkdir(mode=0o700)
    proxy = getattr(site, program)()
    resolve: Callable[..., object] = socket.getaddrinfo

    def resolve_here(name: str, *arguments: object, **options: object) -> object:
        return resolve("127.0.0.1" if name in PATHS else name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    web = [sys.executable, "-m", "jobs_app", "web"]
    logs = tmp_path / "web.log", tmp_path / "proxy.log"
    with running(web, site.environment, logs[0]), running(proxy, home, logs[1]):
        try:
            wait_until(lambda: answers(site), "the proxy answers", timeout_seconds=40)
        except AssertionError as error:
            said = "\n".join(log.read_text()[-2000:] for log in logs)
            raise AssertionError(f"{error}\n{said}") from error
        yield site


def answers(site: Site) -> bool:
    with site.client() as client:
        try:
            return client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.nightly
@pytest.mark.parametrize(
    "site",
    [(program, host) for program in ("nginx", "caddy") for host in PATHS],
    indirect=True,
    ids=lambda pair: f"{pair[0]}-{pair[1]}",
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_all_works_through_the_proxy(site: Site, database: Database) -> None:
    token = (site.settings.data_dir / "admin-token").read_text().strip()
    make_job(database, name="weekly", at=clock.now())
    with site.client(Authorization=f"Bearer {token}") as api:
        check_addresses(site, api)
        check_bodies(api)
        check_client(api)
        check_stream(database, api)
    with site.client() as browser:
        # It is open to this machine, and who comes through the proxy may be anybody.
        assert browser.get("/metrics").status_code == 401
        sign_in(site, browser)
        crawl(site, browser)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "site", [("nginx", host) for host in PATHS], indirect=True, ids=lambda pair: pair[1]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nginx_holds_back_who_sends_too_much_and_ends_no_stream(
    site: Site, database: Database
) -> None:
    token = (site.settings.data_dir / "admin-token").read_text().strip()
    with site.client(address=HASTY, Authorization=f"Bearer {token}") as hasty:
        with stream_of_a_run(database, hasty) as lines:
            began = time.monotonic()
            one_by_one = [hasty.get("/healthz").status_code for _ in range(250)]
            assert time.monotonic() - began > 2
            with ThreadPoolExecutor(250) as pool:
                at_once = list(pool.map(lambda _: hasty.get("/healthz").status_code, range(500)))
            next(line for line in lines if line.startswith(":"))
        sign_ins = [hasty.post("/sign-in").status_code for _ in range(20)]
        after = hasty.get("/api/v1/jobs").status_code

    assert set(one_by_one) == {200}
    assert set(at_once) == {200, 429}
    assert 429 not in sign_ins[:10]
    assert sign_ins[-5:] == [429] * 5
    assert after == 200
    with site.client() as other:
        assert other.post("/sign-in").status_code != 429


def check_addresses(site: Site, api: httpx.Client) -> None:
    job = {"name": "nightly", "task": "shell", "kwargs": {"command": "date"}}
    made = api.post("/api/v1/jobs", json=job)
    assert made.status_code == 201
    assert made.headers["Location"] == f"{PATHS[site.host]}/api/v1/jobs/nightly"
    assert api.get(urljoin(site.url, made.headers["Location"])).json()["name"] == "nightly"

    first = api.get("/api/v1/jobs?limit=1")
    following = api.get(urljoin(str(first.url), first.links["next"]["url"]))

    names = [page.json()["items"][0]["name"] for page in (first, following)]
    assert sorted(names) == ["nightly", "weekly"]


def check_bodies(api: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    answers = [
        api.post("/api/v1/jobs", content=b"x" * size, headers=json)
        for size in (1_100_000, 9_000_000)
    ]

    assert [answer.status_code for answer in answers] == [413, 413]
    assert answers[0].json()["code"] == "body_too_large"


def check_client(api: httpx.Client) -> None:
    job = {"name": "whence", "task": "shell", "kwargs": {"command": "date"}}
    api.post("/api/v1/jobs", json=job, headers={"X-Forwarded-For": "203.0.113.9"})

    event = api.get("/api/v1/audit?limit=1").json()["items"][0]

    assert event["remote_address"] == CLIENT


def check_stream(database: Database, api: httpx.Client) -> None:
    """A line reaches the reader soon, and so does the next sign of life."""
    with stream_of_a_run(database, api) as lines:
        began = time.monotonic()
        next(line for line in lines if "a line" in line)
        assert time.monotonic() - began < 3
        next(line for line in lines if line.startswith(":"))
        assert time.monotonic() - began < 8


@contextmanager
def stream_of_a_run(database: Database, api: httpx.Client) -> Iterator[Iterator[str]]:
    """Open the log of a run that runs, to which a line has just been added."""
    at = clock.now()
    run_id = make_run(database, at=at)
    claim(database, run_id, make_worker(database, at=at), at=at)
    with api.stream("GET", f"/api/v1/runs/{run_id}/log/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        with database.session() as session:
            chunk = {"run_id": run_id, "attempt": 1, "seq": 0, "stream": "stdout", "at": at}
            session.add(LogChunk(**chunk, text="a line\n"))
            session.commit()
        yield lines


def sign_in(site: Site, browser: httpx.Client) -> None:
    """Follow a link for a password, as its person does, and sign in with it."""
    made = site.command("person", "add", "ann", "--role", "admin", "--link")
    found = re.search(r"https://\S+/links/\S+", made)
    assert found is not None, made
    assert found[0].startswith(f"{site.url}/links/")
    send(site, browser, found[0], {"password": "correct horse battery"})
    browser.cookies.clear()
    page = browser.get("/sign-in")
    assert "not encrypted" not in page.text

    answer = send(
        site, browser, f"{site.url}/sign-in", {"name": "ann", "password": "correct horse battery"}
    )

    cookie = next(value for name, value in answer.headers.multi_items() if name == "set-cookie")
    prefix = "__Secure-" if PATHS[site.host] else "__Host-"
    assert cookie.startswith(f"{prefix}jobs-app=")
    attributes = set(cookie.split("; ")[1:])
    assert {"Secure", "HttpOnly", f"Path={PATHS[site.host] or '/'}"} <= attributes
    assert browser.get("/jobs").status_code == 200


def send(site: Site, browser: httpx.Client, url: str, fields: dict[str, str]) -> httpx.Response:
    """Fill in the form of a page, and send it as a browser does."""
    page = browser.get(url)
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    origin = f"https://{site.host}:{site.port}"
    answer = browser.post(url, data=hidden | fields, headers={"Origin": origin})
    assert answer.status_code == 303, answer.text
    assert urlsplit(answer.headers["Location"]).path.startswith(f"{PATHS[site.host]}/")
    return answer


def crawl(site: Site, browser: httpx.Client) -> None:
    """No page has an address outside the path; each page and each file answers."""
    path = PATHS[site.host]
    waiting, seen, outside, broken = [f"{path}/"], {f"{path}/"}, set(), {}
    pages = 0
    while waiting and pages < MOST_PAGES:
        address = waiting.pop(0)
        answer = browser.get(urljoin(site.url, address), headers={"Accept": "text/html, */*"})
        pages += 1
        if answer.status_code >= 400:
            broken[address] = answer.status_code
        found = ADDRESSES.findall(answer.text) if "html" in answer.headers["Content-Type"] else []
        found += [("href", answer.headers["Location"])] if answer.is_redirect else []
        for attribute, text in found:
            target = urlsplit(urljoin(address, html.unescape(text)))
            if target.netloc or target.scheme:
                continue
            if not f"{target.path}/".startswith(f"{path}/"):
                outside.add((address, text))
            whole = target._replace(fragment="").geturl()
            if attribute in {"href", "src"} and whole not in seen:
                seen.add(whole)
                # Files and pages of other kinds come first.
                waiting.insert(0 if attribute == "src" else len(waiting), whole)

    assert outside == set()
    assert broken == {}
    assert pages > 20
