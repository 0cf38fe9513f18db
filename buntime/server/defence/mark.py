"""The mark that each worker, and all that it starts, bears for good: see pool/orphans.py."""

_LIMIT_LINE = b"Max file locks"  # of RLIMIT_LOCKS in /proc/PID/limits: the name, soft, hard, a unit


def mark_of(pid: int) -> int | None:
    """The limit that tells which worker a process comes from; None where it has none, or that
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
