from __future__ import annotations

from pathlib import Path

import pytest

from postroad import connectors
from postroad.errors import ConfigError
from postroad.sdk.registry import connector_names, load_connector, load_simulator

SIMULATED = "halfway"


def test_a_folder_without_a_source_is_no_connector_but_can_be_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = tmp_path / SIMULATED / "simulator"
    simulator.mkdir(parents=True)
    (tmp_path / SIMULATED / "__init__.py").touch()
    (simulator / "__init__.py").write_text("def main(args):\n    print('simulates', *args)\n")
    monkeypatch.setattr(connectors, "__path__", [*connectors.__path__, str(tmp_path)])
    assert {"d365_finops", "excel_link", "xledger"} <= set(connector_names())
    assert SIMULATED not in connector_names()
    with pytest.raises(ConfigError, match=f"no connector '{SIMULATED}'; there are: d365_finops, "):
        load_connector(SIMULATED)
    load_simulator(SIMULATED)(["--help"])
    assert capsys.readouterr().out == "simulates --help\n"


def test_every_connector_is_loaded_with_its_simulator() -> None:
    for name in connector_names():
        assert load_connector(name).name == name
        if load_connector(name).simulator is not None:  # a folder of files needs none
            assert load_simulator(name) == load_connector(name).simulator


def test_an_unknown_simulator_is_told_with_the_others() -> None:
    with pytest.raises(ConfigError, match=r"no simulator 'xleger'; there are: .*Did you mean 'xledger'\?"):
        load_simulator("xleger")


@pytest.mark.parametrize("name", ["xleger", "..", "xledger/simulator", "xledger.simulator", "__pycache__", ""])
def test_what_is_no_connector_is_told_with_the_others(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no connector '{name}'; there are: d365_finops, "):
        load_connector(name)
