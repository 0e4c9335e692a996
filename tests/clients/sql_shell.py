"""`synod sql` on a terminal: prompts, statements over several lines, history, and a copy in and out.

Usage: sql_shell.py cluster.json path/to/synod
Every check is an assertion; the script ends with 0 when all held.
"""

import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time

PATIENCE = 30
ROWS = 2000
# Two of three rows have one.
NOTES = sum(n % 3 > 0 for n in range(ROWS))


class Terminal:
    """A shell on a terminal of its own, and what it has shown so far."""

    def __init__(self, command, state):
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm", XDG_STATE_HOME=state, COLUMNS="120")
            os.execv(command[0], command)
        self.shown = ""

    def wait(self, text):
        """Reads until this is shown; what came before it, and forgets both."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, (text, self.shown)
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536).decode()
        before, self.shown = self.shown.split(text, 1)
        return before

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        deadline = time.monotonic() + PATIENCE
        while not (ended := os.waitpid(self.process, os.WNOHANG))[0]:
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.05)
        _, status = ended
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        hosts = ",".join(json.load(file)["plain"])
    command = [os.path.abspath(sys.argv[2]), "sql", "--host", hosts]
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("in.csv", "out.csv")]
        notes = ["", '""', "x"]
        with open(files[0], "w", encoding="utf-8") as file:
            file.write("k,n,note\n" + "".join(f"a,{n},{notes[n % 3]}\n" for n in range(ROWS)))
        terminal = Terminal(command, folder)
        terminal.wait("synod=> ")
        terminal.type("DROP TABLE IF EXISTS py_shell; CREATE TABLE py_shell\r")
        terminal.wait("synod-> ")
        terminal.type("(k TEXT, n INT, note TEXT, PRIMARY KEY (k, n));\r")
        terminal.wait("CREATE TABLE\r\n")
        terminal.wait("synod=> ")
        terminal.type(f"\\copy py_shell from '{files[0]}'\r")
        terminal.wait(f"COPY {ROWS}\r\n")
        terminal.wait("synod=> ")
        terminal.type("SELECT count(*), count(note) FROM py_shell WHERE k = 'a';\r")
        shown = terminal.wait("(1 row)")
        terminal.wait("synod=> ")
        assert f" {ROWS} |  {NOTES}" in shown, shown
        terminal.type("SELECT nothing FROM py_shell WHERE k = 'it''s\r")
        terminal.wait("synod'> ")
        terminal.type("';\r")
        terminal.wait("ERROR 42703")
        terminal.wait("synod=> ")
        # What was half typed goes with Ctrl-C; the last entry comes back with the arrow.
        terminal.type("DROP TABLE\r")
        terminal.wait("synod-> ")
        terminal.type("\x03")
        terminal.wait("synod=> ")
        terminal.type(f"\\copy (SELECT * FROM py_shell WHERE k = 'a') to '{files[1]}'\r")
        terminal.wait(f"COPY {ROWS}\r\n")
        terminal.wait("synod=> ")
        terminal.type("\x1b[A\r")
        terminal.wait(f"COPY {ROWS}\r\n")
        # Typed before the prompt, it would be lost with the terminal's change of mode.
        terminal.wait("synod=> ")
        terminal.type("\x04")
        assert terminal.end() == 0
        with open(files[0], encoding="utf-8") as one, open(files[1], encoding="utf-8") as other:
            assert one.read() == other.read()
        with open(os.path.join(folder, "synod", "sql_history"), encoding="utf-8") as file:
            assert "py_shell from" in file.read()
        again = subprocess.run([*command, "-c", "DROP TABLE py_shell"], capture_output=True, text=True, timeout=PATIENCE)
        assert (again.returncode, again.stdout) == (0, "DROP TABLE\n"), again.stderr
    print(f"synod sql: {ROWS} rows in and out on a terminal, with history")


main()
