"""What a queue must be like after whatever was sent to it, held against what it is."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from hms_async.domain.sla import DEFAULT_LADDER
from hms_async.domain.task import ENDED, OPEN
from hms_async.storage.keys import Keys
from hms_async.storage.replies import Claim, Exchanged, Settle, Settled
from tests.servers import Raw

QUEUE = "q"
LEASE_MS = 30_000
MAX_ATTEMPTS = 3
MAX_CRASHES = 2
LANES = ("normal", "express", "suspects")
_SETS = (
    "scheduled",
    "retry",
    "inflight",
    "done",
    "failed",
    "cancelled",
    "expired",
    "sla",
    "at_risk",
)
_PLACE = {"in_progress": "inflight", "retrying": "retry"}


class Request(NamedTuple):
    """An exchange as a worker sends it, once or again."""

    lane: int
    seq: int
    settles: tuple[Settle, ...]
    want: int
    suspects: bool
    ahead: int = 0


@dataclass(slots=True)
class LaneModel:
    """What a lane has answered last."""

    next_seq: int = 1
    answered: int = 0
    claims: dict[str, str] = field(default_factory=dict[str, str])
    ahead: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class Watch:
    """Whether a supervisor may trust that silence is death (R16)."""

    last_ms: int | None = None
    held_until_ms: int = 0

    def may_rescue(self, now_ms: int) -> bool:
        quiet_ms = now_ms - (self.last_ms or 0)
        self.last_ms = now_ms
        if quiet_ms > LEASE_MS * 2 / 3 - 500 and not self.held_until_ms:
            self.held_until_ms = now_ms + LEASE_MS // 3 + 1_000
        if self.held_until_ms > now_ms:
            return False
        self.held_until_ms = 0
        return True


@dataclass(slots=True)
class View:
    """All that is stored of the queue."""

    runs: dict[str, dict[str, str]]
    lanes: dict[str, list[str]]
    sets: dict[str, dict[str, int]]
    counts: dict[str, int]

    @classmethod
    def take(cls, raw: Raw, keys: Keys) -> "View":
        prefix = keys.task_prefix(QUEUE)
        names = [name for name in raw.names() if name.startswith(prefix) and name.endswith(":run")]
        ids = [name.removeprefix(prefix).removesuffix(":run") for name in names]
        pipe = raw.pipeline()
        for name in names:
            pipe.hgetall(name)
        pipe.lrange(keys.queue(QUEUE), 0, -1)
        pipe.lrange(keys.part(QUEUE, "express"), 0, -1)
        pipe.lrange(keys.part(QUEUE, "suspects"), 0, -1)
        for part in _SETS:
            pipe.zrange(keys.part(QUEUE, part), 0, -1, withscores=True)
        pipe.hgetall(keys.part(QUEUE, "counts"))
        *replies, counts = pipe.execute()
        runs, (normal, express, suspects, *sets) = replies[: len(ids)], replies[len(ids) :]
        return cls(
            runs={
                task_id: {name.decode(): value.decode() for name, value in run.items()}
                for task_id, run in zip(ids, runs, strict=True)
            },
            lanes={
                name: [entry.decode(errors="replace") for entry in entries]
                for name, entries in zip(LANES, (normal, express, suspects), strict=True)
            },
            sets={
                part: {member.decode(): int(score) for member, score in pairs}
                for part, pairs in zip(_SETS, sets, strict=True)
            },
            counts={name.decode(): int(value) for name, value in counts.items()},
        )

    def entries(self) -> list[str]:
        return [entry for name in LANES for entry in self.lanes[name]]

    def state(self, task_id: str) -> str:
        return self.runs.get(task_id, {}).get("state", "gone")

    def in_state(self, *states: str) -> set[str]:
        return {task_id for task_id, run in self.runs.items() if run["state"] in states}


@dataclass(slots=True)
class Model:
    """The oracle: which tokens live, until when, and what each lane was told.

    Attributes:
        live: Tokens whose lease has not ended, each with its task.
        expires_ms: When the leases of the held tasks expire.
        settled_by: Which token ended the last attempt of a task.
        lost_by: Which token lost the last lease of a task, until it has taken its crash back.
        crashes: Crashes of each task.
        cancelling: Tokens whose holders were asked to cancel.
        strangers: Ids that a foreign hand pushed since the last reconcile: each may stand in
            a lane beside the books.
    """

    lanes: list[LaneModel]
    live: dict[str, str] = field(default_factory=dict[str, str])
    expires_ms: dict[str, int] = field(default_factory=dict[str, int])
    settled_by: dict[str, str] = field(default_factory=dict[str, str])
    lost_by: dict[str, str] = field(default_factory=dict[str, str])
    crashes: Counter[str] = field(default_factory=Counter[str])
    cancelling: set[str] = field(default_factory=set[str])
    watch: Watch = field(default_factory=Watch)
    tokens: set[str] = field(default_factory=set[str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    paused: bool = False
    strangers: int = 0

    def answers(self, settles: tuple[Settle, ...], before: View) -> list[str]:
        """What these settles must be answered; takes note of those that count."""
        answers, settled_by = list[str](), dict(self.settled_by)
        for settle in settles:
            latest = self.settled_by.get(settle.id)
            if settle.id not in before.runs:
                answers.append("gone")
            elif settle.token in (latest, settled_by.get(settle.id)):
                answers.append("already")
            elif self.live.get(settle.token) == settle.id:
                self.end(settle.token)
                self.settled_by[settle.id] = settle.token
                answers.append("ok")
            else:
                answers.append("stale")
                self.take_back(settle.id, settle.token, before)
        return answers

    def end(self, token: str) -> None:
        self.cancelling.discard(token)
        del self.expires_ms[self.live.pop(token)]

    def never_started(self, token: str) -> bool:
        """Whether its holder cannot have begun: nobody is asked to cancel it, either (R15)."""
        ahead = any(token in lane.ahead for lane in self.lanes)
        return ahead and token not in self.cancelling

    def rescue(self, token: str) -> None:
        task_id = self.live[token]
        never_started = self.never_started(token)
        self.end(token)
        if never_started:
            return
        self.lost_by[task_id] = token
        self.crashes[task_id] += 1

    def take_back(self, task_id: str, token: str, before: View) -> None:
        """Whoever lost the last lease of an open task was alive after all (R16)."""
        if self.lost_by.get(task_id) == token and before.state(task_id) in OPEN:
            del self.lost_by[task_id]
            self.crashes[task_id] -= 1

    def start_anew(self, task_id: str) -> None:
        """A task was requeued."""
        self.settled_by.pop(task_id, None)
        self.lost_by.pop(task_id, None)
        del self.crashes[task_id]

    def after_exchange(self, request: Request, reply: Exchanged, before: View, now_ms: int) -> None:
        """Hold the answer to an exchange that was not superseded against R2 and R3."""
        lane = self.lanes[request.lane]
        cancelling = set(self.cancelling)
        assert [settled.answer for settled in reply.settled] == self.answers(
            request.settles, before
        )
        self._check_states(request.settles, reply.settled, cancelling)
        self._check_suspects(request, reply)
        claims = {claim.id: claim.token for claim in reply.claims}
        assert len(claims) == len(reply.claims), "one id twice in a batch"
        if request.seq == lane.answered:
            held = {i: token for i, token in lane.claims.items() if self.live.get(token) == i}
            assert (reply.verdict, claims) == ("replayed", held)
            assert reply.ahead == len(lane.ahead & set(claims.values()))
        else:
            assert reply.verdict == "ok"
            most = 0 if self.paused else request.want + request.ahead
            assert len(claims) <= most
            assert reply.paused or len(claims) >= request.want or reply.left == 0
            self._check_ahead(request, reply)
            assert not self.tokens & set(claims.values()), "a token came twice"
            assert not set(self.live.values()) & set(claims), "a task with two live tokens"
            self.tokens |= set(claims.values())
            self.live |= {token: task_id for task_id, token in claims.items()}
            lane.answered, lane.claims = request.seq, claims
            lane.ahead = {claim.token for claim in self._ahead(reply)}
        self.expires_ms |= dict.fromkeys(claims, now_ms + LEASE_MS)

    @staticmethod
    def _ahead(reply: Exchanged) -> list[Claim]:
        return reply.claims[len(reply.claims) - reply.ahead :]

    def _check_ahead(self, request: Request, reply: Exchanged) -> None:
        assert 0 <= reply.ahead <= request.ahead
        assert len(reply.claims) - reply.ahead <= request.want
        assert not any(self.crashes[claim.id] for claim in self._ahead(reply))

    @staticmethod
    def _check_states(
        settles: tuple[Settle, ...], settled: list[Settled], cancelling: set[str]
    ) -> None:
        for settle, (answer, state) in zip(settles, settled, strict=True):
            assert (state == "") == (answer == "gone")
            if answer == "ok" and settle.token in cancelling:
                ends = {"done": "done", "fail": "failed"}
                assert state == ends.get(settle.word, "cancelled")

    def _check_suspects(self, request: Request, reply: Exchanged) -> None:
        """At most one task that a crash would fail, and only if it was wanted (R15)."""
        suspects = [c.token for c in reply.claims if self.crashes[c.id] == MAX_CRASHES - 1]
        if reply.verdict == "ok":
            assert len(suspects) <= request.suspects
        assert (reply.suspect is None) == (not suspects)
        assert reply.suspect is None or reply.suspect in suspects

    def check(self, view: View) -> None:
        """Hold the whole queue against the model (I1, I3, I5, R4, R5)."""
        self._check_places(view)
        self._check_leases(view)
        self._check_books(view)

    def _check_places(self, view: View) -> None:
        for state in (OPEN | ENDED) - {"waiting"}:
            place = _PLACE.get(state, str(state))
            assert set(view.sets[place]) == view.in_state(state), f"{place} and the records differ"
        for task_id in view.in_state("waiting"):
            lane = view.runs[task_id].get("lane", "normal")
            assert task_id in view.lanes[lane], f"{task_id} waits in no lane"
        # A task whose last rung was spoken has none left; any other open one has.
        spoken = {
            task_id
            for task_id, run in view.runs.items()
            if int(run.get("rung", 0))
            >= int(run["arrived"]) + int(run["sla"]) + DEFAULT_LADDER[-1].plus_ms
        }
        assert set(view.sets["sla"]) == view.in_state(*OPEN) - spoken
        assert set(view.sets["at_risk"]) <= view.in_state(*OPEN), "an ended task is at risk"

    def _check_leases(self, view: View) -> None:
        held = {view.runs[task_id]["token"]: task_id for task_id in view.in_state("in_progress")}
        assert held == self.live
        assert not {i for i in view.in_state(*OPEN - {"in_progress"}) if "token" in view.runs[i]}
        assert view.sets["inflight"] == self.expires_ms
        for task_id, run in view.runs.items():
            attempt, crashes = int(run.get("attempt", 0)), int(run.get("crashes", 0))
            assert crashes == self.crashes[task_id]
            assert 0 <= crashes <= MAX_CRASHES
            revived = int(run.get("revived", 0))
            assert 0 <= attempt - crashes - revived <= MAX_ATTEMPTS
            assert crashes + revived <= MAX_ATTEMPTS + MAX_CRASHES

    def _check_books(self, view: View) -> None:
        counts = Counter(view.counts)
        assert min(view.counts.values(), default=0) >= 0
        came = counts["accepted"] + counts["adopted"] + counts["requeued"]
        ended = sum(counts[str(state)] for state in ENDED)
        assert came == len(view.in_state(*OPEN)) + ended
        extra, unknown = left_behind(view)
        assert extra - self.strangers <= counts["stale"] <= extra + unknown


def left_behind(view: View) -> tuple[int, int]:
    """Entries in the lanes that stand for no waiting task, and ids there without a record."""
    entries = view.entries()
    known = sum(entry in view.runs for entry in entries)
    unknown = sum(entry not in view.runs and entry.isalnum() for entry in entries)
    return known - len(view.in_state("waiting")), unknown
