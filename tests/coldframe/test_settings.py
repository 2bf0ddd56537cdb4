"""A misspelt setting must cost a sentence, not an afternoon."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from coldframe.cli import env_example
from coldframe.errors import ConfigurationError
from coldframe.settings import PREFIX, PROJECT_ROOT, Settings, get_settings, load

Installation = Callable[..., Path]


def test_the_example_file_names_every_setting_with_its_default() -> None:
    written = (PROJECT_ROOT / ".env.example").read_text()
    assert written == env_example(), "Renew it: coldframe settings --example > .env.example"


def test_the_example_file_is_accepted_as_it_stands(installation: Installation, tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in env_example().splitlines() if line.startswith(f"# {PREFIX}")]
    (tmp_path / ".env").write_text("\n".join(line for line in lines if not line.endswith("=")))
    installation()
    settings = get_settings()
    assert len(lines) == len(Settings.model_fields)
    assert settings.max_unit_price == Decimal(1_000_000)
    assert settings.daily_cron == "0 3 * * *"


def test_a_misspelt_name_in_the_environment_is_refused_with_the_nearest_known(installation: Installation) -> None:
    installation(kep_snapshots=3)
    with pytest.raises(ConfigurationError, match=r"COLDFRAME_KEP_SNAPSHOTS.*Did you mean COLDFRAME_KEEP_SNAPSHOTS"):
        get_settings()


def test_a_misspelt_name_in_the_env_file_is_refused(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COLDFRAME_THREDS=4\n")
    installation()
    with pytest.raises(ConfigurationError, match=r"(?i)COLDFRAME_THREDS"):
        get_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 0), ("memory_limit", "lots"), ("max_quarantine_share", 1.5), ("source", "My Shop")],
)
def test_a_value_that_does_not_fit_is_refused_by_name(installation: Installation, name: str, value: object) -> None:
    installation(**{name: value})
    with pytest.raises(ConfigurationError, match=f"COLDFRAME_{name.upper()}"):
        get_settings()


def test_the_environment_wins_over_the_env_file(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COLDFRAME_THREADS=3\nCOLDFRAME_KEEP_SNAPSHOTS=9\n")
    installation(threads=4)
    assert (get_settings().threads, get_settings().keep_snapshots) == (4, 9)


def test_the_home_is_absolute_and_holds_the_databases_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(home=Path("data"))
    assert settings.home == tmp_path / "data"
    assert settings.resolved_ledger_url == f"sqlite:///{tmp_path}/data/ledger.sqlite"
    assert load(ledger_url="postgresql://db/x").resolved_ledger_url == "postgresql://db/x"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        load().threads = 7
