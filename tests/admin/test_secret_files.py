"""Secrets from files and variables: what belongs to them, and who else may use the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unispawner.admin.secret_files import read_secret
from unispawner.errors import InvalidJobError


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("open sesame\n", "open sesame"),
        (" \topen \n", " \topen "),
        ("open\r\n", "open"),
        ("ä\n\n", "ä"),
        ("", ""),
    ],
)
def test_what_belongs_to_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, secret: str
) -> None:
    """Line ends after a secret do not belong to it, and blanks around it do: in a file and in a
    variable."""
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    file.chmod(0o600)
    assert secret == read_secret(str(file), "THE_SECRET", "--file")
    monkeypatch.setenv("THE_SECRET", text)
    assert secret == read_secret(None, "THE_SECRET", "--file")


@pytest.mark.threat(
    who="other user",
    tries="An account of the machine reads the password of `unispawner probe` in its file.",
    stopped_by="A file that others may read is refused, and the command says so.",
)
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o660, 0o601])
def test_a_file_that_others_may_use(tmp_path: Path, mode: int) -> None:
    """A file that everybody may read, or that a group may change, is refused with the cure."""
    file = tmp_path / "secret"
    file.write_text("opensesame")
    file.chmod(mode)
    with pytest.raises(InvalidJobError, match=f"^--file: .*mode 0{mode:o}.*chmod 600") as caught:
        read_secret(str(file), "THE_SECRET", "--file")
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_a_file_of_one_group(tmp_path: Path, mode: int) -> None:
    """A file of root's that one group may only read is a usual way, and is taken."""
    file = tmp_path / "secret"
    file.write_text("opensesame")
    file.chmod(mode)
    assert "opensesame" == read_secret(str(file), "THE_SECRET", "--file")


def test_a_pipe_of_the_shell() -> None:
    """What a shell's <(…) gives is a pipe, whose mode means nothing."""
    reading, writing = os.pipe()
    os.write(writing, b"opensesame\n")
    os.close(writing)
    assert "opensesame" == read_secret(f"/dev/fd/{reading}", "THE_SECRET", "--file")
    os.close(reading)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there, or is not text, is named with its option."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(InvalidJobError, match=f"^--file: {file} can't be read: "):
        read_secret(str(file), "THE_SECRET", "--file")
