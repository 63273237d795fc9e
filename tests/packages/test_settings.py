"""What installers see of the user's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.packages.settings import inherited, tool_environment, uv_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_secrets_of_servers_stay_out_and_registry_settings_get_in() -> None:
    environ = {
        "OPENAI_API_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/ca.pem",
        "npm_config_registry": "http://npm",
        "NPM_TOKEN": "for the registry",
        "UV_DEFAULT_INDEX": "http://pypi",
        "GOPROXY": "http://go",
        "CARGO_REGISTRIES_X_INDEX": "http://crates",
        "PATH": "/bin",
    }
    kept = inherited(environ)
    assert sorted(set(environ) - set(kept)) == ["AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"]


def test_a_users_own_build_settings_do_not_divert_ours() -> None:
    env = tool_environment(
        {"CARGO_TARGET_DIR": "/elsewhere", "UV_PROJECT_ENVIRONMENT": "/venv", "PATH": "/bin"}
    )
    assert "CARGO_TARGET_DIR" not in env
    assert "UV_PROJECT_ENVIRONMENT" not in env


def test_pips_settings_reach_uv(tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = http://file/simple\nfind-links =\n    /a\n    /b\ncert = /ca.pem\n"
    )
    env = uv_environment(
        {"HOME": str(tmp_path), "PIP_INDEX_URL": "http://environment/simple", "PATH": "/bin"}
    )
    assert env["UV_DEFAULT_INDEX"] == "http://environment/simple"
    assert env["UV_FIND_LINKS"] == "/a,/b"
    assert env["SSL_CERT_FILE"] == "/ca.pem"


def test_who_configured_uv_means_it(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "PIP_INDEX_URL": "http://pip",
        "UV_DEFAULT_INDEX": "http://uv",
        "PATH": "/bin",
    }
    assert uv_environment(environ)["UV_DEFAULT_INDEX"] == "http://uv"
    (tmp_path / ".config" / "uv").mkdir(parents=True)
    (tmp_path / ".config" / "uv" / "uv.toml").touch()
    assert "UV_DEFAULT_INDEX" not in uv_environment(
        {"HOME": str(tmp_path), "PIP_INDEX_URL": "http://pip", "PATH": "/bin"}
    )
