"""The order of a run: the Hubs of all candidates are up, and take turns."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from support.elsewhere import HubElsewhere, LoginNode
from support.hub import RunningHub, until

from . import stalls
from .candidates import BARE, HUBS, Candidate, CountedSlurm, Place
from .figures import Minute, Results
from .load import Bare, HubLoad, Web, users_with_jobs, wait_no_jobs
from .machine import close_partition, say
from .meters import ApiProbe, ForkCounter, QuestionLog, cpu_seconds, make_fork_counter

HERE = Path(__file__).parent
HELD, WAITING = 20, 50
"""How many servers are held, and how many starts wait, while what a Hub does is counted."""
COUNT_SECONDS = 60
SETTLE_SECONDS = 45
"""How long after a start or a submission a Hub may ask often."""
SUBMIT_SECONDS = 90
LOG_LINES = 30


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    candidates
        Their names, in the order of the tables.
    rounds
        By the number of users: how many rounds.
    minutes
        Whether to count what each Hub does in a minute.
    """

    candidates: Sequence[str]
    rounds: dict[int, int]
    minutes: bool = True

    @property
    def users(self) -> list[str]:
        """All accounts that are needed."""
        count = max([*self.rounds, HELD + WAITING if self.minutes else 0])
        return [f"bench{number:03d}" for number in range(count)]

    @property
    def jobs(self) -> int:
        """How many jobs run at once at most."""
        held = HELD * len(self.candidates) if self.minutes else 0
        return max([*self.rounds, held])


@dataclass(frozen=True)
class Measured:
    """A Hub of a candidate, and its meters.

    Attributes
    ----------
    roots
        The processes whose descendants count with it: the Hub, and sshd on the far side.
    """

    candidate: Candidate
    hub: RunningHub
    load: HubLoad
    questions: QuestionLog
    place: Place
    roots: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.candidate.name

    def cpu(self) -> float:
        """Return the processor seconds of the Hub with all its children so far."""
        return cpu_seconds(*self.roots)

    def longest_stall(self, since: float) -> float:
        return stalls.longest(str(self.place.stalls), since)


