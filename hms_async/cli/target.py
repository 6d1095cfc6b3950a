"""From `worker.module:handler` to what it names."""

import importlib
import importlib.util
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hms_async.cli import show
from hms_async.cli.errors import described, nearest
from hms_async.errors import HandlerInvalid
from hms_async.runtime.handlers import mark_of
from hms_async.runtime.process import importing_target
from hms_async.worker import AsyncWorker


def load(spec: str) -> list[Any]:
    """Return what a target names: one object, or all decorated handlers of a module.

    Raises:
        HandlerInvalid: If there is no such thing; the message says what to type instead.
    """
    _refuse_path(spec)
    name, colon, path = spec.partition(":")
    if not all(part.isidentifier() for part in f"{name}.{path if colon else name}".split(".")):
        raise HandlerInvalid(f'"{spec}" is not a target: write module:handler')
    if colon:
        return [_attribute(_module(name), path)]
    if (found := _dotted(name)) is not None:
        return [found]
    return _handlers(_module(name))


def _refuse_path(spec: str) -> None:
    """A file's name is what a shell completes, so it is what people type."""
    file, _, attribute = spec.partition(":")
    if "/" not in file and not file.endswith(".py"):
        return
    name = file.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".")
    raise HandlerInvalid(
        f'"{file}" is a file, and a target names a module: write {name}:{attribute or "handler"}'
    )


def _dotted(name: str) -> Any:
    """Return what `module.handler` means, unless it is a module."""
    parent, dot, attribute = name.rpartition(".")
    if not dot or _exists(name) or not _exists(parent):
        return None
    found = _attribute(_module(parent), attribute)
    show.say(f"hint: taken as {parent}:{attribute}")
    return found


def _exists(name: str) -> bool:
    """Return whether there is such a module, without running it (its parents are run)."""
    with _like_python():
        try:
            return importlib.util.find_spec(name) is not None
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(f"{error.name}.")):
                return False
            raise HandlerInvalid(f'importing "{name}" failed: {described(error)}') from error
        except Exception as error:
            raise HandlerInvalid(f'importing "{name}" failed: {described(error)}') from error


def _module(name: str) -> ModuleType:
    if not _exists(name):
        here = [*_modules_here(name)]
        hint = nearest(name.rpartition(".")[2], here) or f"(looked in {Path.cwd()}, too)"
        raise HandlerInvalid(f'no module "{name}". {hint}')
    with _like_python():
        try:
            return importlib.import_module(name)
        except Exception as error:
            raise HandlerInvalid(f'importing "{name}" failed: {described(error)}') from error
        except SystemExit as error:
            raise HandlerInvalid(f'importing "{name}" ended Python: sys.exit({error})') from error


@contextmanager
def _like_python() -> Generator[None]:
    """Import as `python -m` does: the current directory first, and no worker started by it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with importing_target():
        yield


def _modules_here(name: str) -> Iterator[str]:
    folder = Path.cwd().joinpath(*name.split(".")[:-1])
    yield from (file.stem for file in folder.glob("*.py"))
    yield from (file.parent.name for file in folder.glob("*/__init__.py"))


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [name for name in dir(found) if not name.startswith("_")]
            raise HandlerInvalid(
                f'"{module.__name__}" has no "{path}". {nearest(part, known)}'.rstrip()
            ) from None
    return found


def _handlers(module: ModuleType) -> list[Any]:
    """Return a module's decorated handlers, those that it has imported included."""
    named = vars(module)
    found = {id(value): value for value in named.values() if _is_marked(value)}
    if found:
        return list(found.values())
    workers = [name for name, value in named.items() if isinstance(value, AsyncWorker)]
    name = workers[0] if workers else "handler"
    raise HandlerInvalid(
        f'"{module.__name__}" has no function decorated with @handler(queue=...): '
        f"name what to run, {module.__name__}:{name}"
    )


def _is_marked(value: object) -> bool:
    return callable(value) and not isinstance(value, type) and mark_of(value) is not None
