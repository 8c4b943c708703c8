"""netns.py: a network of a test's own, in which packets can be dropped.

Inside `with private_network():` sockets and processes that this thread makes
are in a new network namespace with nothing but a loopback interface. It is gone
with the last of them; the network of the machine is not touched.
"""

import contextlib
import ctypes
import os
import subprocess

from wsclient import Fail, Skip

CLONE_NEWNET = 0x40000000


def _libc(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Fail('%s: %s' % (' '.join(command), done.stdout.decode()))


@contextlib.contextmanager
def private_network():
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _libc('unshare', CLONE_NEWNET)
        except PermissionError:
            raise Skip('no right to make a network namespace')
        try:
            run('ip', 'link', 'set', 'lo', 'up')
            yield
        finally:
            _libc('setns', home, CLONE_NEWNET)
    finally:
        os.close(home)


def drop_packets(port):
    """All TCP packets from and to this port vanish, without a word."""
    run('nft', 'add table inet wsh; '
        'add chain inet wsh out { type filter hook output priority 0; }; '
        'add rule inet wsh out tcp dport %d drop; '
        'add rule inet wsh out tcp sport %d drop' % (port, port))


def pass_packets():
    run('nft', 'delete table inet wsh')
