"""The one thread that owns the session: it loads it, admits who waits into the running batch, and tells what comes.

Between two steps it takes in as many new answers as run, one at least: reading their prompts holds up those that run,
and few rows make a dear step. It ends those whose clients have left: their places are free in the next step.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from copersona.runtime.common.errors import CoPersonaError, ModelError, ModelRefused
from copersona.runtime.common.progress import note
from copersona.runtime.engine.together import Advance, Together
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.serve.errand import Errand
from copersona.runtime.serve.fault import Fault, fault_of
from copersona.runtime.serve.gate import where
from copersona.runtime.serve.job import Job
from copersona.runtime.serve.upload import sweep
from copersona.runtime.serve.waiting import Full, Waiting
from copersona.runtime.session.session import Session

LONGEST_WAIT = 60  # seconds that a client is told to wait


class Worker:
    """Start it, give it jobs, stop it. `changed` is called by its thread when all is loaded and when it has failed."""

    def __init__(
        self,
        open_session: Callable[[], Session],
        open_store: Callable[[], PeopleStore],
        *,
        most_waiting: int,
    ) -> None:
        self._open_session, self._open_store = open_session, open_store
        self.changed: Callable[[], None] = lambda: None
        self._waiting: Waiting[Job | Errand] = Waiting(most_waiting)
        self._thread = threading.Thread(target=self._run, name="copersona-model", daemon=True)
        self._stopping = False
        self._seconds = 1.0  # that an answer took lately
        self._session: Session | None = None
        self._store: PeopleStore | None = None
        self._together: Together[Job] | None = None
        self.loading = "the bundle"  # what is being loaded; empty when all is
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing any more and end what runs with a fault; `join` waits for it."""
        self._stopping = True
        for job in self._waiting.close():
            job.fail(_stopping())

    def join(self, seconds: float) -> bool:
        """Wait until session and store are closed; whether they are. To be called when nobody asks the store any more:
        what was told of answers until the end is still kept there."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._store is not None:
            self._store.close()
        return True

    @property
    def session(self) -> Session:
        """The session, to be looked at. Raises Fault while it is not there."""
        self._check()
        assert self._session is not None
        return self._session

    @property
    def store(self) -> PeopleStore:
        """The people, which may be asked by any thread. Raises Fault while they are not there."""
        self._check()
        assert self._store is not None
        return self._store

    @property
    def running(self) -> int:
        """Answers that are being made just now."""
        return 0 if self._together is None else len(self._together)

    def submit(self, job: Job | Errand) -> None:
        """Have a job wait for its turn. Raises Fault where too many do, or nothing is loaded."""
        self._check()
        try:
            self._waiting.put(job.whose, job)
        except Full:
            if self._stopping:
                raise _stopping() from None
            places = 1 if self._session is None else self._session.engine.sequences.count
            wait = min(max(1, math.ceil(len(self._waiting) * self._seconds / places)), LONGEST_WAIT)
            raise Fault(429, "too many requests are waiting", code="queue_full", after=wait) from None

    def leave(self, job: Job | Errand) -> None:
        """The client of a job is gone, or has what it wanted."""
        job.left = True
        self._waiting.remove(job)

    def _check(self) -> None:
        if self.error is not None or self._stopping:
            raise _stopping()
        if self.loading:
            raise Fault(503, f"the server is loading {self.loading}", code="loading", after=2)

    # The thread

    def _run(self) -> None:
        try:
            session, store = self._load()
            with session.engine.together() as self._together:
                self.loading = ""
                self.changed()
                while not self._stopping:
                    self._turn(session, store, self._together)
                self._fail_all(_stopping())
        except Exception as error:
            foreseen = isinstance(error, CoPersonaError)
            self.error = error if foreseen else ModelError(f"the server cannot go on ({where(error)})")
            self._fail_all(fault_of(error))
            for job in self._waiting.close():
                job.fail(fault_of(error))
            self.changed()
        finally:
            if self._session is not None:
                self._session.close()

    def _load(self) -> tuple[Session, PeopleStore]:
        session = self._session = self._open_session()
        self.loading = "the people"
        store = self._store = self._open_store()
        store.end_left_turns()
        sweep(store.path.parent)
        self.loading = "the language model"
        _ = session.layout, session.nobody
        self.loading = "the encoder"
        _ = session.encoder, session.bundle.examples
        return session, store

    def _turn(self, session: Session, store: PeopleStore, together: Together[Job]) -> None:
        """Let go who left, take in who waits, and make one step."""
        for job in together.tags:
            if job.left:
                together.stop(job)
        for _ in range(max(len(together), 1)):
            if together.full or (job_ := self._waiting.take(patiently=not len(together))) is None:
                break
            self._begin(session, store, together, job_)
        try:
            for advance in together.step():
                self._tell(together, advance)
        except ModelError as error:
            self._broken(session, error)

    def _begin(self, session: Session, store: PeopleStore, together: Together[Job], job: Job | Errand) -> None:
        if job.left:
            return
        if isinstance(job, Errand):
            job.run(session, store)
            return
        try:
            ready = job.prepare(session, store)
            task = session.engine.task(job, ready.wanted)
        except Exception as error:
            self._refuse(job, error)
            return
        try:
            advance = together.begin(task)
        except ModelRefused as error:
            job.fail(fault_of(error))
        except ModelError as error:
            job.fail(fault_of(error))
            self._broken(session, error)
        else:
            job.begun(ready)
            self._tell(together, advance)

    def _refuse(self, job: Job, error: Exception) -> None:
        if not isinstance(error, CoPersonaError):
            note(f"error: {where(error)}")
        job.fail(fault_of(error))

    def _tell(self, together: Together[Job], advance: Advance[Job]) -> None:
        job, piece, end = advance
        if isinstance(end, ModelRefused):
            job.fail(fault_of(end))
            return
        if piece is not None and job.take(piece):
            together.stop(job)
            end = "stop"
        if end is not None:
            self._seconds += 0.2 * (time.monotonic() - job.asked - self._seconds)
            try:
                job.end(end)
            except Exception as error:  # its record
                self._refuse(job, error)

    def _broken(self, session: Session, error: ModelError) -> None:
        """The model failed: all that run fail with it, and the next ones begin from nothing."""
        note(f"error: {error}")
        self._fail_all(fault_of(error))
        session.engine.sequences.clear()

    def _fail_all(self, fault: Fault) -> None:
        if self._together is not None:
            for job in self._together.tags:
                job.fail(fault)
            self._together.close()


def _stopping() -> Fault:
    return Fault(503, "the server is stopping", code="stopping")
