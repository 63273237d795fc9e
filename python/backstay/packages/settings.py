"""The environment that installers run in: the user's proxy, certificate and registry settings only.

npm, uv, cargo and go read their own configuration files; what they read from the environment is passed on
by name. uv does not read pip's settings, so they are translated for it, unless the user has configured uv
itself.
"""

from __future__ import annotations

import configparser
import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Variables (as patterns) that reach installers and build scripts. Anything else of the user's environment
#: stays out of them: a postinstall script has no business with an API key.
INHERITED = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TMPDIR",
        "TERM",
        "XDG_*",
    ),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ),
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_*",
    ),
    *("NPM_CONFIG_*", "npm_config_*", "NPM_TOKEN", "NODE_AUTH_TOKEN", "NODE_OPTIONS", "NODE_TLS_*"),
    *("UV_*", "PIP_*", "NETRC", "CARGO_*", "RUSTUP_*", "RUSTFLAGS", "RUSTC_WRAPPER", "SCCACHE_*"),
    *(
        "GOPROXY",
        "GOSUMDB",
        "GONOSUMDB",
        "GONOSUMCHECK",
        "GONOPROXY",
        "GOPRIVATE",
        "GOFLAGS",
        "GOTOOLCHAIN",
        "GOROOT",
    ),
    *(
        "GOPATH",
        "GOMODCACHE",
        "GOCACHE",
        "GOINSECURE",
        "GOVCS",
        "GOAUTH",
        "CGO_*",
        "SSH_AUTH_SOCK",
        "GIT_SSH*",
    ),
    *("CC", "CXX", "AR", "LD", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "PKG_CONFIG*"),
    *("PYENV_ROOT", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "PYTHON_KEYRING_BACKEND"),
)
#: Would send a build's output elsewhere, or another project's settings into ours.
_NEVER = frozenset(
    {"CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_OFFLINE"}
)
_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",  # not a variable of uv's: `pypi.py` makes an option of it
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that installers may see; what `up` sends to the daemon."""
    return {
        name: value for name, value in environ.items() if any(fnmatch.fnmatchcase(name, p) for p in INHERITED)
    }


def tool_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of an installer that is started for a user with `environ`."""
    env = {name: value for name, value in inherited(environ).items() if name not in _NEVER}
    env.setdefault("PATH", os.environ.get("PATH", os.defpath))
    env.setdefault("HOME", str(Path.home()))
    env["NO_COLOR"] = "1"
    env["CI"] = "1"  # no prompts, no spinners
    return env


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`tool_environment` with pip's settings in uv's words, where the user has not spoken to uv itself."""
    env = tool_environment(environ)
    env["UV_NO_PROGRESS"] = "1"
    configured = {_PIP_TO_UV[option] for option in _PIP_TO_UV if option not in ("cert", "proxy")}
    if any(name in env for name in configured | {"UV_INDEX_URL", "UV_CONFIG_FILE"}) or _uv_is_configured(env):
        return env
    for option, value in _pip_settings(env).items():
        name = _PIP_TO_UV[option]
        if name == "ALL_PROXY" and any(p in env for p in ("HTTPS_PROXY", "https_proxy", "all_proxy")):
            continue
        separator = "," if name == "UV_FIND_LINKS" else " "
        env.setdefault(name, separator.join(value.split()))
    return env


def _uv_is_configured(env: Mapping[str, str]) -> bool:
    config = Path(env.get("XDG_CONFIG_HOME") or Path(env["HOME"], ".config"))
    return (config / "uv" / "uv.toml").is_file() or Path("/etc/uv/uv.toml").is_file()


def _pip_settings(env: Mapping[str, str]) -> dict[str, str]:
    """Pip's own order: site, user, the file `PIP_CONFIG_FILE` names, then the environment."""
    settings: dict[str, str] = {}
    for path in _pip_files(env):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip will tell the user; an installer of ours need not
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update({k.replace("_", "-"): v for k, v in parser.items(section)})
    for option in _PIP_TO_UV:
        value = env.get(f"PIP_{option.upper().replace('-', '_')}")
        if value is not None:
            settings[option] = value
    return {option: settings[option] for option in _PIP_TO_UV if settings.get(option)}


def _pip_files(env: Mapping[str, str]) -> Iterator[Path]:
    named = env.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    config = Path(env.get("XDG_CONFIG_HOME") or Path(env["HOME"], ".config"))
    yield from (Path("/etc/pip.conf"), Path(env["HOME"], ".pip", "pip.conf"), config / "pip" / "pip.conf")
    if named:
        yield Path(named)
