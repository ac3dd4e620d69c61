"""The documentation says what is so: its code runs, its tables and links are complete."""

from __future__ import annotations

import http.cookiejar
import inspect
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import coatcheck
import coatcheck.aio
import coatcheck.flask
import httpx
import pytest
from coatcheck._request import RULES
from coatcheck.asgi import SessionMiddleware as AsgiMiddleware
from coatcheck.cookie import MAX_AGE_LIMIT
from coatcheck.django import Cache as DjangoCache
from coatcheck.django import settings as django_settings
from coatcheck.wsgi import SessionMiddleware
from django.conf import global_settings
from flask import Flask
from flask_caching import Cache as FlaskCaching

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))

from pages import PAGES, Block, all_blocks, anchors, blocks, links, prose, table  # noqa: E402

PACKAGES = Path(coatcheck.__file__).resolve().parents[1]
BUILD = PACKAGES.parent
GUIDE = ROOT / "docs" / "guide.md"
CACHE = ROOT / "docs" / "cache.md"
LANGUAGES = {"python", "c", "sh", "lua", "redis", "text", "diagram"}
PATIENCE_S = 60
# A sanitizer that was put before Python is in the way of the compiler.
PLAIN = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def names(items: list[Path] | list[Block]) -> list[str]:
    return [x.place if isinstance(x, Block) else str(x.relative_to(ROOT)) for x in items]


each_page = pytest.mark.parametrize("page", PAGES, ids=names(PAGES))


def each_block(language: str, wanted: Callable[[Block], bool] = lambda block: True):
    found = [block for block in all_blocks(language) if wanted(block)]
    return pytest.mark.parametrize("block", found, ids=names(found))


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What a reader has who follows the pages: a state directory, and leave to start a server."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("COATCHECK_")}
    variables["COATCHECK_ALLOW_ROOT"] = variables["COATCHECK_CACHE_ALLOW_ROOT"] = "1"
    variables["PYTHONPATH"] = str(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="coat-") as home:
        variables["XDG_STATE_HOME"] = home
        yield variables
        stop = "from coatcheck import Store; Store('embedded:').stop_embedded()"
        run([sys.executable, "-c", stop], env=variables)


