"""mod_wsgi, as Debian has it: what the article about pickle says, and that it is not so here.

COAT_TEST_MOD_WSGI names another one, COAT_TEST_MOD_WSGI_HOME where the Python of that one is, and
COAT_TEST_MOD_WSGI_SAYS a directive for it.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENCE_S, RedisServer, wait_for
from scripts import FRAMEWORK, PAGE, PICKLED, PLAIN
from shoppers import Shopper, shopping
from test_servers import free_port

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path("/usr/lib/apache2/modules")
MOD_WSGI = os.environ.get("COAT_TEST_MOD_WSGI", f"{MODULES}/mod_wsgi.so")
HOME = os.environ.get("COAT_TEST_MOD_WSGI_HOME")
# Flask, Django and Pyramid, installed for that one, too.
FRAMEWORKS = Path(os.environ.get("COAT_TEST_APACHE_FRAMEWORKS", "build/apache/frameworks"))
DIRECTIVE = os.environ.get("COAT_TEST_MOD_WSGI_SAYS", "")
# The package as it was built for the interpreter that mod_wsgi has.
PACKAGES = Path(os.environ.get("COAT_TEST_APACHE_PACKAGES", "build/apache/build/python"))

MODES = ["embedded", "daemon"]
MPMS = ["event", "prefork"]

Ask = Callable[..., "Asker"]

each_way = pytest.mark.parametrize("mode, mpm", [(mode, mpm) for mode in MODES for mpm in MPMS])

CONFIG = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel warn
ServerName localhost
Listen 127.0.0.1:{port}
User {user}
Group {group}
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {mod_wsgi}
{directives}
StartServers {processes}
{workers}
WSGIPythonPath {packages}
WSGISocketPrefix {folder}/wsgi
<Directory />
    AllowOverride None
    Require all denied
</Directory>
<Directory {folder}>
    Require all granted
</Directory>
"""
WORKERS = {
    # With room for new processes while old ones come to their end; none ends for idleness, which
    # costs a connection now and then.
    "event": "ThreadsPerChild 16\nServerLimit 16\nMaxRequestWorkers 256\nMinSpareThreads 1\n"
    "MaxSpareThreads 256",
    "prefork": "ServerLimit 64\nMaxRequestWorkers 64\nMinSpareServers 2\nMaxSpareServers 64",
}


