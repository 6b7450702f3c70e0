"""Asks Slurm what a user may use, and reads the answers of sacctmgr and scontrol (22.05).

Accounts and qualities of service (QOS) come from the user's associations, so that nothing is known
of them without slurmdbd. ``scontrol show partition`` leaves out partitions that are hidden, and
those whose AllowGroups have none of the caller's groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import UniSpawnerError
from .base import Dialogue, Reply, Scheduler, ask_optionally
from .reading import read_local_time, split_rows
from .usable import Entry, Row, Usable, make_usable

At = Callable[..., list[str]]
"""Returns a command with the option that names the cluster."""

_PAIR = re.compile(r"(?:^| )([A-Za-z][\w:/-]*)=(\S*)", re.ASCII)
_COLUMNS = "user,defaultaccount,cluster,account,partition,qos,defaultqos"
_PARENTS = "account,parentname"
_UNSET = frozenset(("", "(null)", "N/A", "ALL"))
_CLUSTER_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Association:
    """An account that a user may use, maybe in one partition only, and the QOS of it."""

    account: str
    partition: str = ""
    qos: frozenset[str] = frozenset()
    default_qos: str = ""


@dataclass
class Associations:
    """A user's associations in one cluster, and the accounts above each account."""

    rows: list[Association] = field(default_factory=list)
    default: str = ""
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def accounts(self) -> dict[str, None]:
        """The accounts, in the order of Slurm's answer."""
        return dict.fromkeys(row.account for row in self.rows)

    @property
    def qos(self) -> dict[str, None]:
        """The QOS of all accounts together."""
        return dict.fromkeys(name for row in self.rows for name in sorted(row.qos))

    @property
    def unset(self) -> frozenset[str]:
        """The empty name, if it is not known which account a job gets that names none."""
        return frozenset() if self.default in self.accounts else frozenset(("",))

    def within(self, names: Collection[str]) -> frozenset[str]:
        """Return the user's accounts that are named, or are below an account that is named."""
        wanted = frozenset(names)
        return frozenset(one for one in self.accounts if not wanted.isdisjoint(self._line(one)))

    def allowed(
        self, row: Mapping[str, str], which: str, own: Collection[str]
    ) -> frozenset[str] | None:
        """Return those of the user's accounts or QOS that a partition allows.

        None if it allows all of them, or if the user's are not known.
        """
        allowed, denied = _names(row, f"Allow{which}"), _names(row, f"Deny{which}")
        if not own or not (allowed or denied):
            return None
        if not allowed:  # AllowAccounts counts, and DenyAccounts does not, if both are set
            return frozenset(own) - denied
        return self.within(allowed) if which == "Accounts" else frozenset(own) & allowed

    def _line(self, account: str) -> list[str]:
        """Return an account and all accounts above it."""
        line = [account]
        while (parent := self.parents.get(line[-1], "")) and parent not in line:
            line.append(parent)
        return line


def ask(slurm: Scheduler, at: At, owner: str, groups: Sequence[str]) -> Dialogue[Usable]:
    """Ask for partitions, reservations and, where there is an accounting, associations.

    Raises
    ------
    SchedulerUnavailable
        If Slurm does not answer.
    """
    reply = yield at("scontrol", "-o", "show", "partition")
    slurm.check_answered(reply)
    partitions = read_records(reply.stdout, "PartitionName", reply.passed_over)
    answer = yield from ask_optionally(at("scontrol", "-o", "show", "reservation"))
    reservations = read_records(answer or "", "ReservationName")
    config = yield from ask_optionally(at("scontrol", "show", "config"))
    named = [*_names_of(partitions, "AllowAccounts"), *_names_of(reservations, "Accounts")]
    found, answered = yield from _ask_associations(config or "", owner, named)
    return combine(
        partitions,
        None if answer is None else reservations,
        found,
        owner,
        groups,
        partial=not answered or answer is None or config is None,
    )


