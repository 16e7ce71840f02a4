"""Builds the wheel and the sdist from a clean copy of the sources, and says what is in them.

python recipes/release.py --out dist    # seconds; needs setuptools of 77 or newer
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE")
# setuptools changes sys.argv while it works.
_BUILD = "import sys; out = sys.argv[1]; from setuptools import build_meta as b; b.build_sdist(out); b.build_wheel(out)"


def build(out: Path) -> tuple[Path, Path]:
    """The wheel and the sdist, written to ``out``.

    Built in a copy: what an earlier build left in the repository can be in neither.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            shutil.copy(ROOT / name, folder)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "src", Path(folder) / "src", ignore=ignored)
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, str(out.resolve())], cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"The build failed:\n{done.stderr}")
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def contents(archive: Path) -> list[str]:
    """Names of the files in a wheel or an sdist; of the latter without its folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return sorted(file.namelist())
    with tarfile.open(archive) as file:
        return sorted(member.name.partition("/")[2] for member in file.getmembers() if member.isfile())


def about(archive: Path) -> dict[str, Any]:
    """Its size and the licences in it."""
    names = contents(archive)
    licences = [name for name in names if name.rpartition("/")[2] in ("LICENSE", "NOTICE", "ALARMS_LICENSE")]
    return {"file": archive.name, "bytes": archive.stat().st_size, "files": len(names), "licences": licences}


def main() -> None:
    """Build and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    for archive in build(parser.parse_args().out):
        print(json.dumps(about(archive), indent=2))


if __name__ == "__main__":
    main()
