"""Step 1: is the form in order? If it is not, the case ends here, with the reason."""

from dataclasses import dataclass

from desk import hand_on
from hms_async import Task, handler

FEE = 60


@dataclass
class Form:
    name: str
    photo: str
    paid: int


@handler(queue="passport.form")
async def check(task: Task[Form]) -> None:
    form = task.payload
    if not form.name.strip():
        await task.fail("there is no name on the form")
    elif not form.photo.endswith(".jpg"):
        await task.fail(f"the photo {form.photo} is not a JPEG")
    elif form.paid < FEE:
        await task.fail(f"the fee is {FEE}, and {form.paid} were paid")
    else:
        await hand_on(task, "passport.records", {"name": form.name})
        await task.complete({"note": f"the form of {form.name} is in order"})