def _ask_associations(
    config: str, owner: str, named: Iterable[str]
) -> Dialogue[tuple[Associations, bool]]:
    """Ask for a user's associations; return them, and whether there was an answer.

    Parameters
    ----------
    config
        What ``scontrol show config`` prints.
    named
        The accounts that partitions and reservations name. Only if there are some, the accounts
        above the user's own are asked for.
    """
    cluster = _setting(config, "ClusterName").lower()
    if _setting(config, "AccountingStorageType") != "accounting_storage/slurmdbd":
        return Associations(), bool(config)
    if not _CLUSTER_NAME.fullmatch(cluster):
        return Associations(), False
    where = ("where", f"name={owner}", f"cluster={cluster}", f"format={_COLUMNS}")
    try:
        reply: Reply = yield ["sacctmgr", "-nP", "show", "user", "withassoc", *where]
    except UniSpawnerError:
        return Associations(), False
    if reply.exit_status:
        return Associations(), False
    found = read_associations(reply.stdout, owner, cluster, reply.passed_over)
    if found.rows and any(named):
        above = ("where", f"cluster={cluster}", "user=", f"format={_PARENTS}")
        answer = yield from ask_optionally(["sacctmgr", "-nP", "show", "assoc", *above])
        if answer is None:
            return Associations(), False
        found.parents = read_parents(answer)
    return found, True


def read_records(text: str, key: str, passed_over: list[str] | None = None) -> list[dict[str, str]]:
    """Read lines of ``Name=value Name=value``, as ``scontrol -o`` prints them.

    Parameters
    ----------
    key
        The name with which each line begins.
    passed_over
        A list that gets the other lines.
    """
    lines, others = split_rows(text, lambda line: line.startswith(f"{key}="))
    if passed_over is not None:
        passed_over += others
    # A comment may have blanks and equals signs. It comes last, so that the first value counts.
    return [dict(reversed(_PAIR.findall(line))) for line in lines]


def read_associations(
    text: str, owner: str, cluster: str, passed_over: list[str] | None = None
) -> Associations:
    """Read ``sacctmgr -nP show user withassoc``."""
    columns = _COLUMNS.count(",") + 1
    lines, others = split_rows(text, lambda line: len(line.split("|")) == columns)
    if passed_over is not None:
        passed_over += others
    found = Associations()
    for line in lines:
        user, default, where, account, partition, qos, default_qos = line.split("|")
        if user != owner or where.lower() != cluster or not account:
            continue
        # An association may say what it adds to those of its account: +high. What it takes away
        # (-high) sacctmgr has taken away already.
        names = {one.lstrip("+") for one in qos.split(",") if not one.startswith("-")} - {""}
        found.rows.append(Association(account, partition, frozenset(names), default_qos))
        found.default = default
    return found


def read_parents(text: str) -> dict[str, str]:
    """Read ``sacctmgr -nP show assoc``: the account above each account."""
    pairs = [line.split("|") for line in text.splitlines()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[1]}


def combine(
    partitions: Sequence[Mapping[str, str]],
    reservations: Sequence[Mapping[str, str]] | None,
    found: Associations,
    owner: str,
    groups: Sequence[str],
    *,
    partial: bool = False,
) -> Usable:
    """Return what a user may use, from what Slurm says about partitions and so on.

    Parameters
    ----------
    reservations
        None if they are not known.
    found
        The associations. Without any, accounts and QOS are not known: sites may not need them.
    """
    entries: dict[str, list[Entry]] = {}
    rules: list[list[Row]] = [[_association_row(row, found) for row in found.rows]]
    if found.rows:
        entries["account"] = [Entry(one, one == found.default) for one in found.accounts]
        entries["qos"] = [Entry(one) for one in found.qos]
    reserved: list[str] | None = None
    if reservations is not None:
        access = [(row, _reservation_row(row, found, owner, groups)) for row in reservations]
        usable = [(row, rule) for row, rule in access if rule is not None]
        entries["reservation_id"] = [_reservation(row) for row, _ in usable]
        rules.append([{"reservation_id": frozenset(("",))}, *(rule for _, rule in usable)])
        reserved = [row["ReservationName"] for row, _ in usable]
    if partitions:  # Slurm always has some: otherwise they are not known
        pairs = [(row, _partition_row(row, found, reserved)) for row in partitions]
        entries["queue_name"] = [
            Entry(row["PartitionName"], row.get("Default") == "YES")
            for row, rule in pairs
            if rule is not None
        ]
        rules.append([rule for _, rule in pairs if rule is not None])
    return make_usable(entries, rules, partial=partial)


