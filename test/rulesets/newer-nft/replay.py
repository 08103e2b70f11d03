"""Sends a recorded batch to nf_tables of this network namespace: python3 replay.py FILE. Exits with 1 and the error if the kernel refuses."""
import os, socket, struct, sys

ERROR = 2
with open(sys.argv[1], "rb") as file:
    batch = file.read()
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netlink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
netlink.settimeout(0.5)
netlink.sendto(batch, (0, 0))
try:
    while True:
        answer = netlink.recv(1 << 16)
        kind, errno = struct.unpack_from("<4xH10xi", answer)
        if kind == ERROR and errno != 0:
            sys.exit(f"refused: {os.strerror(-errno)}")
except TimeoutError:
    pass
