#!/usr/bin/env python3
"""Stands for your app: shows who it is, where its secrets are, and that nothing can be regained. Prints no whole secret."""

import os
import stat
import sys
from pathlib import Path


def heading(text):
    print(f"\n{text}\n{'-' * len(text)}")


def row(name, value):
    print(f"  {name:<16} {value}")


def masked(text):
    return f"{text[:4]}… ({len(text)} characters)"


def status():
    return dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())


def is_refused(attempt):
    try:
        attempt()
    except PermissionError:
        return True
    return False


heading("Who I am")
row("pid", f"{os.getpid()} (I replaced secret-exec: nothing of it remains)")
row("user, group", f"{os.getuid()}:{os.getgid()}, groups {os.getgroups()}")
row("home", os.environ.get("HOME", "(none)"))

folder = Path(os.environ["SECRET_EXEC_DIR"])
heading(f"My files, below $SECRET_EXEC_DIR = {folder}")
generation = (folder / "..data").resolve()
for path in sorted(p for p in generation.rglob("*") if p.is_file()):
    info = path.stat()
    row(str(path.relative_to(generation)), f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} {info.st_size} bytes")
print("\n  app.conf reads:")
for line in (folder / "app.conf").read_text().splitlines():
    print("    " + (line.split(":")[0] + "://app:…" if "postgres" in line else line))

heading("My environment")
row("STRIPE_KEY", masked(os.environ["STRIPE_KEY"]))
row("VAULT_TOKEN", os.environ.get("VAULT_TOKEN", "(scrubbed)"))

heading("What can be regained")
facts = status()
row("capabilities", f"effective {facts['CapEff'].strip()}, permitted {facts['CapPrm'].strip()}")
row("no_new_privs", facts["NoNewPrivs"].strip())
attempts = {"become root": lambda: os.setresuid(-1, 0, -1), "root's group": lambda: os.setresgid(-1, 0, -1)}
if os.getuid() == 0:
    attempts = {"change groups": lambda: os.setgroups([1])}
for what, attempt in attempts.items():
    row(what, "refused" if is_refused(attempt) else "POSSIBLE")
    if not is_refused(attempt):
        sys.exit("privileges were not dropped")
print()
