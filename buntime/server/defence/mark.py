"""The mark that each worker, and everything it starts, bears for good; see pool/orphans.py."""

_LIMIT_LINE = b"Max file locks"  # RLIMIT_LOCKS in /proc/PID/limits: name, soft, hard, unit


def mark_of(pid: int) -> int | None:
    """The limit that shows which worker a process comes from; None if it has none, or if that
    cannot be seen."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:
            for line in limits:
                if line.startswith(_LIMIT_LINE):
                    hard = line.removeprefix(_LIMIT_LINE).split()[1]
                    return int(hard) if hard.isdigit() else None
    except (OSError, IndexError):
        pass
    return None
