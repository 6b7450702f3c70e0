"""A user's text in an administrator's shell commands: one word, whatever it is."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unispawner.job import CONTROL
from unispawner.profiles.shell_text import check_commands, fill_commands

# Each prints "begin", the text and "end" between separators, through each kind of quotes.
COMMANDS = [
    "show {value}",
    "show '{value}'",
    'show "{value}"',
    'show begin"{value}"end',
    "show 'it'\\''s {value}'",
    'show "a \\" {value}"',
    'show "$(printf %s {value})"',
    'show "$(printf "%s" "{value}")"',
    'show "\\$({value})"',
    "echo $$ >/dev/null; show {value}",
    'show "$(printf "%s" \'{value}\')" # don\'t',
    "# it's a comment\nshow {value}",
    "x=$(echo a) # don't \\\nshow {value} # {value}",
    'D="$(printf "a (%s)" "$(echo b)")"; show {value}',
    "case $0 in a) echo;; *) show {value};; esac",
    "(show {value})",
    "f() { show {value}; }; f",
    'for x in {value}; do show "$x"; done',
    'X={value}; show "$X"',
    '[ -z "$#" ] || show {value}',
    "echo \\\n  '# not a comment' >/dev/null; show {value}",
    "{ show {value}; }",
    "[[ {value} == '' ]] || show {value}",
    "cat <<< {value} >/dev/null; show {value}",
    "show x{value}",
]
TEXTS = st.text(
    st.one_of(
        st.sampled_from("'\"\\$`!*?[]()<>|&;#~ =,-/ab{}"),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    min_size=1,
    max_size=40,
).filter(lambda text: not CONTROL.search(text))
SHOW = 'show() { printf \'%s\\0\' "$#" "$@"; }\n'
EXPECTED = {
    'show begin"{value}"end': "begin{}end",
    "show 'it'\\''s {value}'": "it's {}",
    'show "a \\" {value}"': 'a " {}',
    "show x{value}": "x{}",
    'show "\\$({value})"': "$({})",
}


def run(commands: str) -> list[str]:
    """Return what the commands show, of a real bash."""
    done = subprocess.run(
        ["bash", "--norc", "-c", SHOW + commands], capture_output=True, timeout=20, check=True
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("commands", COMMANDS)
def test_what_is_accepted(commands: str) -> None:
    """Commands with the text in any quotes are accepted."""
    check_commands(commands)


@pytest.mark.threat(
    who="user",
    tries="They type a path with quotes, dollar signs or semicolons, which runs as a command.",
    stopped_by="What stands for {value} in shell commands is quoted for the quotes around it.",
)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
@example("'; id; '")
@example('"; id; "')
@example("$(id)`id`\\")
@example("A=b")
@example("-n")
@example("*")
@example("a,b")
@example("\\'")
@example('\\"')
@example("!x")
@example("#")
@example("~")
def test_any_text_is_one_word(text: str) -> None:
    """Any text without control characters reaches the command as exactly one word, unchanged."""
    marked = "\n".join(fill_commands(one, text) for one in COMMANDS)
    found = run(marked)
    expected = [EXPECTED.get(one, "{}").replace("{}", text) for one in COMMANDS]
    assert ["1"] * len(COMMANDS) == found[::2]
    assert expected == found[1::2]


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ("cat <<END\n{value}\nEND", "a document after <<"),
        ("echo `echo {value}`", "a backquote"),
        ("echo $'it\\'s {value}'", "quotes after a dollar sign"),
        ("echo ${value}", "${…} around it"),
        ("echo ${x:-{value}}", "${…} around it"),
        ('echo "${x#\'}" {value}', "quotes in ${…}"),
        ("echo $(( {value} ))", "arithmetic"),
        ("(( x = {value} ))", "arithmetic"),
        ("eval {value}", "eval"),
        ("echo \\{value}", "a backslash"),
        ("echo '{value}", "left open"),
        ('echo "$(echo {value}"', "left open"),
        ('echo "$(case a in a) echo "{value}";; esac)"', "case in or after $(…)"),
        ('"$(a $(b); case a in a) echo "{value}";; esac)"', "case in or after $(…)"),
        ('echo "$(echo ${x%)} "{value}")"', "brackets in ${…}"),
        ('echo "$$({value})"', "a bracket after $$"),
    ],
)
def test_what_cannot_be_read_with_certainty(commands: str, words: str) -> None:
    """Commands in which the quotes around the text are not certain are refused."""
    with pytest.raises(ValueError, match=f".*{re.escape(words)}"):
        check_commands(commands)


def test_commands_without_a_text() -> None:
    """Commands without {value} are not looked at."""
    check_commands("eval `x` <<E\n'")
    assert "eval ${x}" == fill_commands("eval ${x}", "/a")