class Bench:
    """One run.

    Parameters
    ----------
    folder
        An empty folder that everybody can read.

    Attributes
    ----------
    results
        All that has been measured so far.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self.results = Results()
        self._folder = folder
        self._server = folder / "stub_server.py"
        self._web = Web()
        self._hubs: list[Measured] = []
        self._forks: ForkCounter | None = None

    async def run(self) -> Results:
        """Measure everything, and return the results."""
        shutil.copytree(HERE, self._folder / "benchmark")
        shutil.copy(HERE / "stub_server.py", self._server)
        self._server.chmod(0o755)
        async with AsyncExitStack() as stack:
            stack.callback(self._web.close)
            self._forks = make_fork_counter()
            if self._forks:
                stack.callback(self._forks.close)
            for name in self._plan.candidates:
                if name != BARE:
                    self._hubs.append(await self._start_hub(HUBS[name], stack))
            try:
                await self._measure_loads()
                if self._plan.minutes:
                    await self._measure_minutes()
            except BaseException:
                self._show_logs()
                raise
        return self.results

    def _show_logs(self) -> None:
        """Print the ends of the Hubs' logs, without the lines of the probe."""
        for one in self._hubs:
            lines = [line for line in one.hub.log().splitlines() if " GET /hub/api/ " not in line]
            say("\n".join([f"the log of {one.candidate.title}:", *lines[-LOG_LINES:]]))

    async def _start_hub(self, candidate: Candidate, stack: AsyncExitStack) -> Measured:
        say(f"starting the Hub of {candidate.title}")
        questions = QuestionLog(self._folder / f"commands-{candidate.name}")
        noted = self._folder / f"stalls-{candidate.name}"
        noted.touch()
        noted.chmod(0o666)
        place = Place(self._folder, self._server, questions.folder, noted)
        cluster, config = CountedSlurm(questions.folder), candidate.full_config(place)
        far_side = []
        if candidate.elsewhere:
            login = stack.enter_context(LoginNode(cluster))
            far_side = [login.pid]
            hub: RunningHub = HubElsewhere(cluster, login, config=config)
        else:
            account, sudoers = candidate.account, candidate.sudoers
            hub = RunningHub(cluster, config=config, account=account, sudoers=sudoers)
        stack.push_async_callback(hub.close)
        await hub.start()
        load = HubLoad(hub, self._web)
        await load.add(self._plan.users)
        roots = (hub.pid, *far_side)
        if self._forks:
            self._forks.watch(candidate.name, *roots)
        return Measured(candidate, hub, load, questions, place, roots)

    # -- starts and stops ------------------------------------------------------------------------

    async def _measure_loads(self) -> None:
        for turn in range(max(self._plan.rounds.values(), default=0)):
            for size, rounds in self._plan.rounds.items():
                if turn >= rounds:
                    continue
                users = self._plan.users[:size]
                if BARE in self._plan.candidates:
                    await self._measure_bare(users)
                for one in self._hubs:
                    if turn < one.candidate.most_rounds:
                        await self._measure_hub(one, users)

    async def _measure_bare(self, users: Sequence[str]) -> None:
        load = self.results.load(len(users), BARE)
        bare = Bare(self._server, self._web)
        times = await bare.start_all(users)
        load.api_ready += [runs for runs, _ in times]
        load.ready += [answered for _, answered in times]
        stopped = await bare.stop_all(users)
        load.stopped += stopped
        await _calm_down()
        self._say_times(len(users), "bare sbatch", times, stopped)

    async def _measure_hub(self, one: Measured, users: Sequence[str]) -> None:
        load = self.results.load(len(users), one.name)
        began, cpu = time.time(), one.cpu()
        async with ApiProbe(f"{one.hub.url}hub/api/") as probe:
            times = await one.load.start_all(users)
            started = one.cpu()
            await asyncio.sleep(1.0)
            before_stop = one.cpu()
            stopped = await one.load.stop_all(users)
        await _calm_down()
        load.start_cpu.append(started - cpu)
        load.stop_cpu.append(one.cpu() - before_stop)
        load.api_ready += [said for said, _ in times]
        load.ready += [answered for _, answered in times]
        load.stopped += stopped
        load.api += probe.answers
        load.stall = max(load.stall, one.longest_stall(began))
        self._say_times(len(users), one.candidate.title, times, stopped)

    @staticmethod
    def _say_times(
        size: int, title: str, times: Iterable[tuple[float, float]], stopped: Iterable[float]
    ) -> None:
        ready = max(answered for _, answered in times)
        say(f"{title}: {size} started in {ready:.1f} s, stopped in {max(stopped):.1f} s")

    # -- what a Hub does in a minute ---------------------------------------------------------------

    async def _measure_minutes(self) -> None:
        """Count what all Hubs do at the same time; their servers end when the Hubs have ended.

        batchspawner asks as often as it can for each start that waits, so it is the last.
        """
        await self._start_held()
        await asyncio.sleep(SETTLE_SECONDS)
        say(f"counting a minute with {HELD} servers held in each Hub")
        self.results.held = await self._count_minute(self._hubs)
        await close_partition()
        quiet = [one for one in self._hubs if one.name != "batchspawner"]
        for group, settle in ((quiet, SETTLE_SECONDS), (self._hubs, 5)):
            others = [one for one in group if one.name not in self.results.waiting]
            if others:
                say(f"counting a minute with {WAITING} starts waiting: {[o.name for o in others]}")
                await self._let_wait(others)
                await asyncio.sleep(settle)
                self.results.waiting |= await self._count_minute(others)

    async def _start_held(self) -> None:
        """Start servers in one Hub after the other; count the first minute of each."""
        counts = []
        for one in self._hubs:
            counts.append(asyncio.create_task(self._count_minute([one])))
            await one.load.start_all(self._plan.users[:HELD])
            say(f"{one.candidate.title}: {HELD} servers are held")
        for count in counts:
            self.results.starting |= await count

    async def _let_wait(self, hubs: Sequence[Measured]) -> None:
        """Request servers whose jobs wait, and return when all are submitted, or after a while."""
        users = self._plan.users[HELD : HELD + WAITING]
        expected = len(await users_with_jobs("PD")) + len(hubs) * len(users)
        # A Hub that is too busy to answer does not end the run: what it asks is counted.
        requests = (one.load.request(user) for one in hubs for user in users)
        await asyncio.gather(*requests, return_exceptions=True)

        async def submitted() -> bool:
            return len(await users_with_jobs("PD")) >= expected

        try:
            await until(submitted, "all starts wait in the queue", SUBMIT_SECONDS, pause=1.0)
        except AssertionError as error:  # it is counted all the same: they wait in the Hub
            say(str(error))

    async def _count_minute(self, hubs: Sequence[Measured]) -> dict[str, Minute]:
        """Return what each of these Hubs does in the next minute."""
        before = {one.name: (one.questions.count(), self._started(one), one.cpu()) for one in hubs}
        await asyncio.sleep(COUNT_SECONDS)
        minutes = {}
        for one in hubs:
            (listings, singles), processes, cpu = before[one.name]
            now_listings, now_singles = one.questions.count()
            now = self._started(one)
            minutes[one.name] = Minute(
                now_listings - listings,
                now_singles - singles,
                None if now is None or processes is None else now - processes,
                one.cpu() - cpu,
            )
        return minutes

    def _started(self, one: Measured) -> int | None:
        return self._forks.count(one.name) if self._forks else None


async def _calm_down() -> None:
    """Return when Slurm has no job of the bench, and a Hub has had time to clean up."""
    await wait_no_jobs()
    await asyncio.sleep(1.0)
