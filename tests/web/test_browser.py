"""A real browser at the page of the demo, over TLS: what it makes of our cookies and headers."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import threading
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any

import pytest
from coatcheck import Cookie
from coatcheck.wsgi import SessionMiddleware
from conftest import PATIENCE_S, RedisServer, wait_for
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parents[2]
NAME = "__Host-session"

Open = Callable[[], "Browser"]


# ---- What is served ------------------------------------------------------------------------


class Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "HTTPS": "on"}


class Shop:
    """The demo's application, and a request that takes as long as a test says."""

    def __init__(self, module: Any) -> None:
        self._page = module.application
        self.app = module.SessionMiddleware(self, module.store)
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.cookies: list[str | None] = []  # that came with forms

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "POST":
            self.cookies.append(environ.get("HTTP_COOKIE"))
        if environ["PATH_INFO"] != "/slow":
            return self._page(environ, start_response)
        session = environ["coatcheck.session"]
        seen = session.get("name", "stranger")
        self.reached.set()
        assert self.go_on.wait(PATIENCE_S)
        session["late"] = True
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [seen.encode()]


FOREIGN = b"""<!doctype html><title>elsewhere</title>
<form method="post" action="https://localhost:%d/cart"><input name="sku" value="planted">
<button id="post">post</button></form>
<a id="link" href="https://localhost:%d/">link</a>"""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("certs")
    subprocess.run(["sh", ROOT / "tests/certs.sh", folder], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


@contextmanager
def serving(app: Any, host: str, tls: ssl.SSLContext) -> Iterator[int]:
    server = wsgiref.simple_server.make_server(host, 0, app, Server, QuietHandler)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shop(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_PREFIX", "shop:")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "demo"))
    for name in ("page", "page_wsgi"):
        sys.modules.pop(name, None)
    import page_wsgi

    with page_wsgi.store:
        yield Shop(page_wsgi)


@pytest.fixture
def port(shop: Shop, tls: ssl.SSLContext) -> Iterator[int]:
    with serving(shop.app, "localhost", tls) as port:
        yield port


@pytest.fixture
def elsewhere(port: int, tls: ssl.SSLContext) -> Iterator[str]:
    """A page of another site, with a form and a link to ours."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [FOREIGN % (port, port)]

    with serving(app, "127.0.0.1", tls) as other:
        yield f"https://127.0.0.1:{other}/"


# ---- Who looks at it -----------------------------------------------------------------------


class Browser:
    """One profile of Chromium, at the page."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.visit()

    def visit(self) -> None:
        self.driver.get(self.url)

    def click(self, button: str) -> None:
        """Once; the page that comes of it is there afterwards."""
        before = self._html()
        self.driver.find_element(By.XPATH, f"//button[normalize-space()='{button}']").click()
        wait_for(lambda: self._html() not in (None, before), "the next page")

    def _html(self) -> str | None:
        """The page that is there, once all of it is."""
        if self.driver.execute_script("return document.readyState") != "complete":
            return None
        found = self.driver.find_elements(By.TAG_NAME, "html")
        return found[0].id if found else None

    def log_in(self, name: str) -> None:
        self.driver.find_element(By.NAME, "name").send_keys(name)
        self.click("Log in")
        assert self.name == name

    @property
    def name(self) -> str | None:
        shown = self.driver.find_elements(By.ID, "name")
        return shown[0].text if shown else None

    @property
    def cart(self) -> list[str]:
        items = self.driver.find_elements(By.CSS_SELECTOR, "#cart li")
        return [item.text.replace("\N{MULTIPLICATION SIGN}", "x") for item in items]

    @property
    def devices(self) -> int:
        return len(self.driver.find_elements(By.CSS_SELECTOR, "#devices tr"))

    @property
    def cookie(self) -> dict[str, Any] | None:
        """Ours, with all that the browser keeps of it."""
        kept = self.driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]
        ours = [cookie for cookie in kept if cookie["name"] == NAME]
        assert len(ours) < 2
        return ours[0] if ours else None


@pytest.fixture
def open_browser(port: int, tmp_path: Path) -> Iterator[Open]:
    drivers: list[webdriver.Chrome] = []

    def open_browser() -> Browser:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (
            "--headless=new",
            "--no-sandbox",  # which root must not have
            "--disable-dev-shm-usage",
            "--ignore-certificate-errors",
            "--window-size=800,1000",
            f"--user-data-dir={tmp_path}/profile{len(drivers)}",
        ):
            options.add_argument(argument)
        drivers.append(
            webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        )
        return Browser(drivers[-1], f"https://localhost:{port}/")

    yield open_browser
    for driver in drivers:
        driver.quit()


# ---- Tests ---------------------------------------------------------------------------------


def test_req_32_33_34_35_42_the_browser_keeps_the_cookie_with_its_flags(open_browser: Open) -> None:
    browser = open_browser()
    assert browser.cookie is None
    browser.click("tea")
    cookie = browser.cookie
    assert cookie is not None
    flags = {name: cookie[name] for name in ("domain", "path", "secure", "httpOnly", "session")}
    assert flags == {
        "domain": "localhost",
        "path": "/",
        "secure": True,
        "httpOnly": True,
        "session": True,
    }
    assert cookie["sameSite"] == "Lax"
    assert browser.driver.execute_script("return document.cookie") == ""
    browser.click("cup")
    assert browser.cart == ["tea x 1", "cup x 1"]


def test_req_37_a_twin_that_a_script_has_set_for_a_folder_is_gone_with_the_next_response(
    open_browser: Open, shop: Shop, tls: ssl.SSLContext
) -> None:
    """As a sibling domain can, where the name of the cookie does not begin with __Host-."""
    came: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/favicon.ico":
            start_response("404 Not Found", [])
            return []
        came.append(environ.get("HTTP_COOKIE", ""))
        session = environ["coatcheck.session"]
        session["visits"] = session.get("visits", 0) + 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(session["visits"]).encode()]

    driver = open_browser().driver
    ours = SessionMiddleware(app, shop.app.store, cookie=Cookie("s"))
    with serving(ours, "localhost", tls) as port:
        visits = []
        for planted in (None, None, "path=/caf%C3%A9", "path=/caf%C3%A9/; partitioned", None):
            if planted:
                driver.execute_script(f"document.cookie = 's=planted; secure; {planted}'")
            driver.get(f"https://localhost:{port}/caf\xe9/menu")
            visits.append(driver.find_element(By.TAG_NAME, "body").text)
    assert [cookies.count("s=") for cookies in came] == [0, 1, 2, 2, 1]
    assert visits == ["1", "2", "1", "1", "2"]


