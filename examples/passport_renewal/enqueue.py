"""python enqueue.py [NUMBER]: so many renewals, 50 if not given; what is there already stays."""

import sys

import anyio

from hms_async import AsyncOMSClient, NewTask

NAMES = ("Sam", "Ann", "Bob", "Eve", "Max")


def renewal(number: int) -> NewTask:
    name, case = NAMES[(number - 1) % len(NAMES)], f"REN-{number:03}"
    return NewTask(
        {"name": name, "photo": f"s3://uploads/{case}.jpg", "paid": 60},
        correlation_id=case,
        idempotency_key=f"{case}:passport.form",
    )


async def main(number: int) -> None:
    async with AsyncOMSClient() as oms:
        answers = await oms.enqueue_many(
            "passport.form", [renewal(n) for n in range(1, number + 1)]
        )
        print(f"{sum(one.created for one in answers)} renewals handed in.")


anyio.run(main, int(sys.argv[1]) if sys.argv[1:] else 50)
