import sys
from pathlib import Path

import pytest

from hms_async import AsyncWorker
from hms_async.cli import target
from hms_async.errors import HandlerInvalid
from hms_async.runtime.process import refuse_while_importing


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("service:validate", ["validate"]),
        ("service:check_kyc", ["check_kyc"]),
        ("service", ["check_kyc", "send_mail"]),
    ],
)
def test_loads_what_it_names(spec: str, names: list[str]) -> None:
    assert [found.__name__ for found in target.load(spec)] == names


def test_loads_a_worker_and_what_is_inside_of_something(tmp_path: Path) -> None:
    assert isinstance(target.load("service:worker")[0], AsyncWorker)
    (tmp_path / "clerks.py").write_text(
        "class Clerk:\n    @staticmethod\n    async def stamp(task): ...\n"
    )
    assert target.load("clerks:Clerk.stamp")[0].__name__ == "stamp"


def test_a_dot_in_place_of_the_colon_is_taken_with_a_hint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "mod.py").write_text("async def work(task): ...\n")
    assert target.load("pkg.mod.work")[0].__name__ == "work"
    assert capsys.readouterr().err == "hint: taken as pkg.mod:work\n"
    assert target.load("pkg.mod:work")[0].__name__ == "work"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("servise:validate", 'no module "servise". Did you mean "service"?'),
        ("zzz:validate", 'no module "zzz". (looked in '),
        ("service:validat", '"service" has no "validat". Did you mean "validate"?'),
        ("service.validat", '"service" has no "validat". Did you mean "validate"?'),
        ("service.py", "a target names a module: write service:handler"),
        ("./app/service.py:validate", "write app.service:validate"),
        ("service:", '"service:" is not a target: write module:handler'),
        (":validate", '":validate" is not a target'),
        ("a b", '"a b" is not a target'),
    ],
)
def test_a_wrong_target_says_what_to_type(spec: str, said: str) -> None:
    with pytest.raises(HandlerInvalid) as caught:
        target.load(spec)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", 'importing "other" failed: ZeroDivisionError: division by zero (other.py:1)'),
        ("\nimport cv3", "ModuleNotFoundError: No module named 'cv3' (other.py:2)"),
        ("def f(:", 'importing "other" failed: SyntaxError: invalid syntax (other.py:1)'),
        ("import sys; sys.exit(3)", 'importing "other" ended Python: sys.exit(3)'),
        ("x = 1", '"other" has no function decorated with @handler(queue=...)'),
        ("from service import worker", "name what to run, other:worker"),
    ],
)
def test_a_module_that_cannot_be_used_says_why(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "other.py").write_text(source)
    with pytest.raises(HandlerInvalid) as caught:
        target.load("other")
    assert said in str(caught.value)
    refuse_while_importing()  # the mark is gone


@pytest.mark.parametrize("start", ["worker.run_forever()", "anyio.run(worker.run)"])
def test_a_script_that_starts_its_worker_when_imported_is_refused(
    tmp_path: Path, start: str
) -> None:
    (tmp_path / "script.py").write_text(f"import anyio\nfrom service import worker\n{start}\n")
    with pytest.raises(HandlerInvalid) as caught:
        target.load("script:worker")
    assert 'put that under if __name__ == "__main__": (script.py:3)' in str(caught.value)


def test_the_current_directory_comes_first() -> None:
    target.load("service")
    assert sys.path[0] == str(Path.cwd())
