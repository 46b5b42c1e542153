"""Histories of jobs whose every reason is known: a world that does things to jobs, and a diary of what it did.

The diary is kept by the rules of docs/jobs.md and docs/time.md, by arithmetic of its own: it never reads a row.
What happens, happens at a tick; occurrences are at other times, so that no two things are at the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from core.clock import database_now
from core.errors import ApiError
from core.times import to_ms
from jobs.lifecycle import hold, intervene
from jobs.lifecycle.claim import Claim, claim
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.reap import Reaped, lose
from jobs.lifecycle.reschedule import reschedule
from jobs.models import Job, Scheduler, Worker
from jobs.schedule import parse_schedule
from tests.conformance.clockwork import Time, promote_all
from tests.conformance.world import complete, environment, fail, new_job, postpone

STEP = timedelta(minutes=10)
GRACE = 2 * STEP
TICKS = 16
FAR = datetime.max.replace(tzinfo=UTC)
NAMESPACES = ("noop", "echo")


@dataclass(eq=False)
class Run:
    """A run as the diary has it."""

    since: datetime  # its occurrence, or when it was asked for
    created: datetime
    scheduled: bool
    status: str = "queued"  # waiting, frozen, running, ended, dropped (by a cancel), replaced (by a reschedule)
    due: datetime | None = None
    attempts: list[list[datetime | None]] = field(default_factory=list)
    ended: datetime | None = None
    losses: int = 0

    @property
    def began(self) -> datetime | None:
        return self.attempts[0][0] if self.attempts else None


@dataclass(kw_only=True)
class Grid:
    """Occurrences by arithmetic: `first`, then every `step`."""

    first: datetime
    step: timedelta | None
    starts: bool  # it has a start of its own
    end: datetime | None = None

    def has(self, at: datetime) -> bool:
        if self.step is None:
            return at == self.first
        return at >= self.first and (at - self.first) % self.step == timedelta(0)

    def after(self, at: datetime) -> datetime | None:
        """The first occurrence later than that."""
        if at < self.first:
            return self.first
        return None if self.step is None else self.first + ((at - self.first) // self.step + 1) * self.step


class History:
    """One job, what was done to it, and why it ran or did not at each moment."""

    def __init__(self, rng: Random, number: int, begin: datetime) -> None:
        self.rng, self.queue, self.namespace = rng, f"q{number}", rng.choice(NAMESPACES)
        self.overlap, self.misfire = rng.choice(["skip", "skip", "queue"]), rng.choice(["once", "skip", "all"])
        if self.misfire == "all":  # how many a hold crowds out then rests on how often a scheduler looks
            self.namespace = "never-held"
        self.limit = rng.choice([None, None, None, 2, 4])
        self.kind = rng.choice(["every", "start", "cron", "one-off"])
        length = rng.choice([1, 1, 2, 3])
        later = begin + (rng.randrange(3) + 0.5) * STEP
        end = begin + (rng.randrange(6, TICKS) + 0.75) * STEP if rng.random() < 0.2 else None
        given: dict[str, Any] = {"every": int(length * STEP.total_seconds() * 1000)}
        if self.kind == "cron":
            given = {"cron": f"*/{10 * length} * * * *"}
        if self.kind in {"start", "one-off"}:
            given["start_at"] = to_ms(later)
        if self.kind == "one-off":
            self.limit = end = None
            del given["every"]
        else:
            given |= {"overlap": self.overlap, "misfire": self.misfire, "limit": self.limit}
            given |= {"misfire_grace": int(GRACE.total_seconds() * 1000), "endDate": to_ms(end) if end else None}
        self.job = new_job(
            {name: value for name, value in given.items() if value is not None},
            namespace=self.namespace, queue=self.queue,
        )  # fmt: skip
        self.created = self.job.created_at
        first = {"every": self.job.scheduled_at, "cron": begin + length * STEP}.get(self.kind, later)
        step = None if self.kind == "one-off" else length * STEP
        self.grids = [(self.created, Grid(first=first, step=step, starts=self.kind in {"start", "one-off"}, end=end))]
        self.fates: dict[datetime, str | Run] = {}
        self.runs: list[Run] = []
        self.open: list[Run] = []
        self.claim: Claim | None = None
        self.pauses: list[list[datetime]] = []
        self.cancelled: datetime | None = None
        self.opened = 0
        self.next: datetime | None = first  # the next occurrence that nothing has been decided of
        self.last_failed = False
        if first <= database_now():  # the dispatch opens what is due at once
            self._open(first, self.created)
            self.next = self._after(first)

    # --- what happens ---------------------------------------------------------------------------

    def promote(self, now: datetime, held: bool) -> None:
        """A scheduler looks at what is due (docs/time.md)."""
        if self.next is None or self.paused or self.cancelled is not None:
            return
        due: list[datetime] = []
        at: datetime | None = self.next
        while at is not None and at <= now:
            due.append(at)
            at = self._after(at)
        late = [at for at in due if now - at >= GRACE] if self.kind != "one-off" else []
        keep = {"once": 1, "skip": 0, "all": len(late)}[self.misfire]
        for at in late[: len(late) - keep]:
            self.fates[at] = "missed"
        left = due[len(late) - min(keep, len(late)) :]
        for index, at in enumerate(left):
            if not self._has_room():
                break
            if not self.open or (len(self.open) == 1 and self.overlap == "queue" and not held):
                self._open(at, now)
            elif self.misfire == "all" and at in late and not held:
                self.next = at  # made up for when the run before has ended
                return
            else:
                self.fates |= dict.fromkeys(left[index:], self._crowded_out(held))
                break
        self.next = (self._after(due[-1]) if due else self.next) if self._has_room() else None

    def end_waits(self, now: datetime) -> None:
        """A scheduler lets runs be claimed whose wait is over."""
        for run in self.open:
            if run.status == "waiting" and run.due is not None and run.due <= now:
                run.status = "queued"

    def _crowded_out(self, held: bool) -> str:
        first = self.open[0]
        if first.status == "queued" and held:
            return "skipped_held"
        return "skipped_previous_lost" if first.status == "queued" and first.losses else "skipped_previous_running"

    def _open(self, at: datetime, now: datetime) -> None:
        run = Run(since=at, created=now, scheduled=True)
        self.fates[at] = run
        self.runs.append(run)
        self.open.append(run)
        self.opened += self.kind != "one-off"

    def _after(self, at: datetime) -> datetime | None:
        found = self.grid.after(at)
        return found if found is not None and (self.grid.end is None or found <= self.grid.end) else None

    def _has_room(self) -> bool:
        return self.limit is None or self.opened < self.limit

    @property
    def grid(self) -> Grid:
        return self.grids[-1][1]

    @property
    def paused(self) -> bool:
        return bool(self.pauses) and self.pauses[-1][1] == FAR

    def work(self, now: datetime, owner: int, held: bool) -> None:
        """A worker claims the job's run, or ends the attempt that it makes."""
        if not self.open or self.rng.random() < 0.35:
            return
        run = self.open[0]
        if run.status == "queued" and not held:
            (self.claim,) = claim(owner, self.queue, 1)
            run.status = "running"
            run.attempts.append([now, None])
        elif run.status == "running" and self.claim is not None:
            run.attempts[-1][1] = now
            way = self.rng.random()
            if way < 0.7:
                self.last_failed = way > 0.5
                assert fail(self.claim) if self.last_failed else complete(self.claim)
                self._end(run, now)
            elif way < 0.85:
                assert postpone(self.claim, delay_ms=STEP.total_seconds() * 1500)
                run.status, run.due = "frozen" if self._frozen(run) else "waiting", now + 1.5 * STEP
            else:
                run.losses += 1
                pair = [(self.claim.run_id, self.claim.job_id)]
                assert lose(pair, error="gone", counted=True, reaped=Reaped(), owner_id=owner)
                run.status, run.due = "frozen" if self._frozen(run) else "queued", now
                if run.losses == 3:
                    self.last_failed = True
                    self._end(run, now)

    def _frozen(self, run: Run) -> bool:
        return self.paused and run.created <= self.pauses[-1][0]

    def _end(self, run: Run, now: datetime) -> None:
        run.status, run.ended = "ended", now
        self.open.remove(run)

    def intervene(self, now: datetime, held: bool) -> None:
        """Somebody asks something of the job; where it is refused nothing happens."""
        verb = self.rng.choice(["pause", "pause", "resume", "resume", "trigger", "retry", "cancel", "reschedule"])
        if verb == "cancel" and self.rng.random() < 0.6:
            return
        try:
            getattr(self, f"_{verb}")(now, held)
        except ApiError:
            return

    def _pause(self, now: datetime, held: bool) -> None:
        intervene.pause(self.job.pk, note=f"note of {now.isoformat()}")
        self.promote(now, held)
        self._give_up(now, "missed_paused")
        for run in self.open:
            if run.status in {"queued", "waiting"}:
                run.status = "frozen"
        self.pauses.append([now, FAR])
        self.next = None

    def _resume(self, now: datetime, held: bool) -> None:
        intervene.resume(self.job.pk)
        self.pauses[-1][1] = now
        self.next = self._after(now) if self._has_room() else None
        for run in self.open:
            if run.status == "frozen":
                run.status, run.due = "waiting", max(now, run.due or now)

    def _cancel(self, now: datetime, held: bool) -> None:
        intervene.cancel(self.job.pk, reason="enough")
        self.cancelled, self.next = now, None
        for run in list(self.open):
            if run.status == "running":
                run.attempts[-1][1] = now
            self._end(run, now)
            if not run.attempts:
                run.status = "dropped"
        if self.paused:
            self.pauses[-1][1] = now

    def _trigger(self, now: datetime, held: bool) -> None:
        intervene.trigger(self.job.pk)
        self._asked_for(now, held)

    def _retry(self, now: datetime, held: bool) -> None:
        intervene.retry(self.job.pk)
        self._asked_for(now, held)

    def _asked_for(self, now: datetime, held: bool) -> None:
        self.promote(now, held)
        run = Run(since=now, created=now, scheduled=False)
        self.runs.append(run)
        self.open.append(run)

    def _reschedule(self, now: datetime, held: bool) -> None:
        if self.kind == "one-off":
            return
        first = now + (0.25 + self.rng.randrange(2)) * STEP
        first = first.replace(microsecond=first.microsecond // 1000 * 1000)
        given: dict[str, Any] = {
            "every": int(STEP.total_seconds() * 1000),
            "start_at": to_ms(first),
            "limit": self.limit,
        }
        given |= {"overlap": self.overlap, "misfire": self.misfire, "misfire_grace": int(GRACE.total_seconds() * 1000)}
        reschedule(self.job.pk, parse_schedule({k: v for k, v in given.items() if v is not None}, now=now))
        self.promote(now, held)
        self._give_up(now, "missed_rescheduled")
        for run in list(self.open):
            if run.status == "running":
                continue
            self._end(run, now)
            if not run.attempts:
                run.status = "replaced"
                self.opened -= run.scheduled
        self.grids.append((now, Grid(first=first, step=STEP, starts=True)))
        self.next = None if self.paused else first

    def _give_up(self, now: datetime, reason: str) -> None:
        while self.next is not None and self.next <= now:
            self.fates[self.next] = reason
            self.next = self._after(self.next)

    # --- why ------------------------------------------------------------------------------------

    def moments(self, now: datetime) -> list[datetime]:
        """Occurrences, other moments, some of them to come."""
        occurrences: set[datetime] = set(self.fates)
        for begin, grid in self.grids:
            at = grid.after(begin)
            while at is not None and at < now + 4 * STEP:
                occurrences.add(at)
                at = grid.after(at)
        others = [self.created + (self.rng.randrange(-2, TICKS + 4) + self.rng.choice([0.1, 0.4, 0.65, 0.9])) * STEP]
        others += [
            self.created + (self.rng.randrange(TICKS) + self.rng.choice([0.1, 0.4, 0.65, 0.9])) * STEP for _ in "123"
        ]
        return self.rng.sample(sorted(occurrences), min(6, len(occurrences))) + others

    def why(self, at: datetime, now: datetime, *, held: bool, up: bool) -> set[str]:
        """What is true of a moment, by the order that docs/explain.md gives; several words where chance decides."""
        pending = {"not_opened_yet" if up else "no_scheduler", "previous_run_open"}
        fate = self.fates.get(at)
        if isinstance(fate, Run):
            return self._state(fate, now, held=held, up=up)
        if fate is not None:
            return {fate}
        if at < self.created:
            return {"before_creation"}
        if self.cancelled is not None and at >= self.cancelled:
            return {"cancelled"}
        if any(begin <= at < end for begin, end in self.pauses) or (at > now and self.paused):
            return {"paused"}
        grid = next(grid for begin, grid in reversed(self.grids) if begin <= at)
        if at > now:
            return self._ahead(grid, at)
        if grid.has(at):
            return self._bound(grid, at) or (pending if self.next is not None and at >= self.next else set())
        for run in self.runs:
            if run.began is not None and run.began <= at < (run.ended or FAR):
                return self._during(run, at)
        if any(run.since <= at < (run.began or run.ended or at + STEP) for run in self.runs):
            return {"waited_to_begin"}
        if self.next is not None and at >= self.next:
            return pending
        return self._bound(grid, at) or {"not_an_occurrence"}

    def _ahead(self, grid: Grid, at: datetime) -> set[str]:
        if any(run.status == "waiting" and run.due is not None and run.due >= at for run in self.open):
            return {"backoff"}
        bound = self._bound(grid, at)
        if bound:
            return bound
        if not self.open and self.next is None:
            return {"ended"}
        return {"scheduled"} if grid.has(at) and self.next is not None else {"not_an_occurrence"}

    def _bound(self, grid: Grid, at: datetime) -> set[str]:
        if grid.starts and at < grid.first:
            return {"before_start"}
        if grid.end is not None and at > grid.end:
            return {"after_end_date"}
        opened = [run.since for run in self.runs if run.scheduled and run.status != "replaced"]
        return {"limit_reached"} if not self._has_room() and opened and at > max(opened) else set()

    @staticmethod
    def _during(run: Run, at: datetime) -> set[str]:
        for begin, end in run.attempts:
            if begin is not None and begin <= at and (end is None or at < end):
                return {"running" if end is None else "ran"}
        return {"between_attempts"}

    def _state(self, run: Run, now: datetime, *, held: bool, up: bool) -> set[str]:
        """Of an occurrence that became a run, how that is now."""
        if run.status == "waiting":
            if run.due is not None and run.due > now:
                return {"backoff"}
            return {"not_opened_yet" if up else "no_scheduler"}
        if run.status == "queued":
            return {"previous_run_open" if self.open[0] is not run else "held" if held else "waits_for_worker"}
        words = {"ended": {"ran"}, "dropped": {"cancelled"}, "frozen": {"paused"}, "running": {"running"}}
        return words.get(run.status, set())  # replaced: nothing is left of it


class World:
    """Some jobs, a scheduler that is away at times, a worker, holds."""

    def __init__(self, rng: Random, time: Time, jobs: int) -> None:
        self.rng, self.time, self.up = rng, time, True
        self.held: set[str] = set()
        now = database_now()
        self.begin = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        time.to(self.begin)
        queues = [f"q{number}" for number in range(jobs)]
        self.worker = register_worker(host="test", pid=1, queues=queues, concurrency=500)
        self.histories = [History(rng, number, self.begin) for number in range(jobs)]

    def live(self) -> datetime:
        """Let everything happen; the moment at which it ends."""
        for tick in range(TICKS):
            self.time.to(self.begin + (tick + 0.25) * STEP)
            Worker.objects.filter(pk=self.worker).update(lease_until=database_now() + STEP)
            if self.rng.random() < 0.25:
                self.up = not self.up
            if self.rng.random() < 0.1:
                self._hold_or_release()
            if self.up:
                promote_all()
            for history in self.histories:
                now, held = database_now(), history.namespace in self.held
                if self.up:
                    history.promote(now, held)
                    history.end_waits(now)
                history.work(now, self.worker, held)
                if self.rng.random() < 0.1:
                    history.intervene(now, held)
        return self._last_look()

    def _last_look(self) -> datetime:
        """The processes that are there say so, as they do every few seconds."""
        now = database_now()
        if self.up:
            Scheduler.objects.create(host="test", pid=1, started_at=now, seen_at=now + STEP)
        return now

    def _hold_or_release(self) -> None:
        namespace = self.rng.choice(NAMESPACES)
        place = environment()
        if namespace in self.held:
            hold.release(product_id=place.product_id, environment_id=None, namespace=namespace)
        else:
            hold.hold(product_id=place.product_id, environment_id=None, namespace=namespace, note="", actor="ann")
        self.held ^= {namespace}

    def gone(self, history: History) -> bool:
        return not Job.objects.filter(pk=history.job.pk).exists()
