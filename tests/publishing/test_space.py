"""A run as a Space: which files are sent, what they say, and what is refused."""

import shutil

import huggingface_hub.constants as hub_constants
import pytest
import yaml
from tests.hub_stand_in import TOKEN, HubStandIn

from hf_trace import __version__
from hf_trace.errors import PublishError
from hf_trace.publishing.space import space_publication

# huggingface_hub uploads large files by a name of its HTTP client that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
WHEEL = "hf_trace-9.9.9-py3-none-any.whl"


@pytest.fixture
def hub(monkeypatch):
    with HubStandIn() as stand_in:
        monkeypatch.setattr(hub_constants, "ENDPOINT", stand_in.endpoint)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield stand_in


@pytest.fixture
def run(tiny_run, tmp_path):
    folder = tmp_path / "alarms"
    shutil.copytree(tiny_run, folder)
    (folder / "notes.md").write_text("not for everybody")
    return folder


def header(files):
    return yaml.safe_load(files["README.md"].decode().split("---\n")[1])


def test_a_space_is_sent_whole_and_what_was_private_stays(run, hub, hf_trace):
    code, _, err = hf_trace("push", run, "org/try", "--space", "--license", "mit")
    assert (code, err.splitlines()[-1]) == (0, f"Published: {hub.endpoint}/spaces/org/try")
    files = hub.files("org/try", "space")
    own = {name for name in files if "/" not in name}
    assert own == {".gitattributes", "README.md", "app.py", "requirements.txt"}
    assert files["run/model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert not [name for name in files if "notes" in name]
    card = header(files)
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "mit")
    assert "mcp-server" in card["tags"]
    assert files["requirements.txt"].decode().splitlines()[-1] == f"hf-trace[app]=={__version__}"
    compile(files["app.py"], "app.py", "exec")


def test_an_update_replaces_the_run_and_leaves_what_is_not_ours(run, hub, hf_trace):
    assert hf_trace("push", run, "org/try", "--space")[0] == 0
    repository = hub.repositories["space", "org/try"]
    repository.commit({**hub.files("org/try", "space"), "run/old.bin": b"x", "mine.txt": b"y"})
    assert hf_trace("push", run, "org/try", "--space", "--overwrite")[0] == 0
    files = hub.files("org/try", "space")
    assert "mine.txt" in files
    assert "run/old.bin" not in files


def test_a_wheel_goes_along_and_is_named_by_its_address(run, tmp_path):
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"PK")
    files = space_publication(run, "org/try", wheel=wheel).files
    assert files[WHEEL] == wheel
    line = files["requirements.txt"].decode().splitlines()[-1]
    assert line == f"hf-trace[app] @ https://huggingface.co/spaces/org/try/resolve/main/{WHEEL}"


@pytest.mark.parametrize("name", ["other-1.0-py3-none-any.whl", "hf_trace-1.0.tar.gz", "absent.whl"])
def test_another_package_is_no_wheel_of_this_one(run, tmp_path, name):
    if name != "absent.whl":
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(PublishError, match="is no wheel of this package, expected a file such as hf_trace-"):
        space_publication(run, "org/try", wheel=tmp_path / name)


def test_a_run_of_a_table_is_no_space(tmp_path):
    (tmp_path / "training.json").write_text('{"kind": "table"}')
    with pytest.raises(PublishError, match="a Space serves one of an event log"):
        space_publication(tmp_path, "org/try")


def test_a_title_cannot_break_out_of_its_card(run):
    files = space_publication(run, "org/a__b", license="<script>").files
    assert "<script>" not in files["README.md"].decode().partition("\n---\n")[2]
