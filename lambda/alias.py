"""Leads the alias of an API (see alias.go) to crier, in this process and its child processes. The file is installed as
sitecustomize.py, so that Python loads it before everything else.
"""

import errno
import importlib.machinery
import importlib.util
import os
import socket
import sys
import weakref

try:
    import ssl
except ImportError:  # a Python without it
    ssl = None


def lead(alias, to):
    here, _, port = to.rpartition(":")
    here, port = here.strip("[]"), int(port or 0)
    relatives = ".".join(alias.split(".")[:2]) + "."  # how the names of this API begin in all regions
    stand_in = "127.99.114.105"  # the address that the alias has here: wherever it is used, it is this machine's
    led = weakref.WeakSet()  # sockets
    awaiting = []  # one element for each led connection on which TLS has not begun
    told = set()

    def is_ours(name):
        if isinstance(name, (bytes, bytearray)):
            name = name.decode("latin-1")
        return isinstance(name, str) and (name == stand_in or name.lower().startswith(relatives))

    def refuse(name, why, kind=ConnectionRefusedError, number=errno.ECONNREFUSED):
        text = f"{name} is not there: {why}"
        if text not in told:  # because many programs hide such an error, or try again
            told.add(text)
            print("crier:", text, file=sys.stderr, flush=True)
        raise kind(number, text)

    def look(host, **how):
        name = host if isinstance(host, str) else host.decode("latin-1")
        if name != stand_in and name.lower().rstrip(".") != alias:
            refuse(name, f"this function's API is {alias} (AWS_REGION, which crier.yaml can set)", **how)
        if not to:
            refuse(name, "there is no crier that it could lead to", **how)
        return stand_in

    def address_for(sock, address):
        """The address that a socket is to connect to, instead of one that is the alias's."""
        if not isinstance(address, tuple) or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return address
        names = [n for n in (getattr(sock, "server_hostname", None), address[0]) if is_ours(n)]
        if not names:
            return address
        look(names[0])
        if address[1] != 443:
            refuse(f"{names[0]}:{address[1]}", "it has port 443 only")
        led.add(sock)
        if not hasattr(sock, "server_hostname"):
            awaiting.append(True)
        mapped = sock.family == socket.AF_INET6 and ":" not in here
        return ("::ffff:" + here if mapped else here, port)

    # Everything that Python itself connects comes by here, asyncio included.
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    socket.socket.connect = lambda self, address: connect(self, address_for(self, address))
    socket.socket.connect_ex = lambda self, address: connect_ex(self, address_for(self, address))

    # Code that looks the name up before it connects gets an address that is led, too; no name server is asked.
    getaddrinfo, gethostbyname, gethostbyname_ex = socket.getaddrinfo, socket.gethostbyname, socket.gethostbyname_ex
    nowhere = {"kind": socket.gaierror, "number": socket.EAI_NONAME}

    def numeric(host, port, family=0, type=0, proto=0, flags=0):
        if is_ours(host):
            host, flags = look(host, **nowhere), flags & ~socket.AI_ADDRCONFIG  # offline, too
        return getaddrinfo(host, port, family, type, proto, flags)

    socket.getaddrinfo = numeric
    socket.gethostbyname = lambda host: look(host, **nowhere) if is_ours(host) else gethostbyname(host)
    socket.gethostbyname_ex = lambda host: gethostbyname_ex(look(host, **nowhere) if is_ours(host) else host)

    if ssl is None:
        return

    # Over a connection to somebody else, such as a proxy, no TLS begins in the alias's name.
    def begin(name, is_led):
        if not is_led:
            refuse(name, "this connection was made without crier's help, and does not lead there")
        del awaiting[:1]

    wrap_socket, wrap_bio = ssl.SSLContext.wrap_socket, ssl.SSLContext.wrap_bio

    def guarded_socket(self, sock, *args, **kwargs):
        name = kwargs.get("server_hostname") or (args[3] if len(args) > 3 else None)
        if is_ours(name) and connected(sock):
            begin(name, sock in led)
        return wrap_socket(self, sock, *args, **kwargs)

    def guarded_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):
        if is_ours(server_hostname):
            begin(server_hostname, awaiting)  # asyncio's way: whose bytes these are cannot be seen
        return wrap_bio(self, incoming, outgoing, server_side, server_hostname, session)

    ssl.SSLContext.wrap_socket = guarded_socket
    ssl.SSLContext.wrap_bio = guarded_bio


def connected(sock):
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def next_sitecustomize():
    """Load the module whose place this one has, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if not p or os.path.abspath(p) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None:
        sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


alias, _, to = os.environ.get("_CRIER_ALIAS", "").partition("=")
if alias and not hasattr(sys, "_crier_alias"):
    lead(alias, to)
    sys._crier_alias = alias
next_sitecustomize()
