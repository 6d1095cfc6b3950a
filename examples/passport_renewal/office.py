"""One process with all four clerks; `-Q passport.records` makes it one of a single desk."""

import form
import mail
import press
import records
from desk import lifespan
from hms_async import AsyncWorker

worker = AsyncWorker(
    handlers=[form.check, records.look_up, press.reserve, mail.send],
    concurrency=20,
    lifespan=lifespan,
)