class Apache:
    """An Apache of our own, with scripts in its folder."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis
        self.port = free_port()
        self.log = folder / "error.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._config: list[str] = []

    def url(self, mount: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{mount}"

    def script(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.wsgi"
        path.write_text(f"URL = {self.redis.url!r}\nFOLDER = {str(self.folder)!r}\n{text}")
        return path

    def mount(self, where: str, script: Path, mode: str, group: str = "%{RESOURCE}") -> None:
        if mode == "daemon":
            where = f"{where} {script} process-group=daemons application-group={group}"
        else:
            where = f"{where} {script} application-group={group}"
        self._config.append(f"WSGIScriptAlias {where}")

    def start(self, mode: str, mpm: str, processes: int = 2) -> None:
        if mode == "daemon":
            self._config.insert(
                0,
                f"WSGIDaemonProcess daemons processes={processes} threads=4"
                f" python-path={self.folder}/packages deadlock-timeout=10",
            )
        account = "www-data" if os.getuid() == 0 else "#-1"
        config = CONFIG.format(
            folder=self.folder,
            port=self.port,
            user=account,
            group=account,
            mpm=mpm,
            modules=MODULES,
            mod_wsgi=MOD_WSGI,
            directives=DIRECTIVE + (f"\nWSGIPythonHome {self.folder}/python" if HOME else ""),
            processes=processes,
            workers=WORKERS[mpm],
            packages=self.folder / "packages",
        )
        file = self.folder / "apache.conf"
        file.write_text("\n".join([config, *self._config, ""]))
        program = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin")
        assert program, "the tests need Apache"
        # It signals all of its process group when it ends.
        self.process = subprocess.Popen(
            [program, "-DFOREGROUND", "-f", str(file)], start_new_session=True
        )
        wait_for(self._listens, "Apache")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            httpx.get(self.url("/nothing"), trust_env=False)
        except httpx.TransportError:
            return False
        return True

    def restart_gracefully(self) -> None:
        assert self.process is not None
        before = self.log.read_text().count("resuming normal operations")
        self.process.send_signal(signal.SIGUSR1)
        wait_for(
            lambda: self.log.read_text().count("resuming normal operations") > before,
            "the graceful restart",
        )

    def stop(self) -> None:
        """At once: in embedded mode mod_wsgi would take ten seconds, with any script."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def apache(redis_server: RedisServer) -> Iterator[Apache]:
    # Not pytest's own: whom Apache runs as must be able to read it, and the server's socket.
    with tempfile.TemporaryDirectory(prefix="coat-apache-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        redis_server.directory.chmod(0o755)
        Path(redis_server.path).chmod(0o777)
        shutil.copytree(PACKAGES, folder / "packages")
        if HOME is not None:
            copy_python(Path(HOME), folder / "python")
        for page in ("page.py", "page_wsgi.py", "page_frameworks.py"):
            shutil.copy(ROOT / "tests" / "demo" / page, folder / "packages")
        server = Apache(folder, redis_server)
        try:
            yield server
        finally:
            server.stop()
            print(server.log.read_text())  # shown with a failure


def copy_python(home: Path, to: Path) -> None:
    """The standard library, which may lie where nobody else can read it."""
    version = next(home.glob("lib/python3.*/os.py")).parent.name
    unused = shutil.ignore_patterns("test", "idlelib", "site-packages", "__pycache__", "config-*")
    shutil.copytree(home / "lib" / version, to / "lib" / version, ignore=unused)


class Asker:
    """A browser that asks a script of scripts.py. Any number of threads."""

    _reading = threading.Lock()  # literal_eval counts its depth in one place

    def __init__(self, browser: httpx.Client) -> None:
        self.browser = browser

    def __call__(self, what: str, status: int = 200) -> Any:
        response = self.browser.get(what)
        assert response.status_code == status, (response.status_code, response.text)
        with self._reading:
            return ast.literal_eval(response.text)


@pytest.fixture
def asker(apache: Apache) -> Iterator[Callable[..., Asker]]:
    """Makes one, for what is mounted there."""
    with ExitStack() as browsers:

        def asker(mount: str = "/") -> Asker:
            # Each request on a connection of its own. (By max_keepalive_connections=0 the client
            # would now and then close one that another thread was just about to read.)
            browser = httpx.Client(
                base_url=apache.url(mount),
                trust_env=False,
                timeout=PATIENCE_S,
                headers={"Connection": "close"},
            )
            return Asker(browsers.enter_context(browser))

        yield asker


def touch(script: Path) -> None:
    """As an editor that saves it: with a later time, whatever the resolution."""
    stat = script.stat()
    os.utime(script, ns=(stat.st_atime_ns, stat.st_mtime_ns + 2_000_000_000))


# ---- Under load ----------------------------------------------------------------------------


@each_way
def test_each_response_is_right_while_the_script_is_touched(
    apache: Apache, mode: str, mpm: str
) -> None:
    script = apache.script("shop", PAGE)
    apache.mount("/", script, mode)
    apache.start(mode, mpm)
    with shopping(apache.url()) as some_more:
        some_more()
        for _ in range(2 if mode == "daemon" else 6):  # whose processes end with it
            touch(script)
            some_more()
        assert sum(shopper.lost for shopper in some_more()) == 0
    assert "Traceback" not in apache.log.read_text(), apache.log.read_text()


@each_way
def test_sessions_are_whole_after_graceful_restarts_under_load(
    apache: Apache, mode: str, mpm: str
) -> None:
    apache.mount("/", apache.script("shop", PAGE), mode)
    apache.start(mode, mpm)
    # What Apache itself refuses meanwhile is a 503 without a word of ours.
    with shopping(apache.url(), tolerated=[503]) as some_more:
        some_more()
        for _ in range(3):
            apache.restart_gracefully()
            some_more()
    assert "Traceback" not in apache.log.read_text(), apache.log.read_text()


@each_way
def test_two_application_groups_of_one_process_share_sessions(
    apache: Apache, mode: str, mpm: str
) -> None:
    for name in ("one", "two"):
        apache.mount(f"/{name}", apache.script(name, PAGE), mode, group=name)
    apache.start(mode, mpm, processes=1)
    with shopping(apache.url("/one/")) as ones, shopping(apache.url("/two/")) as twos:
        ones()
        twos()
    ada = Shopper(apache.url("/one/"), "ada")
    with ada.browser:
        ada.log_in()
        ada.buy()
        ada.browser.base_url = apache.url("/two/")
        ada.buy()
        assert len((ada.look() or {})["cart"]) == 2


@pytest.mark.parametrize("mode", MODES)
def test_frameworks_in_application_groups_of_one_process(apache: Apache, mode: str) -> None:
    shutil.copytree(FRAMEWORKS, apache.folder / "frameworks")
    names = ("flask", "pyramid", "django")
    scripts = [apache.script(name, FRAMEWORK % name) for name in names]
    for name, script in zip(names, scripts, strict=True):
        apache.mount(f"/{name}", script, mode, group=name)
    apache.start(mode, "event", processes=1)
    with ExitStack() as stack:
        visits = [stack.enter_context(shopping(apache.url(f"/{name}/"), 2)) for name in names]
        for script in [None, *(scripts if mode == "daemon" else [])]:
            if script is not None:  # its process ends with that
                touch(script)
            for some_more in visits:
                assert sum(shopper.lost for shopper in some_more()) == 0
    assert "Traceback" not in apache.log.read_text(), apache.log.read_text()


@pytest.mark.parametrize("mpm", MPMS)
def test_no_field_and_no_count_is_lost_in_two_processes_of_four_threads(
    apache: Apache, asker: Ask, mpm: str
) -> None:
    apache.mount("/", apache.script("plain", PLAIN), "daemon")
    apache.mount("/pickled", apache.script("pickled", PICKLED), "daemon")
    # The longer of two that begin alike must come first.
    apache._config.reverse()
    apache.start("daemon", mpm)
    plain, pickled = asker(), asker("/pickled")
    assert plain("/field?name=first") == {"first": "first"}
    assert pickled("/field?name=first")
    each = 400
    paths = [path for i in range(each) for path in (f"/field?name=f{i}", "/count")]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(plain, paths))
        list(pool.map(pickled, paths))
    kept = plain("/look")
    assert kept["count"] == each and len(kept) == each + 2
    lossy = pickled("/look")
    assert len(lossy) < each + 2


