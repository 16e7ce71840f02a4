"""What is loaded when: importing the package and asking for help cost nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "datasets", "pandas", "matplotlib", "networkx", "sklearn", "scipy")
FIRST_IMPORTS = Path(__file__).parent / "first_imports.py"
OPTIONAL = ("gradio", "captum", "chess", "selenium", "pytest", "beartype", "hypothesis", "mkdocs")


def loaded_by(code):
    """Modules that a fresh interpreter has loaded after running ``code``; stdout must be the code's own."""
    report = f"{code}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_is_light():
    assert not loaded_by("import hf_trace").intersection(HEAVY)


LIGHT = "explain doctor train discover count compare evaluate benchmark simulate push app demo"


@pytest.mark.parametrize("command", ["", *LIGHT.split()])
def test_help_is_light(command):
    arguments = ["hf-trace", *([command] if command else []), "--help"]
    code = f"""
import sys
from hf_trace.cli import main
sys.argv = {arguments!r}
try:
    main()
except SystemExit as exited:
    assert exited.code == 0
"""
    assert not loaded_by(code).intersection(HEAVY)


def test_import_warns_of_nothing():
    code = "import hf_trace, hf_trace.cli"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow  # 10 s
def test_optional_packages_are_not_imported():
    """Not even by everything that the package exports and registers."""
    code = "import hf_trace, transformers.pipelines; [getattr(hf_trace, name) for name in hf_trace.__all__]"
    assert not loaded_by(code).intersection(OPTIONAL)


PUBLIC = """CausalDiscoveryPipeline CausalEffectPipeline CausalGraph DagSchema DagTokenizer DagTrainingSettings
DiscoverySettings EventCausalModel EventLog EventSequence EventTokenizer HfTraceError TableCausalModel
TrainingSettings Variable __version__ cut_windows
draw_graph encode_table infer_schema push_log read_log train train_dag"""
COMMANDS = "explain doctor train discover effect outcomes rank count compare evaluate benchmark simulate push app demo"


def test_public_names_and_commands_are_all_there():
    import typer

    import hf_trace
    from hf_trace.cli import app

    assert hf_trace.__all__ == PUBLIC.split()
    assert list(typer.main.get_command(app).commands) == COMMANDS.split()


@pytest.mark.slow  # a process for each module: 3 minutes on two cores
@pytest.mark.timeout(1800)
def test_any_module_can_be_the_first():
    done = subprocess.run([sys.executable, FIRST_IMPORTS], capture_output=True, text=True, check=True)
    *complaints, count = done.stdout.strip().splitlines()
    assert complaints == []
    assert int(count.removesuffix(" modules")) > 100


def test_public_names():
    import hf_trace

    assert dir(hf_trace) == sorted(hf_trace.__all__)
    for name in hf_trace.__all__:
        assert getattr(hf_trace, name) is not None
    with pytest.raises(AttributeError) as caught:
        _ = hf_trace.nonsense
    assert str(caught.value) == "module 'hf_trace' has no attribute 'nonsense'"
