"""What is released: the wheel and the sdist, built from a clean copy of the sources."""

import importlib.util
import re
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_BYTES = 1_700_000

pytestmark = pytest.mark.skipif(
    int(version("setuptools").split(".")[0]) < 77, reason="the build needs setuptools of 77 or newer"
)


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "recipes" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(release, tmp_path_factory):
    return release.build(tmp_path_factory.mktemp("dist"))


def test_both_hold_the_whole_package_and_nothing_else(release, built):
    package = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/hf_trace").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wheel, sdist = (set(release.contents(each)) for each in built)
    assert {name for name in wheel if ".dist-info/" not in name} == package
    assert {name.removeprefix("src/") for name in sdist if name.startswith("src/hf_trace/")} == package
    others = {name for name in sdist if not name.startswith("src/")}
    assert others == {"PKG-INFO", "setup.cfg", *release.SOURCES}


def test_licences_and_size(release, built):
    wheel, sdist = (release.about(each) for each in built)
    for archive, folder in ((wheel, "licenses/"), (sdist, "")):
        names = [name.partition(".dist-info/")[2] or name for name in archive["licences"]]
        data = "src/hf_trace/logs/files/ALARMS_LICENSE"
        assert {f"{folder}LICENSE", f"{folder}NOTICE", f"{folder}{data}"} <= set(names)
        assert archive["bytes"] < MOST_BYTES


def test_metadata_names_what_is_needed(built):
    with zipfile.ZipFile(built[0]) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = file.read(name).decode()
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, flags=re.MULTILINE))
    assert {"torch", "transformers", "datasets", "huggingface_hub", "safetensors"} <= needed
    assert not needed & {"captum", "chess", "selenium", "pytest"}
    assert "License-Expression: Apache-2.0" in metadata
