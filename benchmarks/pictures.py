"""Pictures of the dashboard for the README: a made-up office at work, seen by a real Chromium."""

import random
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from benchmarks.rest import serving
from benchmarks.speed.server import running
from hms_async import AsyncOMSClient, AsyncWorker, Task

SHOTS = {
    "overview": ("/ui/", "light"),
    "overview-dark": ("/ui/", "dark"),
    "queue": ("/ui/q/passport.print?span=1h", "light"),
    "task": ("/ui/t/{failed}", "light"),
    "failed": ("/ui/failed", "light"),
    "case": ("/ui/c/REQ-0007", "light"),
}
_WIDE, _HIGH = 1200, 760
_SETTLE_MS = 2_500
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


async def take(folder: Path, *, seconds: float) -> list[Path]:
    """Let an office work for a while, and take pictures of its dashboard.

    Args:
        folder: Where they go.
        seconds: How long it works before the first one.

    Raises:
        RuntimeError: If there is no Chromium.
    """
    from playwright.async_api import async_playwright  # noqa: PLC0415  # of the test extra

    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("no chromium on PATH: apt-get install chromium")
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []
    with running("valkey") as server, serving(server.url, "web") as (_, url):
        async with _office(server.url) as failed, async_playwright() as playwright:
            await anyio.sleep(seconds)
            browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
            for name, (path, theme) in SHOTS.items():
                page = await browser.new_page(
                    viewport={"width": _WIDE, "height": _HIGH},
                    color_scheme="dark" if theme == "dark" else "light",
                )
                await page.goto(url + path.format(failed=failed[0]))
                await page.wait_for_timeout(_SETTLE_MS)
                taken.append(folder / f"dashboard-{name}.png")
                await page.screenshot(path=taken[-1])
                await page.close()
            await browser.close()
    return taken


@asynccontextmanager
async def _office(url: str) -> AsyncGenerator[list[str]]:
    """Run an office in which one desk is too slow; gives the ids of tasks that failed."""
    failed: list[str] = []
    async with AsyncOMSClient(url) as oms, anyio.create_task_group() as group:
        await oms.create_queue("passport.form", sla="30m", goal=0.99)
        await oms.create_queue("passport.photo", sla="2h")
        await oms.create_queue("passport.print", sla="20s", goal=0.95)
        await oms.create_queue("passport.mail", sla="1d")
        await oms.create_queue("ledger.export", sla="1d")
        await oms.create_queue("payout", sla="15m")
        await oms.enqueue_many("ledger.export", list(range(102)))
        await oms.pause("ledger.export", reason="the ledger is down until 15:00", stop_clock=True)
        await oms.enqueue_many("payout", list(range(31)))
        for queue, slots, longest in (
            ("passport.form", 4, 0.4),
            ("passport.photo", 6, 1.5),
            ("passport.print", 2, 3.0),
            ("passport.mail", 4, 0.2),
        ):
            worker = AsyncWorker(
                queue=queue,
                handler=partial(_work, longest, failed),
                concurrency=slots,
                url=url,
                name=f"{queue.partition('.')[2]}-desk",
            )
            await group.start(worker.run)
        group.start_soon(_citizens, oms, name="citizens")
        yield failed
        group.cancel_scope.cancel()


async def _work(longest: float, failed: list[str], task: Task[Any]) -> None:
    await anyio.sleep(random.uniform(longest / 4, longest))  # a picture's
    if task.queue != "passport.photo":
        return
    dice = random.random()
    if dice < 0.1:  # noqa: PLR2004
        raise TimeoutError("the archive did not answer in 2 s")
    if dice < 0.18:  # noqa: PLR2004
        failed.append(task.id)
        await task.fail(f"truncated at byte {random.randrange(9_999)}")


async def _citizens(oms: AsyncOMSClient) -> None:
    for n in range(1, 100_000):
        case = f"REQ-{n:04}"
        for queue in ("passport.form", "passport.photo", "passport.print", "passport.mail"):
            await oms.enqueue(queue, {"applicant": "Sam", "step": queue}, correlation_id=case)
        if n % 9 == 0:
            await oms.enqueue("passport.photo", {"again": n}, delay="10m", correlation_id=case)
        await anyio.sleep(0.4)
