"""The commands that administer a running Boss: token, source, audit."""

import json
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boss.cli.application import AsJson, Token, Url, asking, each, give_up, now, print_json_lines, print_table
from boss.cli.exit_codes import NOT_THERE, USAGE
from boss.cli.output import CannotWrite
from boss.cli.standing import unknown
from boss.cli.times import second, seconds_of, span
from boss.client.json_text import Number
from boss.errors import RuleChanged
from boss.model.job import MOST_ATTEMPTS
from boss.model.permissions import Role
from boss.model.source_rule import HIGHEST_RATE, LOWEST_RATE
from boss.settings import DEFAULT_URL

if TYPE_CHECKING:
    from boss.client.verbs import Verbs

# How often a part of a rule is changed anew when somebody else has changed another one meanwhile.
_TRIES = 10
# The details of an audit event that are spans of time, in seconds.
_SPANS = {"expires": "after", "older": "than"}


class RulePart(StrEnum):
    """A limit or a default of a source."""

    LIMIT = "limit"
    ATTEMPTS = "attempts"
    DELAYS = "delays"
    LEASE = "lease"
    TIMEOUT = "timeout"
    RATE = "rate"
    KEEP_DONE = "keep-done"


_tokens = typer.Typer(help="Create, list and revoke access tokens.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command, name, example in (
        (create_token, "create", "boss token create freg-import --role converter --source freg --expires 90d"),
        (list_tokens, "list", "boss token list"),
        (revoke_token, "revoke", "boss token revoke freg-import"),
    ):
        _tokens.command(name, epilog=f"Example: {example}")(command)
    app.add_typer(_tokens, name="token")
    app.command(epilog="Example: boss source freg --limit 4")(source)
    app.command(epilog="Example: boss audit")(audit)


def create_token(
    name: Annotated[str, typer.Argument(help="The token's name. Jobs and the audit log say by it who did something.")],
    role: Annotated[
        Role,
        typer.Option(
            help="A converter takes, checks, finishes and gives back; a submitter submits and reads; an admin does all."
        ),
    ],
    url: Url = DEFAULT_URL,
    token: Token = None,
    sources: Annotated[
        list[str] | None, typer.Option("--source", help="Only for this source; may be given several times.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How long it is valid, such as 90d or 12h.  [default: for ever]")
    ] = None,
) -> None:
    """Create a token, and print it. It is shown only once; Boss keeps no more than a hash of it.

    The first token must be an admin's that never expires. From then on every request needs a token.
    """
    seconds = None if expires is None else _seconds(expires)
    with asking(url, token) as boss:
        made = now(boss.create_token(name, role, sources=sources or None, expires=seconds))
        try:
            typer.echo(made)
        except CannotWrite as error:
            give_up(f"{error}; the token {name} exists but was not shown: boss token revoke {name}, and create another")


def list_tokens(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """List all tokens, also expired and revoked ones: name, role, sources and last use. Never the tokens themselves."""
    with asking(url, token) as boss:
        found = now(boss.list_tokens())
    if as_json:
        print_json_lines(found)
        return
    rows = [
        (
            each["name"],
            each["role"],
            "all" if each["sources"] is None else " ".join(each["sources"]),
            second(each["created"]),
            second(each["used"]),
            f"revoked {second(each['revoked'])}" if each["revoked"] else second(each["expires"]),
        )
        for each in found
    ]
    print_table(("name", "role", "sources", "created", "last used", "until"), rows)


def revoke_token(
    name: Annotated[str, typer.Argument(help="The token's name.")], url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Revoke a token. It is not valid any more, within a second on every replica."""
    with asking(url, token) as boss:
        now(boss.revoke_token(name))


def source(
    url: Url = DEFAULT_URL,
    token: Token = None,
    name: Annotated[str | None, typer.Argument(help="The source's name; without it all are listed.")] = None,
    paused: Annotated[
        bool | None, typer.Option("--paused/--resume", help="Hand out none of its jobs, or hand them out again.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The most of its jobs that may be active at once.")] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, max=MOST_ATTEMPTS, help="The most attempts of a job, unless its submit says.")
    ] = None,
    delays: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS,…",
            help="The delay after the first failed attempt, the second, and so on, unless the give-back says.",
        ),
    ] = None,
    lease: Annotated[
        int | None, typer.Option(min=0, metavar="SECONDS", help="The lease of its jobs, unless the take says.")
    ] = None,
    timeout: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="How long an attempt may take, unless the submit says.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=LOWEST_RATE, max=HIGHEST_RATE, help="How many of its jobs may be taken in a second."),
    ] = None,
    keep_done: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="For how many days its done jobs are kept.")
    ] = None,
    without: Annotated[
        list[RulePart] | None, typer.Option(help="Remove this limit or default; may be given several times.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="Remove its limits and defaults.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; it must have no jobs.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the sources and their rules, or set the rule of one. It applies within a second on every replica.

    What is not named stays as it is: --limit 4 does not end a pause, and --resume keeps the limit. --without limit
    removes the limit, and --free removes all.
    """
    named: dict[str, Any] = {
        "paused": paused,
        "limit": limit,
        "attempts": attempts,
        "delays": _delays(delays),
        "lease": lease,
        "timeout": timeout,
        "rate": rate,
        "keep_done": keep_done,
    }
    removed = {part.name.lower(): part for part in without or ()}
    if both := next((part for field, part in removed.items() if named[field] is not None), None):
        give_up(f"--without {both} cannot be combined with a new value of it", USAGE)
    sets = bool(removed) or any(value is not None for value in named.values())
    if free and sets:
        give_up("--free cannot be combined with limits or defaults", USAGE)
    if delete and (free or sets):
        give_up("--delete cannot be combined with limits or defaults", USAGE)
    changes = delete or free or sets
    if changes and name is None:
        give_up("say which source, as boss source freg --paused", USAGE)
    with asking(url, token) as boss:
        known = {each["source"]: each for each in now(boss.sources())}
        is_new = name is not None and name not in known
        if name is not None and is_new and not sets:
            give_up(unknown(name, {*known}), NOT_THERE)
        if delete and name is not None:
            now(boss.delete_source(name))
            return
        if changes and name is not None:
            if free:
                now(boss.set_rule(name))
            else:
                _change_rule(boss, name, named, removed)
            if is_new:
                typer.echo(f"boss: {unknown(name, {*known})} (its rule applies from its first job on)", err=True)
        found = [each for each in now(boss.sources()) if name in (None, each["source"])]
    if as_json:
        print_json_lines(found)
        return
    rows = [
        (each["source"], f"{each['available']:,}", f"{each['active']:,}", f"{each['done']:,}", _rule_in_words(each))
        for each in found
    ]
    print_table(("source", "available", "active", "done", "rule"), rows)


def _change_rule(boss: "Verbs", name: str, named: dict[str, Any], removed: Iterable[str]) -> None:
    """Change these parts of the rule. Who changes others at the same moment loses none: it is read again then."""
    for tries in range(1, _TRIES + 1):
        rule, version = now(boss.source(name))
        try:
            now(boss.set_rule(name, version=version, **_changed(rule, named, removed)))
            return
        except RuleChanged:
            if tries == _TRIES:
                raise


def _changed(rule: dict[str, Any], named: dict[str, Any], removed: Iterable[str]) -> dict[str, Any]:
    """This rule, with what was named, and without the parts that were removed.

    A request replaces the whole rule, so the rest is sent again.
    """
    changed = {field: _plain(rule.get(field)) if value is None else value for field, value in named.items()}
    return {**changed, **dict.fromkeys(removed), "paused": bool(changed["paused"])}


def _plain(value: Any) -> Any:
    """A value of a rule with floats for the numbers that were read exactly."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Number) else value


def _delays(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        delays = [float(each) for each in text.split(",")]
        if not all(map(isfinite, delays)):
            raise ValueError
        return delays
    except ValueError:
        give_up(f"the delays are {text!a}; they take numbers of seconds, as 10,60,3600", USAGE)


# How the parts of a rule are shown.
_PARTS = (
    ("limit", "{:,} active at most"),
    ("attempts", "attempts {:,}"),
    ("lease", "lease {:,} s"),
    ("timeout", "timeout {:,} s"),
    ("rate", "{:.10g} a second at most"),
    ("keep_done", "done jobs kept {:g} d"),
)


def _rule_in_words(rule: dict[str, Any]) -> str:
    rule = {name: _plain(value) for name, value in rule.items()}
    words = ["paused"] if rule["paused"] else []
    words += [form.format(rule[name]) for name, form in _PARTS if rule[name] is not None]
    if rule["delays"] is not None:
        words.append(f"delays {' '.join(f'{each:g}' for each in rule['delays'])} s")
    return ", ".join(words)


def audit(
    url: Url = DEFAULT_URL,
    token: Token = None,
    limit: Annotated[int, typer.Option(min=1, help="The most actions to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the actions of administrators that are not kept with a job: on tokens, source rules, and pruning."""
    with asking(url, token) as boss:
        found = list(islice(each(boss.acts()), limit))
    if as_json:
        print_json_lines(found)
        return
    rows = [(second(event["at"]), event["by"] or "", event["did"], _details(event["what"])) for event in found]
    print_table(("when", "who", "did", "what"), rows)


def _details(what: dict[str, Any]) -> str:
    """The details of an audit event in words; those that say nothing are left out."""
    # The database does not keep their order.
    shown = sorted(what.items(), key=lambda pair: (pair[0] not in ("token", "source"), pair[0]))
    return ", ".join(f"{name} {_detail(name, value)}" for name, value in shown if value is not None)


def _detail(name: str, value: Any) -> str:
    if name in _SPANS:
        return f"{_SPANS[name]} {span(float(value))}"
    return " ".join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip('"')


def _seconds(words: str) -> int:
    seconds = seconds_of(words)
    if seconds is None:
        give_up(f"{words!a} is not a span of time; it should look like 90d, 12h, 30m or 45s", USAGE)
    return seconds
