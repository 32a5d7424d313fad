"""Users of the proxy: their passwords, hashed by libcrypt, and what clients say of them."""

import base64
import ctypes
import os

FAST = "$2b$04$abcdefghijklmnopqrstuu"  # a millisecond
SLOW = "$2b$14$abcdefghijklmnopqrstuu"  # about a second

_libcrypt = ctypes.CDLL("libcrypt.so.1")
_libcrypt.crypt.restype = ctypes.c_char_p


def crypt(password, setting=FAST):
    hashed = _libcrypt.crypt(password.encode(), setting.encode())
    assert hashed and not hashed.startswith(b"*"), setting
    return hashed.decode()


def write_users(path, users):
    """A file of {name: password}, or {name: "$..."} for a hash; in place in one step."""
    with open(f"{path}.new", "w", encoding="utf-8") as f:
        for name, password in users.items():
            f.write(f"{name}:{password if password.startswith('$') else crypt(password)}\n")
    os.replace(f"{path}.new", path)
    return str(path)


def say(name, password, scheme="Basic"):
    """The field with which a client says who it is."""
    text = f"{name}:{password}".encode()
    return ("Proxy-Authorization", f"{scheme} {base64.b64encode(text).decode()}")


def assert_unsaid(p, *secrets):
    """Neither the daemon's messages nor the access log have any of it, plain or in base64."""
    seen = p.stderr
    if os.path.exists(p.access_path):
        with open(p.access_path, encoding="ascii") as f:
            seen += f.read()
    for secret in secrets:
        assert secret not in seen
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in seen


def counted(p, name):
    """A metric that the daemon said at its end."""
    return int(p.wait_line(rf"penstock_{name} (\d+)$")[1])