# ---- Pickle, and what takes its place ------------------------------------------------------


@pytest.mark.parametrize("mpm", MPMS)
def test_after_a_touch_an_object_of_the_script_cannot_be_pickled_and_plain_data_is_kept(
    apache: Apache, asker: Ask, mpm: str
) -> None:
    plain, pickled = apache.script("plain", PLAIN), apache.script("pickled", PICKLED)
    apache.mount("/pickled", pickled, "embedded", group="one")
    apache.mount("/", plain, "embedded", group="two")
    apache.start("embedded", mpm, processes=1)
    ask_plain, ask_pickled = asker(), asker("/pickled")
    assert ask_plain("/cart") == {"cart": [("tea", 1)]}
    assert "Cart" in ask_pickled("/object")["cart"]
    touch(plain)
    touch(pickled)
    assert ask_plain("/look") == {"cart": [("tea", 1)]}
    assert ask_plain("/field?name=a") == {"cart": [("tea", 1)], "a": "a"}
    # It is of the class that the script had before, and the script has another one of that name.
    assert "PicklingError" in ask_pickled("/object", status=500)
    assert ask_plain("/cart") == {"cart": [("tea", 1)], "a": "a"}


@pytest.mark.parametrize("mode", MODES)
def test_another_script_cannot_load_the_pickle_and_can_load_the_session(
    apache: Apache, asker: Ask, mode: str
) -> None:
    for name, text in (("plain", PLAIN), ("pickled", PICKLED)):
        for number in (1, 2):
            script = apache.script(f"{name}{number}", text)
            apache.mount(f"/{name}{number}", script, mode, group=f"group{number}")
    apache.start(mode, "event", processes=1)
    one, two = asker("/pickled1"), asker("/pickled2")
    assert "Cart" in one("/object")["cart"]
    assert "ModuleNotFoundError" in two("/look", status=500)
    one, two = asker("/plain1"), asker("/plain2")
    assert one("/cart") == {"cart": [("tea", 1)]}
    two.browser.cookies = one.browser.cookies
    assert two("/look") == {"cart": [("tea", 1)]}


@pytest.mark.parametrize("mode", MODES)
def test_an_object_is_refused_by_its_path_and_the_name_of_its_class(
    apache: Apache, asker: Ask, mode: str
) -> None:
    apache.mount("/", apache.script("plain", PLAIN), mode)
    apache.start(mode, "event", processes=1)
    ask = asker()
    assert ask("/object").startswith("session['cart']: _mod_wsgi_")
    assert ".Cart is not storable" in ask("/object")
    assert ask("/cart") == {"cart": [("tea", 1)]}
    # By a change inside: a clean 500, and what was stored is as it was.
    assert ask.browser.get("/late").status_code == 500
    assert ask("/look") == {"cart": [("tea", 1)]}
    assert "session['cart'][1]" in apache.log.read_text()
