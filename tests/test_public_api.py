import subprocess
import sys

import pytest

import hms_async
from hms_async import errors


def test_everything_public_is_there_and_named_once() -> None:
    names = hms_async.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(hms_async, name)] == []


def test_every_error_can_be_caught_from_the_package() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.HMSError)
    }
    assert tree <= set(hms_async.__all__)


def test_what_is_imported_late_is_listed_and_a_misspelt_name_is_not_there() -> None:
    assert set(hms_async.__all__) <= set(dir(hms_async))
    with pytest.raises(AttributeError, match="has no attribute 'AsyncWorkr'"):
        getattr(hms_async, "AsyncWorkr")  # noqa: B009  # a checker would see it


def test_a_client_imports_neither_the_worker_nor_what_only_logs_need() -> None:
    code = "from hms_async import AsyncOMSClient; import sys; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603  # the code above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "hms_async.client" in modules
    assert modules.isdisjoint({"hms_async.worker", "structlog", "rich"})
