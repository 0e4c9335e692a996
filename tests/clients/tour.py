"""Runs pages of the documentation as they stand: commands are run, and what they print must be what the page says.

Usage: tour.py PAGE ..., in the folder of the repository, with redis-cli installed and the release build made. What a page leaves in
its folder is temporary.
"""

import os
import re
import subprocess
import sys
import tempfile

PATH = os.pathsep.join([
    os.path.abspath(".venv/bin"),
    os.path.abspath(os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release")),
    os.environ["PATH"],
])


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
    env = os.environ | {"PATH": PATH}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def run(page, blocks, folder):
    commands = 0
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, page, "exec"), {})
            continue
        for command, wanted in console(block):
            commands += 1
            done = bash(command, folder)
            assert done.returncode == 0, (command, done.stderr)
            assert done.stdout.splitlines() == wanted, (command, done.stdout)
    return commands


def main():
    for page in sys.argv[1:]:
        with open(page, encoding="utf-8") as file:
            text = file.read()
        blocks = re.findall(r"^```(console|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("scripts", "examples"):
                os.symlink(os.path.abspath(name), os.path.join(folder, name))
            try:
                commands = run(page, blocks, folder)
            finally:
                for name in set(re.findall(r"^\$ scripts/cluster start (\w+)", text, re.MULTILINE)):
                    bash(f"scripts/cluster stop {name}", folder)
        assert commands > 20, "the page has no commands any more"
        print(f"{page}: {commands} commands answer what the page says")


main()
