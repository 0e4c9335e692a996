"""Runs docs/tour.md as it stands: commands are run, and what they print must be what the page says.

Usage: tour.py, in the folder of the repository, with redis-cli installed and the release build made. The data of the tour
goes to a temporary folder.
"""

import os
import re
import subprocess
import tempfile


def console(block):
    """Commands behind "$ ", each with the lines that it prints."""
    steps = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def bash(command, folder):
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60)


def main():
    with open("docs/tour.md", encoding="utf-8") as file:
        blocks = re.findall(r"^```(console|python)\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.abspath("scripts"), os.path.join(folder, "scripts"))
        try:
            commands = run(blocks, folder)
        finally:
            bash("scripts/cluster stop tour", folder)
    assert commands > 20, "the page has no commands any more"
    print(f"docs/tour.md: {commands} commands answer what the page says")


def run(blocks, folder):
    commands = 0
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "docs/tour.md", "exec"), {})
            continue
        for command, wanted in console(block):
            commands += 1
            done = bash(command, folder)
            assert done.returncode == 0, (command, done.stderr)
            assert done.stdout.splitlines() == wanted, (command, done.stdout)
    return commands


main()