def _partition_row(
    row: Mapping[str, str], found: Associations, reserved: Collection[str] | None
) -> Row | None:
    """Return what goes together with a partition; None if the user can't use it.

    Newer releases count the accounts below a named account, and older ones do not. What one of them
    allows is allowed here: the scheduler decides.
    """
    rule: dict[str, frozenset[str]] = {"queue_name": frozenset((row["PartitionName"],))}
    if row.get("RootOnly") == "YES":
        return None
    if row.get("ReqResv") == "YES" and reserved is not None:
        rule["reservation_id"] = frozenset(reserved)
    accounts = found.allowed(row, "Accounts", found.accounts)
    if accounts is not None:
        rule["account"] = accounts | found.unset
    qos = found.allowed(row, "Qos", found.qos)
    if qos is not None:  # which QOS a job gets that names none is not known here
        rule["qos"] = qos | {""} if qos else qos
    return rule if all(rule.values()) else None


def _association_row(row: Association, found: Associations) -> Row:
    rule = {"account": frozenset((row.account,)) | found.unset, "qos": row.qos | {""}}
    return {**rule, "queue_name": frozenset((row.partition,))} if row.partition else rule


def _reservation_row(
    row: Mapping[str, str], found: Associations, owner: str, groups: Sequence[str]
) -> Row | None:
    """Return what goes together with a reservation; None if the user can't use it.

    If it names users and accounts, a job needs both (scontrol(1)). Names after a hyphen are denied.
    """
    users, members, accounts = (_names(row, key) for key in ("Users", "Groups", "Accounts"))
    denied = {one[1:] for one in users if one.startswith("-")}
    allowed = {one for one in users if not one.startswith("-")}
    if owner in denied or (allowed and owner not in allowed):
        return None
    if members and members.isdisjoint(groups):
        return None
    rule: dict[str, frozenset[str]] = {"reservation_id": frozenset((row["ReservationName"],))}
    refused = {one[1:] for one in accounts if one.startswith("-")}
    named = {one for one in accounts if not one.startswith("-")}
    if accounts and found.rows:
        own = found.within(named) if named else frozenset(found.accounts)
        own -= refused
        if not own:
            return None
        rule["account"] = own | found.unset
    if partition := _names(row, "PartitionName"):
        rule["queue_name"] = partition
    return rule


def _reservation(row: Mapping[str, str]) -> Entry:
    begins, ends = (_moment(row.get(key, "")) for key in ("StartTime", "EndTime"))
    return Entry(row["ReservationName"], begins=begins, ends=ends)


def _moment(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,11}", text) else read_local_time(text)


def _names(row: Mapping[str, str], key: str) -> frozenset[str]:
    """Return the names in a list of Slurm's; none if the list is not set, or has all names."""
    value = row.get(key, "")
    return frozenset() if value in _UNSET else frozenset(filter(None, value.split(",")))


def _names_of(rows: Iterable[Mapping[str, str]], key: str) -> Iterable[str]:
    return (name.lstrip("-") for row in rows for name in _names(row, key))


def _setting(config: str, name: str) -> str:
    found = re.search(rf"^{name}\s*=\s*(\S*)", config, re.MULTILINE)
    return found[1] if found else ""


__all__ = ["ask", "combine", "read_associations", "read_parents", "read_records"]
