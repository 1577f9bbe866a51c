"""A systemd that runs as the first process of namespaces of its own, with private /etc and /var."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")

#: Units of Debian that others need; here there is nothing to do for them.
STAND_INS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "default")

#: Makes the namespaces private. `/etc`, `/opt`, `/var`, `/usr/local` are the machine's, and
#: what is written there goes to a file system in memory, as all of `/run` and `/tmp` does.
BOOT = """
# Services read what is written here, whatever the umask of the tests is.
umask 022
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/source /mnt/packages /mnt/python /mnt/units /mnt/log
mount --bind {root} /mnt/source
mount --bind {packages} /mnt/packages
# It may be in the home of root, where no service gets to.
mount --bind {python} /mnt/python
for name in etc opt var usr/local; do
    upper=/mnt/upper/$name work=/mnt/work/$name
    mkdir -p $upper $work
    mount -t overlay -o lowerdir=/$name,upperdir=$upper,workdir=$work overlay /$name
done
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
rm -rf /etc/systemd/system /etc/systemd/system.conf.d
mkdir -p /etc/systemd/system/service.d /opt/jobs-app/bin
cat > /etc/systemd/system/service.d/log.conf <<'END'
[Service]
StandardOutput=append:/mnt/log/%n
StandardError=inherit
END
for name in {stand_ins}; do
    printf '[Unit]\\nDefaultDependencies=no\\n' > /mnt/units/$name.target
done
cp /lib/systemd/system/dbus.service /lib/systemd/system/dbus.socket /mnt/units/
cat > /opt/jobs-app/bin/jobs-app <<'END'
#!/bin/sh
PYTHONPATH=/mnt/source:/mnt/packages exec /mnt/python/bin/{program} -m jobs_app "$@"
END
chmod 755 /opt/jobs-app/bin/jobs-app
echo /mnt/python/lib > /etc/ld.so.conf.d/000-python.conf
ldconfig
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup /sys/fs/cgroup
mount --make-rshared /
exec env --ignore-environment {environment} {systemd} --system --log-target=console --show-status=no
"""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_UNIT_PATH": "/etc/systemd/system:/mnt/units",
    # It then leaves the devices and the clock of the machine alone.
    "container": "test",
}


def why_not() -> str:
    """Return why this machine cannot start a systemd, "" if it can."""
    if not SYSTEMD.exists() or shutil.which("dbus-daemon") is None:
        return "Debian's packages systemd and dbus are not installed"
    if os.geteuid() != 0:
        return "only root can start a systemd in namespaces"
    return "" if _cgroup_mount() else "there is no cgroup v2 that can be written"


def _cgroup_mount() -> Path | None:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    points = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    return next((point for point in points if os.access(point / "cgroup.procs", os.W_OK)), None)


class SystemdMachine:
    """A running systemd. It shares the network of the machine, and no file that is written."""

    def __init__(self, directory: Path) -> None:
        mount = _cgroup_mount()
        assert mount is not None
        self._group = mount / f"jobs-app-test-{os.getpid()}"
        self._group.mkdir()
        script = BOOT.format(
            root=ROOT,
            packages=sysconfig.get_path("purelib"),
            python=sys.base_prefix,
            program=f"python{sys.version_info.major}.{sys.version_info.minor}",
            stand_ins=" ".join(STAND_INS),
            environment=shlex.join(f"{name}={value}" for name, value in ENVIRONMENT.items()),
            systemd=SYSTEMD,
        )
        unshare = "unshare --mount --mount-proc --pid --fork --kill-child --cgroup --uts --ipc"
        # It ends with the tests, even killed ones.
        command = (
            f"echo $$ > {self._group}/cgroup.procs;"
            f' exec setpriv --pdeathsig KILL {unshare} sh -euc "$1"'
        )
        self.log = directory / "systemd.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                ["sh", "-euc", command, "sh", script],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(self._is_running, "systemd has started", timeout_seconds=30)
            # systemd-run waits for its command by D-Bus.
            self.run("systemctl start dbus.service")
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}\n{self.log.read_text()}") from error

    def run(self, command: str, **variables: str) -> str:
        """Run a shell command there, as root; return its output."""
        done = self.attempt(command, **variables)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def attempt(self, command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command there, which may fail."""
        environment: Mapping[str, str] = ENVIRONMENT | variables
        return subprocess.run(
            [
                *(
                    "nsenter",
                    f"--target={self.pid}",
                    "--mount",
                    "--pid",
                    "--cgroup",
                    "--uts",
                    "--ipc",
                ),
                *("env", "--ignore-environment", *(f"{k}={v}" for k, v in environment.items())),
                *("sh", "-euc", f"cd /mnt/source; {command}"),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --value --property={name} {unit}").strip()

    def logs(self) -> str:
        """Return what systemd and its services have written."""
        services = self.attempt("tail -n 30 /mnt/log/* 2>&1").stdout
        return f"\n{self.log.read_text()[-3000:]}\n{services}"

    @property
    def pid(self) -> int:
        """The process id of systemd, as this process sees it."""
        [child] = psutil.Process(self._process.pid).children()
        return child.pid

    def _is_running(self) -> bool:
        try:
            return psutil.Process(self.pid).name() == "systemd" and "running" in (
                self.attempt("systemctl is-system-running").stdout
            )
        except (ValueError, psutil.NoSuchProcess):
            return False

    def close(self) -> None:
        """Kill everything, and remove the control groups."""
        # The kernel kills all processes of the namespace with its first one.
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        wait_until(self._is_gone, "all processes of systemd have ended")

    def _is_gone(self) -> bool:
        for directory, _, _ in os.walk(self._group, topdown=False):
            with suppress(OSError):
                os.rmdir(directory)
        return not self._group.exists()
