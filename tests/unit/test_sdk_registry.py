from __future__ import annotations

import pytest

from postroad.errors import ConfigError
from postroad.sdk.registry import connector_names, load_connector, load_simulator

SIMULATED = "d365_finops"


def test_a_folder_without_a_source_is_no_connector_but_can_be_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"excel_link", "xledger"} <= set(connector_names())
    assert SIMULATED not in connector_names()
    with pytest.raises(ConfigError, match=f"no connector '{SIMULATED}'; there are: excel_link, "):
        load_connector(SIMULATED)
    with pytest.raises(SystemExit):
        load_simulator(SIMULATED)(["--help"])
    assert f"postroad simulate {SIMULATED}" in capsys.readouterr().out


def test_every_connector_is_loaded_with_its_simulator() -> None:
    for name in connector_names():
        assert load_connector(name).name == name
        if load_connector(name).simulator is not None:  # a folder of files needs none
            assert load_simulator(name) == load_connector(name).simulator


def test_an_unknown_simulator_is_told_with_the_others() -> None:
    with pytest.raises(ConfigError, match=r"no simulator 'xleger'; there are: .*Did you mean 'xledger'\?"):
        load_simulator("xleger")
