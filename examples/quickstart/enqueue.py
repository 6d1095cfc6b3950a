import anyio

from hms_async import AsyncOMSClient


async def main() -> None:
    async with AsyncOMSClient() as oms:
        await oms.enqueue(
            "passport.photo", {"file": "s3://uploads/sam.jpg"}, correlation_id="REQ-123"
        )
        print("Task enqueued!")


anyio.run(main)
