"""Asks the real GLib and libc: one pattern and text per line, in hex, on standard input; on standard output per line
GLib's answer (0, 1, or x when it ended the process), fnmatch's in the C locale, and fnmatch's in C.UTF-8."""
import ctypes, locale, os, sys

glib = ctypes.CDLL("libglib-2.0.so.0")
libc = ctypes.CDLL("libc.so.6")
for f in (glib.g_pattern_match_simple, libc.fnmatch):
    f.argtypes = [ctypes.c_char_p, ctypes.c_char_p] + ([ctypes.c_int] if f is libc.fnmatch else [])
    f.restype = ctypes.c_int

def valid(b):
    try:
        b.decode()
        return True
    except UnicodeDecodeError:
        return False

def ask_glib(p, t):
    if valid(p) and valid(t):
        return str(int(glib.g_pattern_match_simple(p, t) != 0))
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)  # the assertion says "Bail out!" there
        os.dup2(null, 2)
        os._exit(int(glib.g_pattern_match_simple(p, t) != 0))
    _, status = os.waitpid(pid, 0)
    return str(os.WEXITSTATUS(status)) if os.WIFEXITED(status) else "x"

pairs = [tuple(bytes.fromhex(h) for h in line.rstrip("\n").split(" ")) for line in sys.stdin]
answers = [[ask_glib(p, t)] for p, t in pairs]
for name in ("C", "C.UTF-8"):
    locale.setlocale(locale.LC_ALL, name)
    for (p, t), a in zip(pairs, answers):
        a.append(str(int(libc.fnmatch(p, t, 0) == 0)))
sys.stdout.write("".join(" ".join(a) + "\n" for a in answers))
