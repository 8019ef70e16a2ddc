"""Hosts on one machine: network namespaces, each on a line of its own to the tests' servers.

The thread that enters `network` has a namespace of its own from then on, and so have the threads
and processes that it starts: nothing of the machine's network is touched. What listens at its
127.0.0.1 can be reached by the hosts under the same address, so that they need no other settings
than a program beside the servers. Needs root, and the programs of `missing`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_BRIDGE, _SERVERS = "bridge", "10.77.0.1"
_NAT = "iptables -t nat -A"
_TOOLS = ("ip", "iptables", "sysctl", "tc")


def missing() -> str:
    """Return what is not there that hosts need, "" where all is."""
    if os.geteuid() != 0:
        return "root"
    return next((tool for tool in _TOOLS if shutil.which(tool) is None), "")


class NetHost:
    """A host with its line, which can be disturbed; `mend` ends all disturbances."""

    def __init__(self, number: int) -> None:
        """Make it, with a line to the bridge of this thread's network."""
        self._name = f"bulkfetch-{os.getpid()}-{number}"
        self._mended: list[str] = []
        line = f"line{number}"
        _do(f"ip netns add {self._name}")
        _do(f"ip link add {line} type veth peer name eth0 netns {self._name}")
        _do(f"ip link set {line} master {_BRIDGE} up")
        self._address = f"10.77.0.{10 + number}/24"
        for command in (
            "ip link set lo up",
            f"ip addr add {self._address} dev eth0",
            "ip link set eth0 up",
            # What leaves for 127.0.0.1 goes to the servers instead, from the host's own address.
            "sysctl -qw net.ipv4.conf.all.route_localnet=1",
            f"{_NAT} OUTPUT -d 127.0.0.1 -p tcp -j DNAT --to-destination {_SERVERS}",
            f"{_NAT} POSTROUTING -o eth0 -j MASQUERADE",
        ):
            self._do(command)

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what a command begins with that is to run on the host, in place of this process.

        It is executed by the same process then, so that a signal reaches the command itself.
        """
        return ("ip", "netns", "exec", self._name)

    def unplug(self) -> None:
        """Take the line away: what is sent fails at once, and connections stay."""
        self._do("ip link set eth0 down")
        self._mended.append("ip link set eth0 up")

    def swallow(self, chain: str, port: int | None = None, share: float = 1.0) -> None:
        """Have packets vanish: OUTPUT to the servers, INPUT from them; of one port, None: of all.

        `share` is how many of them, by chance.
        """
        at = "" if port is None else f" --{'dport' if chain == 'OUTPUT' else 'sport'} {port}"
        by_chance = f" -m statistic --mode random --probability {share}" if share < 1 else ""
        rule = f"{chain} -p tcp{at}{by_chance} -j DROP"
        self._do(f"iptables -A {rule}")
        self._mended.append(f"iptables -D {rule}")

    def narrow(self, bits_per_s: int) -> None:
        """Have the line carry no more than that to the servers, a second's worth in a queue."""
        self._do(f"tc qdisc add dev eth0 root tbf rate {bits_per_s} burst 4kb latency 1s")
        self._mended.append("tc qdisc del dev eth0 root")

    def mend(self) -> None:
        """End all disturbances; more calls do no harm."""
        while self._mended:
            self._do(self._mended.pop())

    def remove(self) -> None:
        """Remove it; what still runs there has no line any more."""
        _do(f"ip netns del {self._name}")

    def _do(self, command: str) -> None:
        _do(f"{' '.join(self.inside)} {command}")


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Have packets to a port of this thread's own network vanish."""
    rule = f"INPUT -i lo -p tcp --dport {port} -j DROP"
    _do(f"iptables -A {rule}")
    try:
        yield
    finally:
        _do(f"iptables -D {rule}")


def still_to_send(port: int) -> int:
    """Return how many bytes the kernel keeps for a port, on sockets of this thread's network."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    columns = [line.split() for line in lines]
    # Local and remote address with their ports, a state, what is to be sent and what was received.
    return sum(int(each[4].split(":")[0], 16) for each in columns if int(each[2][-4:], 16) == port)


@contextmanager
def network(hosts: int) -> Iterator[list[NetHost]]:
    """Give hosts, on a network of this thread's own until the block ends."""
    with ExitStack() as stack:
        before = os.open(Path("/proc/thread-self/ns/net"), os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, before)
        _call("unshare", _CLONE_NEWNET)
        stack.callback(_call, "setns", before, _CLONE_NEWNET)
        for command in (
            "ip link set lo up",
            f"ip link add {_BRIDGE} type bridge",
            f"ip addr add {_SERVERS}/24 dev {_BRIDGE}",
            f"ip link set {_BRIDGE} up",
            "sysctl -qw net.ipv4.conf.all.route_localnet=1",
            f"{_NAT} PREROUTING -d {_SERVERS} -p tcp -j DNAT --to-destination 127.0.0.1",
        ):
            _do(command)
        made: list[NetHost] = []
        for number in range(hosts):
            made.append(NetHost(number))
            stack.callback(made[-1].remove)
        yield made


def _do(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _call(name: str, *values: int) -> None:
    # `os` has both from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*values) != 0:
        raise OSError(ctypes.get_errno(), f"{name} failed")
