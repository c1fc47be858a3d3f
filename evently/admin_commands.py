"""
The command `evently admin`: accounts, their roles, and organizers.

Owns names, options and what is printed; leaves the work to `evently.admin`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.printable import table
from evently.settings import Settings

admin = typer.Typer(help="Accounts, their roles, and organizers.", no_args_is_help=True)

_Role = Literal["user", "staff", "organizer", "admin"]
_Who = Annotated[str, typer.Argument(help="The account: its address, or its id.")]
_Organizer = Annotated[
    str, typer.Option("--organizer", help="Id of the organizer that staff and organizers are of.")
]


@admin.command()
def add(
    email: Annotated[str, typer.Argument(help="The address.")],
    role: Annotated[_Role, typer.Option(help="What the account is to be.")] = "admin",
    organizer_id: _Organizer = "",
    name: Annotated[str, typer.Option(help="What the person is called.")] = "Admin",
    *,
    anew: Annotated[
        bool, typer.Option("--new", help="Even if an account has it that has not proved it.")
    ] = False,
) -> None:
    """Give an address an account of a role; one that has proved the address gets the role."""
    from evently.admin import add_account  # noqa: PLC0415

    settings = _settings()
    path = _password_path(settings)
    user_id, password = asyncio.run(
        add_account(settings, email, name=name, role=role, organizer_id=organizer_id, anew=anew)
    )
    typer.echo(f"{email}  {role}  {user_id}")
    if password is not None:
        _tell(email, password, path)


@admin.command("role")
def set_role(
    who: _Who,
    role: Annotated[_Role, typer.Argument(help="What the account is to be.")],
    organizer_id: _Organizer = "",
) -> None:
    """Make an account a user, staff or organizer of an organizer, or an admin."""
    from evently import admin as acts  # noqa: PLC0415

    user_id = asyncio.run(acts.set_role(_settings(), who, role=role, organizer_id=organizer_id))
    typer.echo(f"{user_id}: {role}")


@admin.command()
def disable(who: _Who) -> None:
    """Keep an account out: it cannot log in, and its role counts no more."""
    _set_disabled(who, is_disabled=True)


@admin.command()
def enable(who: _Who) -> None:
    """Let an account in again, as what it was."""
    _set_disabled(who, is_disabled=False)


@admin.command("organizer")
def add_organizer(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    owner: Annotated[str, typer.Option(help="Address or id of the account that owns it.")] = "",
) -> None:
    """Add an organizer; print its id."""
    from evently import admin as acts  # noqa: PLC0415

    typer.echo(asyncio.run(acts.add_organizer(_settings(), name, owner)))


@admin.command("list")
def list_accounts(
    text: Annotated[str, typer.Argument(help="Part of an address or name, or an id.")] = "",
    role: Annotated[_Role | None, typer.Option(help="Those of this role alone.")] = None,
) -> None:
    """List accounts, the first 200 that match."""
    from evently.admin import listed  # noqa: PLC0415

    rows = [
        (
            one.id,
            one.email,
            one.name,
            one.role,
            one.organizer_id or "",
            "" if one.email_verified_at else "not proved",
            "disabled" if one.disabled_at else "",
        )
        for one in asyncio.run(listed(_settings(), text, role))
    ]
    headings = ("id", "address", "name", "role", "organizer", "its address", "")
    typer.echo("\n".join(table(headings, rows, width=None)))


@admin.command()
def reset(
    email: Annotated[str, typer.Option(help="The admin's address, if it is another.")] = "",
) -> None:
    """Give the admin a new password: shown once on a terminal, else written into a file."""
    from evently.admin import reset_admin  # noqa: PLC0415

    settings = _settings()
    email = email or settings.admin_email
    path = _password_path(settings)
    _tell(email, asyncio.run(reset_admin(settings, email)), path)


def _set_disabled(who: str, *, is_disabled: bool) -> None:
    from evently import admin as acts  # noqa: PLC0415

    user_id = asyncio.run(acts.set_disabled(_settings(), who, is_disabled=is_disabled))
    typer.echo(f"{user_id}: {'disabled' if is_disabled else 'enabled'}")


def _settings() -> Settings:
    from evently import logs  # noqa: PLC0415

    logs.to_stderr()
    return Settings.load().require("database_url")


def _password_path(settings: Settings) -> Path | None:
    """
    Return the file that a new password goes into; None if somebody sits at a terminal.

    Asked before there is one, so that none is made and then lost.
    """
    from evently.embedded.errors import ServerError  # noqa: PLC0415
    from evently.up import ADMIN_FILE  # noqa: PLC0415

    if sys.stdout.isatty():
        return None
    folder = settings.data_path
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise ServerError(f"a password cannot be left in {folder}: do this on a terminal")
    return folder / ADMIN_FILE


def _tell(email: str, password: str, path: Path | None) -> None:
    """Show a new password once to who sits at a terminal; else write it into a file of theirs."""
    from evently.embedded.place import write_atomically  # noqa: PLC0415

    if path is None:
        typer.echo(f"{email}  password {password} (shown this once)")
        return
    write_atomically(path, f"{password}\n".encode())
    typer.echo(f"{email}  password in {path}; remove the file when you have read it")
