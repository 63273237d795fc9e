"""What of npm's own lock file goes into ours."""

from __future__ import annotations

from backstay.packages.npm_tree import tree_of


def test_registries_and_licences_are_left_out_and_other_sources_stay() -> None:
    tree = tree_of(
        {
            "packages": {
                "": {"name": "root"},
                "node_modules/a": {
                    "version": "1.0.0",
                    "resolved": "https://mirror.example/a/-/a-1.0.0.tgz",
                    "integrity": "sha512-x",
                    "license": "MIT",
                },
                "node_modules/b": {"version": "1.0.0", "resolved": "git+ssh://git@example.com/b.git#abc"},
            }
        }
    )
    assert tree == {
        "node_modules/a": {"version": "1.0.0", "integrity": "sha512-x"},
        "node_modules/b": {"version": "1.0.0", "resolved": "git+ssh://git@example.com/b.git#abc"},
    }


def test_optional_packages_are_looked_for_where_node_would() -> None:
    wanted = {"optionalDependencies": {"near": "1", "far": "1", "top": "1", "gone": "1"}}
    tree = tree_of(
        {
            "packages": {
                "node_modules/@s/a": {"version": "1.0.0"},
                "node_modules/@s/a/node_modules/b": {"version": "1.0.0", **wanted},
                "node_modules/@s/a/node_modules/b/node_modules/near": {"version": "1.0.0"},
                "node_modules/@s/a/node_modules/far": {"version": "1.0.0"},
                "node_modules/top": {"version": "1.0.0"},
            }
        }
    )
    kept = tree["node_modules/@s/a/node_modules/b"]["optionalDependencies"]
    assert sorted(kept) == ["far", "near", "top"]
