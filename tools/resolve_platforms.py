"""Checks that the package installs where its README says so, and nowhere else.

    python -m pip install uv
    python tools/resolve_platforms.py [--extra torch ...]

Nothing is installed: uv resolves the dependencies of each extra for each system and
Python, of wheels alone but for those in BUILT. Fails where something that should
resolve does not, and where something that should not now does: then the README and
pyproject.toml say too little.
"""

import argparse
import itertools
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "Linux": "x86_64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
    "Windows": "x86_64-pc-windows-msvc",
    "macOS Intel": "x86_64-apple-darwin",
}
BACKENDS = ("tensorflow", "jax", "torch")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = [
    extra
    for extra in PYPROJECT["project"]["optional-dependencies"]
    if extra not in ("dev", "docs")
]
# keras-cv brings tensorflow-datasets, and that this one, which has no wheels.
BUILT = ("promise",)


def is_supported(system, python, extra):
    """What the README says. None where it says nothing."""
    if system == "macOS Intel":
        return False if extra in BACKENDS else None
    if python == "3.14":
        # Nobody tests it yet, and keras-hub has no tensorflow-text there.
        return False if extra == "hub" and system != "Windows" else None
    return True


def resolves(system, python, extra):
    """The number of packages, or what uv says of why there are none."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet"]
    command += ["--only-binary", ":all:"]
    command += [part for name in BUILT for part in ("--no-binary", name)]
    command += ["--python-platform", SYSTEMS[system], "--python-version", python]
    command += ["--no-annotate", "--no-header", "--extra", extra, "pyproject.toml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return run.returncode == 0, len(run.stdout.splitlines()) or run.stderr.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extra", nargs="+", choices=EXTRAS, default=EXTRAS)
    wrong = 0
    places = itertools.product(SYSTEMS, PYTHONS, parser.parse_args().extra)
    for system, python, extra in places:
        expected = is_supported(system, python, extra)
        if expected is None:
            continue
        found, of = resolves(system, python, extra)
        wrong += found != expected
        verdict = f"{of} packages" if found else "does not resolve"
        note = "" if found == expected else "  <- not what the README says"
        print(f"{system:<12} {python} {extra:<11} {verdict}{note}", flush=True)
        if expected and not found:
            print(of)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
