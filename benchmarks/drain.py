"""How fast one worker drains no-op tasks, against the bare exchange script.

python -m benchmarks.drain [--tasks 20000] [--concurrency 100] [--rounds 3]
"""

import argparse
import resource
import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from hms_async import AsyncOMSClient, AsyncWorker, Task
from hms_async.storage.embedded import running
from hms_async.storage.replies import Settle
from hms_async.storage.store import Store
from hms_async.telemetry import logs

QUEUE = "bench"
PAYLOAD = {"file": "s3://uploads/sam.jpg", "note": "x" * 60}


@dataclass
class Cost:
    """What one round cost: seconds, and CPU seconds here and on the server."""

    seconds: float = 0.0
    here: float = 0.0
    server: float = 0.0


async def server_cpu(store: Store) -> float:
    """Return the CPU seconds that the server has used."""
    info = await store.server_info()
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def own_cpu() -> float:
    """Return the CPU seconds that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def measured(cost: Cost) -> Generator[None]:
    """Add what happens inside to a cost; the server's part is added by the caller."""
    began, cpu = time.perf_counter(), own_cpu()
    yield
    cost.seconds, cost.here = time.perf_counter() - began, own_cpu() - cpu


async def fill(client: AsyncOMSClient, tasks: int) -> float:
    """Enqueue the tasks and return how many went in per second."""
    began = time.perf_counter()
    await client.enqueue_many(QUEUE, [PAYLOAD] * tasks)
    return tasks / (time.perf_counter() - began)


async def drain_with_worker(url: str, concurrency: int, store: Store) -> Cost:
    """Drain with the real worker, its supervisor included."""

    async def nothing(_task: Task[object]) -> None:
        return None

    worker = AsyncWorker(queue=QUEUE, handler=nothing, concurrency=concurrency, url=url)
    cost, before = Cost(), await server_cpu(store)
    with measured(cost):
        await worker.run(burst=True)
    cost.server = await server_cpu(store) - before
    return cost


async def drain_bare(store: Store, concurrency: int, incarnation: str) -> Cost:
    """Drain with nothing but the exchange script, called in a loop."""
    settles: list[Settle] = []
    cost, before, seq = Cost(), await server_cpu(store), 0
    with measured(cost):
        while True:
            seq += 1
            reply = await store.exchange(
                QUEUE,
                worker="bare",
                incarnation=incarnation,
                lane=0,
                seq=seq,
                settles=settles,
                want=concurrency,
            )
            if reply is None or not (reply.claims or settles):
                break
            settles = [Settle(claim.id, claim.token, "done", "", b"null") for claim in reply.claims]
    cost.server = await server_cpu(store) - before
    return cost


def show(name: str, tasks: int, costs: list[Cost]) -> float:
    """Print the median of some rounds and return its rate."""
    cost = sorted(costs, key=lambda one: one.seconds)[len(costs) // 2]
    rate = tasks / cost.seconds
    print(
        f"{name:12} {rate:9,.0f} tasks/s   client {cost.here / tasks * 1e3:.4f} ms/task   "
        f"server {cost.server / tasks * 1e3:.4f} ms/task"
    )
    return rate


async def main(tasks: int, concurrency: int, rounds: int) -> None:
    """Run worker and bare script in turn, and print the ratio."""
    logs.configure(fmt="json", level="error")
    worker, bare, fills = list[Cost](), list[Cost](), list[float]()
    with running() as server:
        async with AsyncOMSClient(server.url) as client, Store(server.url) as store:
            await client.create_queue(QUEUE, sla="2h")
            for number in range(rounds):
                fills.append(await fill(client, tasks))
                worker.append(await drain_with_worker(server.url, concurrency, store))
                fills.append(await fill(client, tasks))
                bare.append(await drain_bare(store, concurrency, f"bare{number}"))
    print(f"{tasks} no-op tasks, {concurrency} slots, {rounds} rounds, medians")
    print(f"{'enqueue_many':12} {statistics.median(fills):9,.0f} tasks/s")
    ratio = show("worker", tasks, worker) / show("bare script", tasks, bare)
    print(f"worker / bare script = {ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    anyio.run(main, given.tasks, given.concurrency, given.rounds)
