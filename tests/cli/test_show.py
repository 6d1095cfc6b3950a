import pytest

from hms_async.cli import show

NOW = 1_800_000_000_000


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")


def test_times_are_iso_where_no_person_reads() -> None:
    assert show.moment(NOW) == "2027-01-15T08:00:00.000Z"
    assert show.due(NOW, NOW + 1) == "2027-01-15T08:00:00.000Z"
    assert show.moment(None) == "-"


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-90_500, "1m30s ago"),
        (-400, "0s ago"),
        (7_200_000, "in 2h"),
        (5_432_100, "in 1h30m"),
    ],
)
def test_times_are_relative_for_people(ms: int, said: str) -> None:
    assert show.moment(NOW + ms, NOW) == said


@pytest.mark.usefixtures("_terminal")
def test_what_is_late_stands_out() -> None:
    assert show.due(NOW - 60_000, NOW) == show.Marked("1m late", "red")
    assert show.due(NOW + 60_000, NOW) == "in 1m"


def test_plain_columns_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["ID", "WHAT"], [["x" * 200, "\x1b[2J"], ["y", show.Marked("z", "red")]])
    assert capsys.readouterr().out.splitlines() == [
        "ID" + " " * 200 + "WHAT",
        "x" * 200 + "  " + r"\x1b[2J",
        "y" + " " * 201 + "z",
    ]


@pytest.mark.usefixtures("_terminal")
def test_a_terminal_gets_its_width_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["ID", "WHAT"], [["x" * 26, "[red]" + "w " * 40], ["y", "\x1b[2J"]])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 60
    assert "x" * 26 in text
    assert "[red]" in text
    assert r"\x1b[2J" in text


@pytest.mark.usefixtures("_terminal")
def test_json_is_indented_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    show.json("x", a=1)
    assert capsys.readouterr().out == '{\n  "schema": "hms.x/v1",\n  "a": 1\n}\n'


def test_pairs_keep_the_lines_of_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    show.pairs([("one", 1), ("longer", "a\nb")])
    assert capsys.readouterr().out == "one     1\nlonger  a\n        b\n"
