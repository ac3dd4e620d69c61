"""coatcheck.bench: the record of a run, and the page that is made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from coatcheck.bench import __main__, page, record
from coatcheck.bench.figures import Spread, Table, as_markdown, turned
from coatcheck.bench.measure import Ratio
from coatcheck.bench.record import Record
from coatcheck.bench.report import Row, as_rows, behind

ROOT = Path(__file__).parents[2]
PAGE, RECORD = ROOT / "docs/benchmarks/page.md.in", ROOT / "docs/benchmarks/record.json"

COMPARED = as_rows(
    [
        Row("encode", "small", "fast", Ratio(0.8, 0.9, 1.1), 0.5),
        Row("encode", "small", "slow", Ratio(1.8, 1.9, 2.1), 2.0, Spread(1, 2, 3)),
        Row("encode", "large", "slow", Ratio(2.8, 2.9, 3.1), 2.0),
    ],
    "values",
    "Values",
)
TABLE = Table(
    "A title", ("n", "name", "us"), [(1, "a", Spread(1.0, 2.0, 3.5)), (2, None, None)], "t"
)


def a_record(subject: str = "codec", note: str = "") -> Record:
    there, missing = {"coatcheck": "0.1.0"}, {"other": "pip install other"}
    return Record(subject, "2026-01-02", "bench", "here", there, missing, [COMPARED, TABLE], note)


def test_a_record_comes_back_as_it_was() -> None:
    records = [a_record(), a_record("session", "a note")]
    assert record.of_json(record.as_json(records)) == records


def test_a_row_is_one_line_of_the_file() -> None:
    assert '      [1, "a", [1.0, 2.0, 3.5]],' in record.as_json([a_record()]).split("\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"coatcheck-bench": 2, "runs": []}', "but of 2"),
        ("{}", "but of None"),
        ("{", "Expecting"),
        ('{"coatcheck-bench": 1, "runs": [{"tables": []}]}', "missing"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as refused:
        record.read(path)
    assert str(path) in str(refused.value)


def test_a_row_that_is_not_as_long_as_its_head_is_refused() -> None:
    found = json.loads(record.as_json([a_record()]))
    found["runs"][0]["tables"][1]["rows"][0].pop()
    with pytest.raises(ValueError, match="not as long"):
        record.of_json(json.dumps(found))


def test_a_new_run_takes_the_place_of_the_one_of_its_subject(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record.keep(path, [a_record("codec"), a_record("session")])
    record.keep(path, [a_record("codec", "new")])
    assert [(one.subject, one.note) for one in record.read(path)] == [
        ("codec", "new"),
        ("session", ""),
    ]


def test_what_is_printed_names_the_machine_versions_and_who_is_missing() -> None:
    said = record.printed(a_record(note="a note"))
    for part in ("2026-01-02", "here", "coatcheck 0.1.0", "pip install other", "a note"):
        assert part in said
    assert "1 below its goal." in said


def test_where_we_are_not_ahead_has_lines_of_its_own() -> None:
    assert [row[:3] for row in behind(COMPARED).rows] == [
        ("encode", "small", "fast"),
        ("encode", "small", "slow"),
    ]


def test_a_table_is_turned() -> None:
    found = turned(COMPARED, ["quantity", "against"], "their time / ours", "case")
    assert found.columns == ("quantity", "against", "small", "large")
    assert found.rows[0] == ("encode", "fast", Ratio(0.8, 0.9, 1.1), None)
    assert found.rows[1] == ("encode", "slow", Ratio(1.8, 1.9, 2.1), Ratio(2.8, 2.9, 3.1))
    assert "| encode | fast | 0.90 (0.80-1.10) |  |" in as_markdown(found)


def test_a_page_has_its_tables_where_they_belong() -> None:
    found = page.filled("a\n@about codec\n@table codec t\n@behind codec values\nb", [a_record()])
    assert found.startswith("a\n") and found.endswith("\nb")
    assert "| 1 | a | 2.00 (1.00-3.50) |" in found and "other is missing" in found


@pytest.mark.parametrize(
    "line", ["@table nobody t", "@table codec nothing", "@turned codec t|x|us|n"]
)
def test_a_page_that_asks_for_what_is_not_there_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"nothing of|no table|no column"):
        page.filled(line, [a_record()])


def test_a_figure_is_never_without_its_spread() -> None:
    """Neither in the record nor in what is printed of it: a number alone in a cell is a name."""
    for one in record.read(RECORD):
        for table in one.tables:
            for row in table.rows:
                for column, cell in zip(table.columns, row, strict=True):
                    assert not isinstance(cell, float), (one.subject, table.name, column)
                    if isinstance(cell, int):
                        assert column in ("sessions", "writers"), (one.subject, table.name, column)
                    if isinstance(cell, Spread):
                        assert str(cell).endswith(("exact", "(?)", ")"))


def test_a_spread_that_was_not_kept_is_only_in_what_was_transcribed() -> None:
    for one in record.read(RECORD):
        cells = [cell for table in one.tables for row in table.rows for cell in row]
        unknown = any(isinstance(cell, Spread) and cell.low is None for cell in cells)
        assert not unknown or one.note.startswith("Transcribed"), one.subject


def test_the_page_is_what_the_command_makes_of_the_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise: make bench-report."""
    monkeypatch.setattr(sys, "argv", ["bench", "report", str(PAGE), str(RECORD)])
    assert __main__.main() == 0
    assert capsys.readouterr().out == (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")


def test_a_part_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "codec", "--only", "smal"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
