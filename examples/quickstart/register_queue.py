import anyio

from hms_async import AsyncOMSClient


async def main() -> None:
    async with AsyncOMSClient() as oms:
        await oms.create_queue("passport.photo", sla="2h")  # must finish within 2 hours
        print("Queue ready!")


anyio.run(main)
