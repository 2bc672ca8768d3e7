"""Runs: which process runs an agent, and the signs of life that it gives.

Answers for: taking an agent to be run, giving it back, a process's heartbeat, finding
who runs what and what is stale.
Leaves to others: the agent as it lives in a process's memory (`runtime/agents`).
Always holds: an agent is run by one process at most; a later run has a larger fence; a
process gives one sign of life for all that it runs, however much that is.
"""

from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, PageSize, Seconds, Text
from holdfast.engine import Told
from holdfast.errors import Fenced, Held, NotFound
from holdfast.kinds.agent_records import AgentRun, run_of
from holdfast.page import Page, cursor_of, place_of

RUNNER = "agent_runner"
"""What is locked of a process that runs agents, so that its life is sure."""


class AgentRuns(Kind):
    """Who runs agents. Runs are not journalled."""

    @operation
    def claim(
        self, id: Id, *, holder: Id, seconds: Seconds, place: Text = ""
    ) -> AgentRun:
        """Have an agent run by `holder` from now on, which lives for so many seconds.

        `beat` keeps it alive, with all others that it runs. A run that is stale is
        taken over; the same holder takes its own over at once. `place` says to people
        where that is. Raises `NotFound`, `Held` (another runs it, and lives).
        """
        if not self.tx.one("agents_exists", owner=self.owner, id=id):
            raise NotFound("agent", id)
        there = self._run(id)
        taken = there if there is not None and there.holder != holder else None
        if taken is not None:
            self._refuse_living(taken)
        fence = (self._fence(id) or 0) + 1
        self.tx.put(
            "agent_run_put",
            owner=self.owner,
            id=id,
            holder=holder,
            fence=fence,
            now=self.tx.now,
        )
        self._live(holder, seconds, place)
        if taken is not None and self._runs_others(taken.holder):
            self._taken(taken.holder)
        said = {"id": id, "holder": holder, "place": place, "fence": fence}
        if taken is not None:
            said["taken_from"] = taken.place or taken.holder
        self.tx.tell(Told("agent:started", said))
        found = self._run(id)
        assert found is not None
        return found

    @operation
    def release(self, id: Id, *, fence: Count) -> bool:
        """End a run; False if it was over already, or is another's by now."""
        there = self._run(id)
        if there is None or there.fence != fence:
            return False
        self._end_run(there)
        self.tx.tell(Told("agent:stopped", {"id": id, "holder": there.holder}))
        return True

    @operation
    def release_all(self, holder: Id) -> int:
        """End every run of one process, which is forgotten; how many there were."""
        self.tx.lock(RUNNER, holder)
        ended = self.tx.run("agent_run_end_all", owner=self.owner, holder=holder)
        self.tx.put("agent_runner_drop", owner=self.owner, holder=holder)
        if ended:
            self.tx.tell(Told("agent:stopped", {"holder": holder, "agents": ended}))
        return ended

    @operation
    def beat(self, holder: Id, *, seconds: Seconds, place: Text = "") -> int:
        """Say that a process lives, for so many seconds, and all agents that it runs.

        Gives a mark, which is another once somebody has taken one of its agents over,
        or deleted it: then it should look which it still has (`runs(holder=…)`).
        """
        return self._live(holder, seconds, place)

    @operation
    def verify(self, id: Id, *, fence: Count) -> AgentRun:
        """Let a transaction go on only while an agent's run lives; nobody ends it then.

        Raises `Fenced`: the run is over, is another's by now, or is stale.
        """
        there = self._run(id)
        if there is None or there.fence != fence:
            now = "nobody" if there is None else f"{there.place or there.holder}"
            raise Fenced(
                f"agent {id!r} is no longer run under fence {fence}, but by {now}; "
                "nothing was written: drop what this run was at"
            )
        self.tx.lock(RUNNER, there.holder)
        there = self._run(id) or there
        if there.stale:
            raise Fenced(
                f"the run of agent {id!r} gave no sign of life after {there.beat_at}, "
                f"and is over since {there.until}; nothing was written: run it again"
            )
        return there

    @query
    def run_of(self, id: Id) -> AgentRun | None:
        """Who runs an agent; None if nobody does."""
        return self._run(id)

    @query
    def runs(
        self,
        *,
        stale: bool = False,
        holder: Id | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[AgentRun]:
        """Agents that are run, whoever runs them, by their ids.

        With `stale`, those whose process gives no sign of life any more; with `holder`,
        those of one process.
        """
        after = "" if cursor is None else place_of(cursor, str, int)[0]
        asked = {"owner": self.owner, "after": after, "limit": limit + 1}
        if holder is not None:
            rows = self.tx.all("agent_run_list_holder", holder=holder, **asked)
        elif stale:
            rows = self.tx.all("agent_run_list_stale", now=self.tx.now, **asked)
        else:
            rows = self.tx.all("agent_run_list", **asked)
        more = cursor_of(*rows[limit - 1][1:4:2]) if len(rows) > limit else None
        found = [run_of(row, self.tx.now) for row in rows[:limit]]
        return Page([one for one in found if one and one.stale >= stale], more)

    def _run(self, id: str) -> AgentRun | None:
        row = self.tx.one("agent_run_get", owner=self.owner, id=id)
        return None if row is None else run_of(row, self.tx.now)

    def _fence(self, id: str) -> int | None:
        row = self.tx.one("agent_run_get", owner=self.owner, id=id)
        return None if row is None else row[3]

    def _refuse_living(self, there: AgentRun) -> None:
        """Raise `Held` if an agent's process gives signs of life."""
        self.tx.lock(RUNNER, there.holder)
        there = self._run(there.id) or there
        if not there.stale:
            raise Held(
                f"agent {there.id!r} runs in {there.place or there.holder!r} since "
                f"{there.since}, which lives (until {there.until} at least); nothing "
                "was written: stop it there, or wait"
            )

    def _end_run(self, there: AgentRun) -> bool:
        """Have nobody run an agent; whether its process runs others."""
        self.tx.put("agent_run_end", owner=self.owner, id=there.id)
        self.tx.lock(RUNNER, there.holder)
        return self._runs_others(there.holder)

    def _runs_others(self, holder: str) -> bool:
        """Whether a process runs any agent; it is forgotten if it does not."""
        asked = {"owner": self.owner, "holder": holder}
        if self.tx.all("agent_run_list_holder", after="", limit=1, **asked):
            return True
        self.tx.put("agent_runner_drop", **asked)
        return False

    def _taken(self, holder: str) -> None:
        """Have a process learn from its mark that it lost an agent."""
        self.tx.put("agent_runner_mark", owner=self.owner, holder=holder)

    def _live(self, holder: str, seconds: float, place: str) -> int:
        """Give a sign of life; the mark of what it runs."""
        self.tx.lock(RUNNER, holder)
        self.tx.put(
            "agent_runner_put",
            owner=self.owner,
            holder=holder,
            place=place,
            now=self.tx.now,
            until=self.tx.now + round(seconds * 1_000_000),
        )
        row = self.tx.one("agent_runner_get", owner=self.owner, holder=holder)
        assert row is not None
        return int(row[3])