def run(command: list[str], **options) -> str:
    done = subprocess.run(
        command, timeout=PATIENCE_S, text=True, capture_output=True, check=False, **options
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# ---- Code ---------------------------------------------------------------------------------------


@each_page
def test_every_block_is_in_a_language_that_is_tested(page: Path) -> None:
    unknown = [block.place for block in blocks(page) if block.language not in LANGUAGES]
    assert not unknown


@each_page
def test_every_output_follows_the_code_that_prints_it(page: Path) -> None:
    before = [None, *blocks(page)]
    stray = [
        block.place
        for block, previous in zip(before[1:], before, strict=False)
        if block.language == "text" and (previous is None or previous.language != "python")
    ]
    assert not stray


@each_page
def test_python_prints_what_the_page_says(page: Path, environment: dict[str, str]) -> None:
    run([sys.executable, str(ROOT / "tests" / "docs" / "run_page.py"), str(page)], env=environment)


@each_block("python", lambda block: block.is_test)
def test_a_test_of_the_page_passes(
    block: Block, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "test_page.py"
    file.write_text(block.code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    if "coatcheck" not in entry_points(group="pytest11").names:
        command += ["-p", "coatcheck.pytest_plugin"]  # what installing would have registered
    count = len(re.findall(r"^def test_", block.code, re.MULTILINE))
    assert f"{count} passed" in run(command, env=environment, cwd=tmp_path)


@each_block("python", lambda block: block.is_server)
def test_a_server_of_the_page_counts_visits_across_a_restart(
    block: Block, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "server.py"
    port = free_port()
    assert block.code.count(" 8000") == 1
    file.write_text(block.code.replace(" 8000", f" {port}"), encoding="utf-8")
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
    )
    seen = []
    for _ in range(2):
        with serving(file, port, environment):
            for _ in range(2):
                with opener.open(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as response:
                    seen.append(response.read().decode())
    assert seen == [f"visit {n}\n" for n in (1, 2, 3, 4)]


def test_the_wsgi_example_has_ten_lines() -> None:
    (block,) = [block for block in blocks(ROOT / "README.md") if block.is_server]
    assert len([line for line in block.code.splitlines() if line.strip()]) == 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(file: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(file)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server of the page did not start")


# ---- The demo -----------------------------------------------------------------------------------


def test_every_step_of_the_demo_holds_and_it_leaves_nothing_behind(
    environment: dict[str, str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        command = [sys.executable, str(ROOT / "tests" / "demo" / "demo.py")]
        lines = run(command, env=dict(environment, TMPDIR=directory)).splitlines()
        assert os.listdir(directory) == []
    assert re.fullmatch(r"(\d+) of \1 steps held", lines[-1])


def test_the_demo_serves_a_page_until_it_is_interrupted(environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        command = [sys.executable, str(ROOT / "tests" / "demo" / "demo.py"), "--serve"]
        demo = subprocess.Popen(
            command, env=dict(environment, TMPDIR=directory), stdout=subprocess.PIPE, text=True
        )
        with demo:
            try:
                assert demo.stdout is not None
                url = next(line for line in demo.stdout if re.match(r"http://.*/$", line)).strip()
                with httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as browser:
                    browser.post("/cart", data={"sku": "tea"})
                    assert browser.post("/login", data={"name": "<Ada>"}).status_code == 303
                    page = browser.get("/").text
                    assert "&lt;Ada&gt;" in page and "<li>tea" in page
                    refused = browser.post("/object")
                    assert refused.status_code == 400
                    assert "Customer is not storable" in refused.text
                demo.send_signal(signal.SIGINT)
                assert demo.wait(PATIENCE_S) == 0
            finally:
                demo.kill()
        assert os.listdir(directory) == []


# ---- C ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public headers, as they are installed."""
    to = tmp_path_factory.mktemp("include")
    (to / "coatcheck").mkdir()
    for header in (*ROOT.glob("schema/coat_*.h"), *ROOT.glob("backend/coat*.h")):
        shutil.copy(header, to / "coatcheck")
    return to


def compile_c(source: Path, *flags: str) -> Path:
    """A program of this source with the library, built as the library was."""
    program = source.with_suffix("")
    config = (BUILD / "config.mk").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\w+) = *(.*)$", config, re.MULTILINE))
    before = ("CC", "COAT_CFLAGS", "CFLAGS", "COAT_LDFLAGS", "LDFLAGS")
    command = [word for name in before for word in shlex.split(found[name])]
    command += [*WARNINGS, *flags, "-o", str(program), str(source), str(BUILD / "libcoatcheck.a")]
    command += [word for name in ("DEPS_LIBS", "LIBS") for word in shlex.split(found[name])]
    run(command, env=PLAIN)
    return program


@each_block("c")
def test_c_compiles_and_runs(block: Block, include: Path, tmp_path: Path, redis_server) -> None:
    source = tmp_path / "page.c"
    source.write_text(block.code, encoding="utf-8")
    run([str(compile_c(source, "-I", str(include))), redis_server.url], env=PLAIN)


def test_the_c_example_is_the_one_that_is_built_against_the_installed_library() -> None:
    (block,) = [block for block in blocks(ROOT / "README.md") if block.language == "c"]
    assert block.code == (ROOT / "tests" / "install" / "example.c").read_text(encoding="utf-8")


# ---- Lua ----------------------------------------------------------------------------------------


def test_the_scripts_of_the_pages_are_those_that_run() -> None:
    source = (ROOT / "backend" / "script.c").read_text(encoding="utf-8")
    strings = [re.findall(r'"(.*)\\n"', text) for text in source.split("SCRIPT(")[2:]]
    known = {bare("\n".join(lines)) for lines in strings}
    unknown = [block.place for block in all_blocks("lua") if bare(block.code) not in known]
    assert len(known) >= 2
    assert not unknown


def bare(script: str) -> str:
    """A script without its comments and line breaks."""
    return " ".join(re.sub(r"--.*", "", script).split())


# ---- Shell --------------------------------------------------------------------------------------


@each_block("sh")
def test_every_command_exists(block: Block) -> None:
    for line in block.code.splitlines():
        words = [word for word in shlex.split(line) if "=" not in word or word.startswith("-")]
        assert words[0] in COMMANDS, f"{block.place}: nothing checks {words[0]}"
        COMMANDS[words[0]](words[1:])


@each_page
def test_every_command_in_a_sentence_exists(page: Path) -> None:
    for line in prose(page):
        for command in re.findall(r"`((?:make|\./configure) [^`]+)`", line):
            words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
            COMMANDS[words[0]](words[1:])


def check_make(targets: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^[\w\- ]*\b{target}\b[\w\- ]*:(?!=)", makefile, re.MULTILINE), target


def check_configure(options: list[str]) -> None:
    usage = run([str(ROOT / "configure"), "--help"])
    for option in options:
        assert option.partition("=")[0] in usage, option


def check_pip(words: list[str]) -> None:
    assert words == ["install", "."] and (ROOT / "pyproject.toml").exists()


def check_coatcheck(words: list[str]) -> None:
    """As far as it comes without a server: the command line is right."""
    clean = {name: value for name, value in PLAIN.items() if not name.startswith("COATCHECK_")}
    clean["COATCHECK_URL"] = clean["COATCHECK_CACHE_URL"] = "unix:/nowhere"
    clean["COATCHECK_PREFIX"] = "shop:"
    done = subprocess.run(
        [BUILD / "coatcheck", *words], env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3), done.stderr


def test_the_page_of_the_command_names_each_command_and_no_other() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `coatcheck ([^`]+)` \|", page, re.MULTILINE)
    usage = run([str(BUILD / "coatcheck"), "--help"]).partition("--json")[0]
    lines = [line for line in usage.splitlines() if re.match(r"  [a-z]", line)]
    assert documented == [re.split("  +", line.strip())[0] for line in lines]


def check_cc(words: list[str]) -> None:
    # tests/install runs this line; here it must only name what is there.
    assert "$(pkg-config" in words and (ROOT / "backend" / "coatcheck.pc.in").exists()


def check_python(words: list[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (file,) = words
    assert f"Save this as `{file}`" in readme


def check_coatcheck_bench(words: list[str]) -> None:
    """Its command line is right, and it says that there is no server."""
    clean = {name: value for name, value in PLAIN.items() if not name.startswith("COATCHECK_")}
    words = ["unix:/nowhere" if word.startswith("redis:") else word for word in words]
    done = subprocess.run(
        [BUILD / "bin" / "coatcheck-bench", *words],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3 and "/nowhere" in done.stderr, done.stderr


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<!\S)(--[a-z][a-z-]*)", text))


@pytest.mark.parametrize("command", ["coatcheck", "bin/coatcheck-bench"])
def test_the_manual_page_names_what_help_names(command: str) -> None:
    name = command.rpartition("/")[2]
    usage = run([str(BUILD / command), "--help"])
    page = (ROOT / "backend" / "man" / f"{name}.1").read_text(encoding="utf-8")
    assert f".Nm {name}\n" in page and f".Dt {name.upper()} 1\n" in page
    written = {f"--{flag}" for flag in re.findall(r"Fl -([a-z][a-z-]*)", page)}
    assert written - {"--tls-ca-file", "--password-file"} == flags(usage) - {"--password-file"}
    for line in re.findall(r"^  ([a-z][a-z -]*[a-z])", usage, re.MULTILINE):
        assert line.split("  ")[0] in page, line
    for status in re.findall(r"(\d+): ", usage[usage.index("It ends with") :]):
        assert f".It {status}\n" in page


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "./configure": check_configure,
    "pip": check_pip,
    "cc": check_cc,
    "coatcheck": check_coatcheck,
    "coatcheck-bench": check_coatcheck_bench,
    "python3": check_python,
}


# ---- Tables, links, versions --------------------------------------------------------------------


def test_the_architecture_page_names_every_file_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    folders = [ROOT / folder for folder in ("schema", "backend", "pybind/core", "pybind/coatcheck")]
    files = [file for folder in folders for file in folder.rglob("*.*")]
    assert named == {file.stem for file in files if file.suffix in {".c", ".h", ".py"}}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in links(page):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        to = (page.parent / file).resolve() if file else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize(
    ("heading", "type_", "elsewhere"),
    [("store", coatcheck.Store, object), ("session", coatcheck.Session, MutableMapping)],
)
def test_the_guide_lists_every_method(heading: str, type_: type, elsewhere: type) -> None:
    cells = "".join(row[0] for row in table(GUIDE, heading))
    public = {name for name in dir(type_) if not name.startswith("_")}
    assert set(re.findall(r"`(\w+)", cells)) == public - set(dir(elsewhere))


@pytest.mark.parametrize("type_", [coatcheck.Cache, coatcheck.aio.Cache])
def test_the_cache_page_lists_every_method(type_: type) -> None:
    cells = "".join(row[0] for row in table(CACHE, "method"))
    public = {name for name in dir(type_) if not name.startswith("_")}
    assert set(re.findall(r"`(\w+)", cells)) - {"stop_embedded"} == public - {"stop_embedded"}


def test_the_cache_page_lists_every_option() -> None:
    cells = "".join(row[0] for row in table(CACHE, "option"))
    listed = set(re.findall(r"`(\w+)", cells))
    assert listed == {"url", *coatcheck.CacheOptions.__annotations__}


@pytest.mark.parametrize(
    "page, middleware", [("wsgi.md", SessionMiddleware), ("asgi.md", AsgiMiddleware)]
)
def test_a_page_lists_every_argument_of_its_middleware_with_its_default(
    page: str, middleware: type
) -> None:
    rows = table(ROOT / "docs" / page, "argument")
    arguments = inspect.signature(middleware).parameters.values()
    known = {
        argument.name: "Cookie()" if argument.name == "cookie" else repr(argument.default)
        for argument in arguments
        if argument.kind is argument.KEYWORD_ONLY
    }
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == known


def test_the_pyramid_page_lists_every_setting_with_its_default() -> None:
    defaults = {f"cookie_{name}": value for name, value in vars(coatcheck.Cookie()).items()}
    known = {
        f"coatcheck.{name}": "" if value is None else str(value)
        for name, value in {**defaults, **RULES}.items()
    }
    rows = table(ROOT / "docs" / "pyramid.md", "setting")
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == known


def test_the_flask_page_lists_every_setting_with_its_default() -> None:
    app = Flask("page")
    cookie = vars(coatcheck.flask._cookie(app))
    known = {name: app.config[name] for name in app.config if name.startswith("SESSION_")}
    known |= {f"SESSION_COOKIE_{name.upper()}": cookie[name] for name in {*cookie} - {"max_age"}}
    known |= {f"COATCHECK_{name.upper()}": default for name, default in RULES.items()}
    known["PERMANENT_SESSION_LIFETIME"] = known["COATCHECK_IDLE"] = app.permanent_session_lifetime
    known["COATCHECK_LIFETIME"] = timedelta(seconds=MAX_AGE_LIMIT)
    rows = table(ROOT / "docs" / "flask.md", "setting")
    said = {row[0].strip("`"): row[1].strip("`") for row in rows}
    assert said == {name: repr(value).replace("datetime.", "") for name, value in known.items()}


def test_the_django_page_lists_every_setting_with_its_default() -> None:
    others = ("ENGINE", "CACHE_ALIAS", "FILE_PATH", "SERIALIZER")
    known = {
        name: value
        for name, value in vars(global_settings).items()
        if name.startswith("SESSION_") and name.removeprefix("SESSION_") not in others
    }
    known |= {
        f"COATCHECK_{name.upper()}": value for name, value in django_settings.DEFAULTS.items()
    }
    known["COATCHECK_IDLE"] = known["SESSION_COOKIE_AGE"]
    known["COATCHECK_LIFETIME"] = timedelta(seconds=MAX_AGE_LIMIT)
    rows = table(ROOT / "docs" / "django.md", "setting")
    said = {row[0].strip("`"): row[1].strip("`") for row in rows}
    assert said == {name: repr(value).replace("datetime.", "") for name, value in known.items()}


def test_the_django_page_names_every_check() -> None:
    source = (ROOT / "pybind" / "coatcheck" / "django" / "checks.py").read_text(encoding="utf-8")
    cells = " ".join(row[0] for row in table(ROOT / "docs" / "django.md", "number"))
    named = re.findall(r"coatcheck\.[EW]\d{3}", cells)
    assert named == sorted(set(re.findall(r"coatcheck\.[EW]\d{3}", source)))


def test_the_page_of_djangos_cache_lists_what_its_settings_are_by_default() -> None:
    cache = DjangoCache("redis://localhost", {"OPTIONS": {"prefix": "shop:"}})
    rows = table(ROOT / "docs" / "django_cache.md", "of `CACHES`")
    said = {row[0].strip("`"): row[1].strip("`") for row in rows}
    assert said.pop("LOCATION") == repr("") and said.pop("OPTIONS") == said.pop("KEY_FUNCTION")
    assert said == {
        "TIMEOUT": repr(cache.default_timeout),
        "KEY_PREFIX": repr(cache.key_prefix),
        "VERSION": repr(cache.version),
    }


def test_the_page_of_flask_caching_has_its_defaults() -> None:
    config = {"CACHE_TYPE": "coatcheck.flask_caching.Cache", "CACHE_REDIS_HOST": "localhost"}
    app = Flask(__name__)
    app.config.update(config)
    cache: Any = FlaskCaching(app)
    rows = table(ROOT / "docs" / "flask_caching.md", "setting")
    said = {row[0].strip("`"): row[1].strip("`") for row in rows}
    with app.app_context():
        assert said["CACHE_DEFAULT_TIMEOUT"] == str(cache.cache.default_timeout)
        assert f"prefix {said['CACHE_KEY_PREFIX']}>" in repr(cache.cache._cache)


def test_the_guide_lists_every_option() -> None:
    listed = {row[0].strip("`") for row in table(GUIDE, "option")}
    assert listed == {"url", *coatcheck.StoreOptions.__annotations__}


def test_the_guide_has_the_defaults_of_the_library(tmp_path: Path) -> None:
    source = shutil.copy(ROOT / "tests" / "docs" / "defaults.c", tmp_path)
    flags = [f"-I{ROOT / 'schema'}", f"-I{ROOT / 'backend'}"]
    lines = run([str(compile_c(Path(source), *flags))], env=PLAIN).splitlines()
    defaults = dict(line.split() for line in lines)
    assert {row[0].strip("`"): row[1] for row in table(GUIDE, "option") if row[1]} == defaults


def test_every_error_has_its_row() -> None:
    page = ROOT / "docs" / "errors.md"
    text = page.read_text(encoding="utf-8")
    exceptions = {
        name
        for name, value in vars(coatcheck).items()
        if isinstance(value, type) and issubclass(value, coatcheck.Error)
    }
    header = (ROOT / "schema" / "coat_error.h").read_text(encoding="utf-8")
    codes = set(re.findall(r"\bCOAT_E[A-Z]+\b(?= = -)", header))
    assert exceptions | codes <= set(re.findall(r"`(\w+)", text))
    assert codes == {row[1].strip("`") for row in table(page, "Python")} - {""}


def test_the_folder_map_is_complete() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "build"))
    }
    assert folders == {"backend", "docs", "pybind", "schema", "tests"}
    assert {folder for folder in folders if f"| `{folder}/` |" in readme} == folders


def test_the_architecture_names_every_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sources = [
        path
        for pattern in ("schema/**/*.[ch]", "backend/**/*.[ch]", "pybind/**/*.[ch]")
        for path in ROOT.glob(pattern)
    ] + list((ROOT / "pybind" / "coatcheck").glob("*.py"))
    named = set(re.findall(r"`([\w/]+)(?:\.[ch]|\.py)?`", text))
    assert {path.stem for path in sources if path.stem not in named} == set()


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+?),", text, re.MULTILINE)[1] == coatcheck.__version__
