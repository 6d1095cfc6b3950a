"""Doing something again and again, without falling into step with others."""

import random
from collections.abc import Awaitable, Callable

import anyio

from hms_async.errors import StoreError
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.act")


async def run_every(
    interval_s: float, step: Callable[[], Awaitable[bool]], *, name: str, jitter: float = 0.1
) -> None:
    """Run a step until cancelled.

    Args:
        interval_s: Seconds between the starts of two steps.
        step: One bounded piece of work; returns whether more of it waits, and is called again
            at once then.
        name: What it is, for the log.
        jitter: By which share the interval varies, so that many processes spread out.
    """
    failing = False
    while True:
        try:
            more = await step()
            failing = False
        except StoreError as error:
            # Once is news, the rest is noise; the store's own events tell when it is back.
            if not failing:
                log.warning("supervisor.step_failed", step=name, error=str(error))
            failing, more = True, False
        if not more:
            await anyio.sleep(interval_s * random.uniform(1 - jitter, 1 + jitter))  # noqa: S311  # spreads load, guards nothing
