"""machine -- what the kernel knows: CPU time and memory of processes, CPUs, open files, ports."""

import os
import platform
import resource
import socket
import time

OPEN_FILES = 200_000


def raise_open_files():
    """The limit of open files for everything that is started from here, as high as it may be."""
    for wanted in (OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            hard = max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def cpus():
    """Which CPUs each part gets: the proxy one of its own, as far as there are some."""
    free = sorted(os.sched_getaffinity(0))
    last = len(free) - 1
    return {
        "proxy": {free[0]},
        "load": {free[min(1, last)]},
        "origin": {free[min(2, last)]},
        "all": set(free),
    }


def free_ports(count):
    """Ports below those of outgoing connections, which could otherwise take one in between."""
    ports = []
    for port in range(18200, 32000):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError("there are no free ports")


def descendants(pid):
    """The process and all that came from it and are alive."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    pids += [int(child) for child in f.read().split()]
        except OSError:
            continue  # it has just ended
    return pids


def cpu_ns(pid):
    """
    User and system time of the process and its descendants.  The kernel's CPU clock of a process
    counts in nanoseconds and has the threads that ended in it; of children that ended there are
    only ticks.
    """
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    total = 0
    for each in descendants(pid):
        try:
            total += time.clock_gettime_ns((~each << 3) | 2)  # clock_getcpuclockid(3)
            with open(f"/proc/{each}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) * tick_ns
        except OSError:
            continue
    return total


def rss_kib(pid):
    """Resident memory of the process and its descendants; what they share counts for each."""
    total = 0
    for each in descendants(pid):
        try:
            with open(f"/proc/{each}/statm") as f:
                total += int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        except OSError:
            continue
    return total


def describe():
    model = platform.machine()
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }
