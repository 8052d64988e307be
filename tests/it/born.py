"""Loops on /proc/PID/mem of a program that starts, as a process of its uid would; prints how often it read the token.

born.py TRIES TOKEN PROGRAM ARG...
"""
import os, signal, sys, time

tries, token, command = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]


def opened(pid):
    """Maps and memory of the program, opened before it closed itself; None when it was quicker."""
    refused = 0
    while True:
        try:
            if os.readlink(f"/proc/{pid}/exe") == command[0]:
                return open(f"/proc/{pid}/maps"), os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        except PermissionError:
            refused += 1
            # Opened later than this, it would be hardened for long.
            if refused % 500 == 0 and "NoNewPrivs:\t1" in open(f"/proc/{pid}/status").read():
                return None
        except (FileNotFoundError, ProcessLookupError):
            return None


def finds(maps, memory):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        maps.seek(0)
        for line in maps.read().splitlines():
            place, rights = line.split()[:2]
            if rights.startswith("rw"):
                first, last = (int(number, 16) for number in place.split("-"))
                try:
                    if token in os.pread(memory, last - first, first):
                        return True
                except OSError:
                    pass
        time.sleep(0.02)
    return False


won = 0
for _ in range(tries):
    go, start = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(start)
        os.read(go, 1)
        os.execv(command[0], command)
    os.close(go)
    os.close(start)
    try:
        files = opened(pid)
        won += bool(files) and finds(*files)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if won and "--once" in os.environ.get("RACE", ""):
        break
print(won)
