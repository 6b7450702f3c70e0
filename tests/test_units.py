"""Memory and time: every form that is accepted, and every one that is refused."""

from datetime import timedelta
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.units import (
    WHOLE,
    divide_up,
    format_duration,
    format_memory,
    parse_duration,
    parse_memory,
    whole_seconds,
)

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MIB, MIB),
        (4 * GIB, 4 * GIB),
        ("4294967296", 4 * GIB),
        ("4G", 4 * GIB),
        ("4g", 4 * GIB),
        ("4GB", 4 * GIB),
        ("4GiB", 4 * GIB),
        ("4 GiB", 4 * GIB),
        (" 4G ", 4 * GIB),
        ("512M", 512 * MIB),
        ("512MiB", 512 * MIB),
        ("1.5G", 3 * GIB // 2),
        ("64K", 64 * KIB),
        ("2T", 2048 * GIB),
        ("1P", 1024 * 1024 * GIB),
        ("100B", 100),
        ("100b", 100),
    ],
)
def test_memory_is_read(value: Any, expected: int) -> None:
    """Numbers are bytes, and every unit is binary, with or without B or iB, in either case."""
    assert expected == parse_memory(value)


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, False, None, 2**63, [], {}),
        *("", " ", "0", "0G", "-4G", "+4G", "four", "4X", "G", "4 4G", "4Gi4", "4G\nM", "4,5G"),
        *("1e3", "nan", "inf", "0x10", "٤G", "9" * 30, "99999999P", "4G;", ".5G", "5.G"),
    ],
)
def test_text_that_is_not_memory_is_refused(value: Any) -> None:
    """Other text is refused with the field, the value and the right forms."""
    with pytest.raises(InvalidJobError) as caught:
        parse_memory(value, "resources.memory")
    assert caught.value.message.startswith(f"resources.memory: {value!r} ")
    assert "4GiB" in caught.value.message


@pytest.mark.parametrize(
    ("value", "shown", "right"),
    [
        ("4000", "4000", "'4000M' or '4G'"),
        (4000, "4000", "'4000M' or '4G'"),
        ("16", "16", "'16M' or '16G'"),
        (1, "1", "'1M' or '1G'"),
        (" 512 ", "512", "'512M' or '512G'"),
        (MIB - 1, "1048575", "'1048575M' or '1024G'"),
    ],
)
def test_a_low_number_without_a_unit(value: Any, shown: str, right: str) -> None:
    """A low number without a unit is not bytes but a mistake: the error shows what it would mean,
    and the right spellings."""
    with pytest.raises(InvalidJobError) as caught:
        parse_memory(value)
    assert f"memory: {value!r} is {shown} bytes; write {right}" == caught.value.message


@pytest.mark.parametrize("value", ["0", 0, "all", " ALL "])
def test_all_of_a_nodes_memory(value: Any) -> None:
    """0 and "all" are an amount only where all memory of a node can be asked for."""
    assert WHOLE == parse_memory(value, whole=True)
    with pytest.raises(InvalidJobError, match="is not an amount of memory"):
        parse_memory(value)
    assert WHOLE == parse_memory(format_memory(WHOLE), whole=True)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("30:00", "'00:30:00' or '30:00:00'"),
        ("8:00", "'00:08:00' or '08:00:00'"),
        ("90:30", "'01:30:30' or '90:30:00'"),
        ("UNLIMITED", '{"slurm.time": "UNLIMITED"}'),
        ("infinite", "'7-00:00:00'"),
    ],
)
def test_slurms_own_times(value: str, right: str) -> None:
    """Slurm's own spellings of a time are refused with the right ones."""
    with pytest.raises(InvalidJobError) as caught:
        parse_duration(value)
    assert caught.value.message.startswith(f"duration: {value!r} is not a length of time")
    assert right in caught.value.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(minutes=90), timedelta(minutes=90)),
        (90, timedelta(minutes=90)),
        ("90", timedelta(minutes=90)),
        (" 90 ", timedelta(minutes=90)),
        ("8:00:00", timedelta(hours=8)),
        ("08:00:00", timedelta(hours=8)),
        ("100:00:00", timedelta(hours=100)),
        ("0:00:30", timedelta(seconds=30)),
        ("1:2:3", timedelta(hours=1, minutes=2, seconds=3)),
        ("1-12:00:00", timedelta(days=1, hours=12)),
        ("1-12:30", timedelta(days=1, hours=12, minutes=30)),
        ("1-12", timedelta(days=1, hours=12)),
        ("2-0", timedelta(days=2)),
    ],
)
def test_duration_is_read(value: Any, expected: timedelta) -> None:
    """A number means minutes; clocks and days mean the same as in Slurm's --time."""
    assert expected == parse_duration(value)


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, None, 1.5, 10**9, timedelta(0), timedelta(-1), timedelta(days=20_000), []),
        *("", "0", "0:00:00", "-5", "8h", "1-", "-1:00:00", "1:00:00:00", "1-1:1:1:1", "1:000:00"),
        *("8:00:00\n9", "٨:00:00", "9" * 40, "9999999-00:00:00", "1.5", "nan", "00:10:00;", "1--2"),
    ],
)
def test_text_that_is_not_a_duration_is_refused(value: Any) -> None:
    """Other text is refused with the field, the value and the right forms."""
    with pytest.raises(InvalidJobError) as caught:
        parse_duration(value, "options.duration")
    assert caught.value.message.startswith(f"options.duration: {value!r} ")
    assert "HH:MM:SS" in caught.value.message


def test_ambiguous_duration_is_refused() -> None:
    """``8:00``, which is eight hours to PBS and eight minutes to Slurm, is refused."""
    with pytest.raises(InvalidJobError):
        parse_duration("8:00")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(minutes=10), "00:10:00"),
        (timedelta(hours=8), "08:00:00"),
        (timedelta(days=1, hours=12), "36:00:00"),
        (timedelta(days=100), "2400:00:00"),
        (timedelta(seconds=1.001), "00:00:02"),
        (timedelta(seconds=59.5), "00:01:00"),
    ],
)
def test_duration_is_written(value: timedelta, expected: str) -> None:
    """Hours have as many digits as they need, and parts of a second are rounded up."""
    assert expected == format_duration(value)
    assert value <= parse_duration(expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (4 * GIB, "4G"),
        (512 * MIB, "512M"),
        (3 * GIB // 2, "1536M"),
        (GIB + KIB, "1048577K"),
        (2048 * GIB, "2T"),
        (1024**5, "1P"),
        (4096 * 1024**5, "4096P"),
        (1000, "1000B"),
        (1, "1B"),
        (MIB + 1, "1048577"),
    ],
)
def test_memory_is_written(size: int, expected: str) -> None:
    """The unit is the largest that needs no fraction, and what is written reads the same."""
    assert expected == format_memory(size)
    assert size == parse_memory(expected)


def test_amounts_are_rounded_up() -> None:
    """What a job asks for is never less than what was wanted."""
    assert [0, 1, 1, 2] == [divide_up(amount, 4) for amount in (0, 1, 4, 5)]
    assert 2 == divide_up(timedelta(minutes=1, microseconds=1), timedelta(minutes=1))
    assert [1, 1, 2] == [whole_seconds(timedelta(seconds=part)) for part in (0.001, 1, 1.5)]
