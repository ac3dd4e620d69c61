"""Each test that is named for a security requirement names one that there is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))

import requirements  # noqa: E402
from requirements import NamedTest  # noqa: E402

TEST = "test_req_57_it_is_refused_in_both_directions"


def test_every_row_of_the_page_is_a_requirement_of_its_own() -> None:
    page = requirements.PAGE.read_text(encoding="utf-8")
    numbers = re.findall(r"^\| *(\d+)", page, re.MULTILINE)
    assert numbers == list(requirements.requirements())
    assert numbers == sorted(set(numbers))


def test_every_number_in_the_name_of_a_test_is_a_requirement() -> None:
    known = set(requirements.requirements())
    wrong = [
        test
        for test in requirements.named_tests()
        if not test.numbers or not known.issuperset(test.numbers)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("req_24_after_a_logout_nobody_saves", ["24"]),
        ("test_req_25_31_a_logout_takes_both", ["25", "31"]),
        ("req_8_the_id_is_not_sent", []),
        ("req24_nobody_saves", []),
        ("req_100_nothing", []),
        ("req_24", []),
    ],
)
def test_numbers_have_two_digits_and_stand_before_the_fact(name: str, numbers: list[str]) -> None:
    assert NamedTest("unit/test_sid", name).numbers == numbers


def test_tests_are_found_in_c_and_in_python() -> None:
    found = requirements.named_tests()
    assert (
        NamedTest("unit/test_check", "req_53_a_million_lists_within_each_other_are_an_error")
        in found
    )
    assert NamedTest("py/test_wsgi", "test_req_12_a_change_of_privilege_changes_the_id") in found


def test_the_result_of_a_test_is_the_worst_of_all_its_runs(tmp_path: Path) -> None:
    (tmp_path / "C-unit.log").write_text(
        "# build/tests/unit/test_sid\n1..3\nok 1 - req_01_drawn\nok 2 - req_02_blind\n"
        "not ok 3 - req_03_short\n# why\n# build/tests/unit/test_url\nok 1 - req_01_drawn # SKIP\n"
    )
    (tmp_path / "C-under-ASan.log").write_text(
        "# build/asan/build/tests/unit/test_sid\nnot ok 1 - req_01_drawn\nok 2 - req_02_blind\n"
        "ok 3 - req_03_short\n# build/asan/build/tests/unit/test_url\n"
        "not ok - build/asan/build/tests/unit/test_url ended with status 139\n"
    )
    assert requirements.results(tmp_path) == {
        NamedTest("unit/test_sid", "req_01_drawn"): "failed",
        NamedTest("unit/test_sid", "req_02_blind"): "passed",
        NamedTest("unit/test_sid", "req_03_short"): "failed",
        NamedTest("unit/test_url", "req_01_drawn"): "skipped",
        NamedTest("unit/test_url", ""): "failed",
    }


def test_a_test_of_python_fails_with_any_of_its_cases(tmp_path: Path) -> None:
    cases = {"a[x]": "", "a[y]": "<failure/>", "b": "<error/>", "c": "<skipped/>", "d": ""}
    tests = [
        f'<testcase classname="tests.py.test_a" name="{n}">{c}</testcase>' for n, c in cases.items()
    ]
    (tmp_path / "Python.xml").write_text(f"<testsuites>{''.join(tests)}</testsuites>")
    found = {test.name: result for test, result in requirements.results(tmp_path).items()}
    assert found == {"a": "failed", "b": "failed", "c": "skipped", "d": "passed"}


@pytest.fixture
def two_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "requirements.md"
    page.write_text("| 57 | Too large is refused. | CWE-400 |\n| 58 | Not built. | CWE-400 |\n")
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "test_a.py").write_text(f"def {TEST}() -> None:\n")
    monkeypatch.setattr(requirements, "PAGE", page)
    monkeypatch.setattr(requirements, "TESTS", tmp_path)
    return tmp_path


def test_the_table_shows_what_has_no_test_and_no_result(
    two_requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements.main([str(two_requirements / "none")])
    assert capsys.readouterr().out.splitlines() == [
        "57  not run   Too large is refused.",
        f"              not run: py/test_a: {TEST}",
        "58  open      Not built.",
        "requirements: 1 not run, 1 open",
    ]


def test_the_short_table_is_its_last_line(
    two_requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = f'<testcase classname="tests.py.test_a" name="{TEST}"/>'
    (two_requirements / "Python.xml").write_text(f"<testsuites>{case}</testsuites>")
    requirements.main(["--short", str(two_requirements)])
    assert capsys.readouterr().out == "requirements: 1 passed, 1 open\n"
