"""Keeping checkpoints: one with all of its parts; and who is given which part.

Answers for: keeping what a run has collected, which older checkpoints are deleted for
it; which parts wait to be restored, and that each is given out once.
Leaves to others: finding checkpoints (`checkpoints`), which runs there are
(`checkpoint_runs`), collecting and restoring (`runtime.checkpoints`).
Always holds: a part is restored by whoever has claimed it, and claimed once, unless
that failed, or somebody asks for it (`Checkpoints.retry`). What a run collects takes
the place of what it collected before. The newest is the one that was kept last.
"""

from collections.abc import Mapping
from typing import Any

from holdfast import codec
from holdfast.engine import Row, Told
from holdfast.kinds.checkpoint_records import PartStatus, Run, Waiting, waiting_of
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.kinds.checkpoints import PARTS, Checkpoints

OF_CHECKPOINTS = "checkpoint:"
"""What the names of events begin with that tell of checkpoints."""
_WAITING_FOLD = 20
"""How many times as many checkpoints are kept of which something still waits."""


class Keeping(Checkpoints):
    """What the runtime does with checkpoints, in a transaction."""

    def keep(
        self,
        run: Run,
        reason: str,
        collected: Mapping[str, codec.Document],
        failed: Mapping[str, str],
        *,
        anew: bool = True,
    ) -> str | None:
        """Keep what a run has collected, and its id; None if that is nothing.

        It takes the place of what the run collected before, but for what `failed` now.
        Unless `anew`, the same as in the run's last checkpoint is that checkpoint.
        """
        self._take_turn()
        Runs(self.tx).beat(run)
        if not anew and (same := self._same(run, collected, failed)) is not None:
            return same
        self._replace(run, failed)
        if not collected and not failed:
            return None
        id = self._add(run, reason, collected, failed)
        self._prune()
        self._tell("taken", id, run, reason, collected, failed)
        return id

    def waiting(self) -> tuple[Waiting, ...]:
        """Every part that waits, oldest first."""
        rows = self.tx.all("memory_part_waiting", owner=self.owner, limit=PARTS)
        return tuple(map(waiting_of, rows))

    def claim(self, part: Waiting, run: Run) -> Row | None:
        """What is in a part that a run restores from here on; None if it came late."""
        self._take_turn()
        which = {"owner": self.owner, "checkpoint": part.checkpoint, "name": part.name}
        claimed = {"claimed": run.id, "beat_at": part.beat_at}
        if not self.tx.run("memory_part_claim", **which, **claimed):
            return None
        return self.tx.one("memory_part_data", **which)

    def settle(self, part: Waiting, run: Run, error: str | None) -> None:
        """Say how it went with a part that a run has claimed."""
        good = error is None
        status = PartStatus.RESTORED if good else PartStatus.WAITING
        self.tx.put(
            "memory_part_settle",
            owner=self.owner,
            checkpoint=part.checkpoint,
            name=part.name,
            claimed=run.id,
            status=status.value,
            error=error,
            restored_at=self.tx.now if good else None,
        )
        what = {"id": part.checkpoint, "participant": part.name, "error": error}
        name = "restored" if good else "failed"
        level = "info" if good else "error"
        self.tx.tell(Told(f"{OF_CHECKPOINTS}{name}", what, level=level))

    def _add(
        self,
        run: Run,
        reason: str,
        collected: Mapping[str, codec.Document],
        failed: Mapping[str, str],
    ) -> str:
        """Add a checkpoint with its parts; its id."""
        asked = {"owner": self.owner, "run": run.id}
        id, now = self.tx.new_id(), self._now
        self.tx.put(
            "memory_add",
            id=id,
            process=run.process,
            reason=reason,
            failed=codec.text_of(dict(failed)),
            now=now,
            **asked,
        )
        new = {**asked, "checkpoint": id, "now": now}
        parts = [{"name": n, "data": d.text, **new} for n, d in collected.items()]
        self.tx.put_each("memory_part_add", parts)
        return id

    def _replace(self, run: Run, failed: Mapping[str, str]) -> None:
        """Have wait no more what a run collected before, but for what failed now."""
        asked = {"owner": self.owner, "run": run.id}
        before = self.tx.all("memory_part_of_run", limit=PARTS, **asked)
        gone = [{"name": name, **asked} for (name,) in before if name not in failed]
        self.tx.put_each("memory_part_replace", gone)

    def _same(
        self,
        run: Run,
        collected: Mapping[str, codec.Document],
        failed: Mapping[str, str],
    ) -> str | None:
        """The run's last checkpoint, if it is of the same."""
        row = self.tx.one("memory_last_of", owner=self.owner, run=run.id)
        if row is None or codec.decode(row[1]) != failed:
            return None
        asked = {"owner": self.owner, "checkpoint": row[0], "limit": PARTS}
        rows = self.tx.all("memory_part_whole", **asked)
        there = {name: data for name, status, *_, data in rows if status == "waiting"}
        given = {name: document.text for name, document in collected.items()}
        return row[0] if there == given else None

    @property
    def _now(self) -> int:
        """When one is taken: never before the last one, as a clock may be set back."""
        row = self.tx.one("memory_newest_at", owner=self.owner)
        last = None if row is None else row[0]
        return self.tx.now if last is None else max(self.tx.now, last + 1)

    @property
    def _most(self) -> int:
        """How many checkpoints there may be at all."""
        return self.tx.limits.checkpoints * _WAITING_FOLD

    def _prune(self) -> None:
        """Delete what is older than the newest, but for what still waits."""
        kept, most = self.tx.limits.checkpoints, self._most
        rows = self.tx.all("memory_places", owner=self.owner, limit=most + PARTS)
        for place, (id, waits) in enumerate(rows):
            if place >= (most if waits else kept):
                self._drop(id)

    def _tell(
        self,
        what: str,
        id: str,
        run: Run,
        reason: str,
        collected: Mapping[str, Any],
        failed: Mapping[str, str],
    ) -> None:
        said = {"id": id, "reason": reason, "process": run.process}
        of = {"participants": sorted(collected), "failed": dict(failed)}
        level = "error" if failed else "info"
        self.tx.tell(Told(f"{OF_CHECKPOINTS}{what}", {**said, **of}, level=level))