def test_req_11_31_login_changes_the_cookie_and_logout_takes_it(open_browser: Open) -> None:
    browser = open_browser()
    browser.click("tea")
    before = browser.cookie
    browser.log_in("Ada")
    assert browser.cart == ["tea x 1"]
    assert browser.cookie is not None and before is not None
    assert browser.cookie["value"] != before["value"]
    browser.click("Log out")
    assert browser.cookie is None and browser.name is None


def test_req_34_a_form_of_another_site_comes_without_the_session(
    open_browser: Open, shop: Shop, elsewhere: str
) -> None:
    browser = open_browser()
    browser.log_in("Ada")
    browser.click("tea")
    assert shop.cookies[-1] is not None
    browser.driver.get(elsewhere)
    browser.click("post")
    assert shop.cookies[-1] is None
    assert "sent by another site" in browser.driver.page_source
    browser.visit()
    assert browser.name == "Ada" and browser.cart == ["tea x 1"]


def test_a_link_of_another_site_finds_the_session(open_browser: Open, elsewhere: str) -> None:
    browser = open_browser()
    browser.log_in("Ada")
    browser.driver.get(elsewhere)
    browser.driver.find_element(By.ID, "link").click()
    wait_for(lambda: browser.driver.current_url == browser.url, "our page")
    assert browser.name == "Ada"


def test_log_out_everywhere_from_a_second_profile(open_browser: Open) -> None:
    first, second = open_browser(), open_browser()
    first.log_in("Ada")
    second.log_in("Ada")
    assert second.devices == 2
    second.click("Log out everywhere")
    assert second.name is None and second.cookie is None
    first.visit()
    assert first.name is None


def test_one_device_ends_another(open_browser: Open) -> None:
    first, second = open_browser(), open_browser()
    first.log_in("Ada")
    second.log_in("Ada")
    second.click("end")
    assert second.name == "Ada" and second.devices == 1
    first.visit()
    assert first.name is None


def test_a_slow_request_that_ends_after_a_login_does_not_take_the_login_away(
    open_browser: Open, shop: Shop
) -> None:
    browser = open_browser()
    browser.click("tea")
    browser.driver.execute_script(
        "window.open('/slow', 'slow')"  # a tab of its own, so that it goes on
    )
    assert shop.reached.wait(PATIENCE_S)
    browser.log_in("Ada")
    shop.go_on.set()
    main = browser.driver.current_window_handle
    browser.driver.switch_to.window("slow")
    wait_for(lambda: "stranger" in browser.driver.page_source, "the slow response")
    browser.driver.switch_to.window(main)
    browser.visit()
    assert browser.name == "Ada" and browser.cart == ["tea x 1"]


def test_req_43_after_a_logout_the_back_button_shows_nothing(open_browser: Open) -> None:
    browser = open_browser()
    browser.log_in("Ada")
    browser.click("tea")
    browser.click("Log out")
    assert browser.name is None
    for _ in range(3):
        browser.driver.back()
        wait_for(lambda: browser._html(), "the page before")
        assert "Ada" not in browser.driver.page_source and "tea" not in "".join(browser.cart)


def test_what_cannot_be_stored_is_explained_on_the_page(open_browser: Open) -> None:
    browser = open_browser()
    browser.log_in("Ada")
    browser.click("tea")
    browser.click("Try to store one")
    said = browser.driver.find_element(By.ID, "error").text
    assert said.startswith("session['customer']['who'][0]: page.Customer is not storable")
    picture = Path("build", "page.png")  # for people
    if picture.parent.is_dir():
        browser.driver.save_screenshot(str(picture))
