"""What is watched is looked at once for all, and its page's part is built once for each version."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel
import pytest
from markupsafe import Markup

from hms_async.api.dashboard.hub import Hub
from hms_async.api.dashboard.parts import Part, Parts
from hms_async.errors import QueueNotFound, StoreUnavailable

if TYPE_CHECKING:
    from hms_async.api.dashboard.entry import Look


class World:
    """What the hub looks at, in a test's hands."""

    def __init__(self) -> None:
        self.looks = 0
        self.seen: object = 0
        self.error: Exception | None = None
        self.looked = anyio.Event()

    async def pulse(self, _: str) -> object:
        self.looks += 1
        looked, self.looked = self.looked, anyio.Event()
        looked.set()
        if self.error is not None:
            raise self.error
        return self.seen

    async def after_a_look(self) -> None:
        """Wait until one whole look is over."""
        with anyio.fail_after(10):
            await self.looked.wait()
            await self.looked.wait()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("hms_async.api.dashboard.hub.LOOK_EVERY_S", 0.01)
    return World()


@pytest.fixture
def hub(world: World) -> Hub:
    return Hub(world.pulse)


async def test_nothing_is_looked_at_while_nobody_watches(hub: Hub, world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        await anyio.wait_all_tasks_blocked()
        assert world.looks == 0
        assert hub.versions(["queue:q"]) is None

        with hub.watching(["queue:q"]):
            await world.after_a_look()
        await anyio.wait_all_tasks_blocked()
        assert hub.versions(["queue:q"]) is None
        group.cancel_scope.cancel()


async def test_a_version_grows_when_something_else_is_seen(hub: Hub, world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        with hub.watching(["queue:q"]), hub.watching(["queue:q"]) as topics:
            await world.after_a_look()
            before = hub.versions(["queue:q"])
            await world.after_a_look()
            assert hub.versions(["queue:q"]) == before

            changed = topics["queue:q"].changed
            world.seen = 1
            with anyio.fail_after(10):
                await changed.wait()
            assert hub.versions(["queue:q"]) == (before[0] + 1,) if before else False
            assert hub.streams == 2
        group.cancel_scope.cancel()


@pytest.mark.parametrize("error", [QueueNotFound("q"), StoreUnavailable("away")])
async def test_trouble_is_news_and_ends_nothing(hub: Hub, world: World, error: Exception) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        with hub.watching(["queue:q"]) as topics:
            await world.after_a_look()
            for trouble in (error, None):
                changed = topics["queue:q"].changed
                world.error = trouble
                with anyio.fail_after(10):
                    await changed.wait()
                assert hub.away == isinstance(trouble, StoreUnavailable)
        group.cancel_scope.cancel()


async def test_whoever_acts_sees_it_at_once(hub: Hub, world: World) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        with hub.watching(["queue:q"]):
            await world.after_a_look()
            before = hub.versions(["queue:q"])
            hub.touch("queue:q")
            hub.touch("queue:nobody-watches")
            assert hub.versions(["queue:q"]) != before
        group.cancel_scope.cancel()


class Reader:
    """Somebody who looks at a page."""

    def __init__(self, rights: str = "all", url: str = "http://localhost/ui/q/q") -> None:
        self.rights = rights
        self.request = SimpleNamespace(url=url)


async def test_a_part_is_built_once_for_each_version_and_for_all_who_may_see_it(
    hub: Hub, world: World
) -> None:
    parts, built = Parts(hub), 0
    topics = ["queue:q"]

    async def build() -> Part:
        nonlocal built
        built += 1
        await anyio.lowlevel.checkpoint()
        return Part(title=str(built), main=Markup())

    async def get(reader: Reader) -> str:
        return (await parts.get(cast("Look", reader), topics, build)).title

    assert [await get(Reader()), await get(Reader())] == ["1", "2"]  # nobody knows of changes
    async with anyio.create_task_group() as group:
        group.start_soon(hub.run)
        with hub.watching(topics):
            await world.after_a_look()
            async with anyio.create_task_group() as readers:
                for _ in range(5):
                    readers.start_soon(get, Reader())
            assert built == 3
            assert [await get(Reader("some")), await get(Reader())] == ["4", "3"]
            hub.touch("queue:q")
            assert [await get(Reader()), await get(Reader())] == ["5", "5"]
        group.cancel_scope.cancel()
