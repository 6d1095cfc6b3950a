"""Every key name, in one place.

Scripts take one key, the queue's own list, and derive the others from it, so that on a
cluster all keys of a queue share its slot.
"""

from hms_async.domain.queue import check_name

_LONGEST_CASE = 512


class Keys:
    """The key names of one namespace.

    Args:
        namespace: Goes in front of every key; empty for none.
        cluster: Put queue names in braces, so that a queue's keys share a hash slot.

    Raises:
        NameInvalid: If the namespace is outside the alphabet of queue names.
    """

    def __init__(self, namespace: str = "", *, cluster: bool = False) -> None:
        if namespace:
            check_name(namespace, what="namespace")
        self._front = f"{namespace}:" if namespace else ""
        self._cluster = cluster
        self.queues = f"{self._front}queues"
        self.workers = f"{self._front}workers"
        self.audit = f"{self._front}audit"
        # Together with each operation, so that on a cluster a script may have all of them.
        self._operation = f"{self._front}{{operation}}" if cluster else f"{self._front}operation"
        self.operations = f"{self._operation}s"
        self.open_operations = f"{self._operation}s:open"
        self.operation_prefix = f"{self._operation}:"
        self.tokens = f"{self._front}tokens"

    def _tag(self, queue: str) -> str:
        return f"{{{queue}}}" if self._cluster else queue

    def queue(self, queue: str) -> str:
        """The normal lane: a list of ids, first in, first out."""
        return f"{self._front}queue:{self._tag(queue)}"

    def part(self, queue: str, part: str) -> str:
        """One of a queue's further keys: `express`, `bell`, `inflight`, `done`, `config`, ..."""
        return f"{self.queue(queue)}:{part}"

    def task_prefix(self, queue: str) -> str:
        """What the three keys of a task begin with."""
        return f"{self._front}task:{self._tag(queue)}:" if self._cluster else f"{self._front}task:"

    def body(self, queue: str, task_id: str) -> str:
        """What was asked: the immutable envelope, a string."""
        return self.task_prefix(queue) + task_id

    def run(self, queue: str, task_id: str) -> str:
        """How it goes: the record, a hash, and the truth of the task's state."""
        return f"{self.body(queue, task_id)}:run"

    def attempts(self, queue: str, task_id: str) -> str:
        """The last ten attempts that failed, a list of JSON."""
        return f"{self.body(queue, task_id)}:attempts"

    def unique_prefix(self, queue: str) -> str:
        """What the keys that hold idempotency keys begin with."""
        return f"{self._front}unique:{self._tag(queue)}:"

    def operation(self, operation_id: str) -> str:
        """An act on many tasks: what is asked for, and how far it is, a hash."""
        return self.operation_prefix + operation_id

    def case(self, correlation_id: str) -> bytes:
        """A case: its tasks by arrival, across queues; long ids that begin alike share it."""
        text = correlation_id.encode(errors="replace")
        return f"{self._front}case:".encode() + text[:_LONGEST_CASE]

    def worker(self, worker_id: str) -> str:
        """A worker's card in the registry, a hash; nothing depends on it."""
        return f"{self._front}worker:{worker_id}"

    def call(self, listener: str) -> str:
        """Where one who listens to bells is called away from them, a list; empty at rest."""
        return f"{self._front}worker:{listener}:bell"
