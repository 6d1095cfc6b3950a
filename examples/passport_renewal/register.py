from functools import partial

import anyio

from hms_async import AsyncOMSClient, RetryPolicy


async def main() -> None:
    async with AsyncOMSClient() as oms:
        # A clerk who is silent for 5 s is gone; a case may lose ten of them.
        create = partial(oms.create_queue, lease="5s", max_crashes=10)
        await create("passport.form", sla="1m")  # 80% warn, 100% breach, 15 minutes later page
        await create(
            "passport.records",
            sla="15s",
            ladder=["50% warn,bump", "100% breach,escalate", "100%+1m page"],
            run_timeout="4s",  # shorter than the promise: a stall leaves time for other attempts
            retry=RetryPolicy(max_attempts=20, base="200ms", cap="2s"),
        )
        await create("passport.print", sla="1m")
        await create("passport.mail", sla="30s", ladder=["50% warn,bump", "100% breach,escalate"])
        print("The passport office is open.")


anyio.run(main)
