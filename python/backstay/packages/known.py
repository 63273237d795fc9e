"""Names of servers that people mean when they mistype one.

Registries that answer a search are slow and differ; the names that are asked for nearly always are few.
This is not a list of what can be installed: any package can.
"""

from __future__ import annotations

import difflib

_SCOPE = "@modelcontextprotocol/server-"
KNOWN: dict[str, tuple[str, ...]] = {
    "npm": (
        *(
            _SCOPE + name
            for name in (
                "everything",
                "filesystem",
                "memory",
                "sequential-thinking",
                "postgres",
                "github",
                "gitlab",
            )
        ),
        *(_SCOPE + name for name in ("slack", "brave-search", "puppeteer", "google-maps", "redis", "pdf")),
        *("@playwright/mcp", "@upstash/context7-mcp", "@notionhq/notion-mcp-server", "@sentry/mcp-server"),
        *(
            "@supabase/mcp-server-supabase",
            "@stripe/mcp",
            "@cloudflare/mcp-server-cloudflare",
            "@heroku/mcp-server",
        ),
        *(
            "kubernetes-mcp-server",
            "mcp-remote",
            "chrome-devtools-mcp",
            "firecrawl-mcp",
            "tavily-mcp",
            "exa-mcp-server",
        ),
        *(
            "mcp-mongo-server",
            "mongodb-mcp-server",
            "@azure/mcp",
            "@elastic/mcp-server-elasticsearch",
            "figma-developer-mcp",
        ),
    ),
    "pypi": (
        *("mcp-server-fetch", "mcp-server-git", "mcp-server-time", "mcp-server-sqlite", "mcp-server-sentry"),
        *(
            "mcp-server-motherduck",
            "mcp-server-qdrant",
            "mcp-server-docker",
            "mcp-server-kubernetes",
            "postgres-mcp",
        ),
        *(
            "redis-mcp-server",
            "chroma-mcp",
            "markitdown-mcp",
            "arxiv-mcp-server",
            "mcp-atlassian",
            "mcp-clickhouse",
        ),
        *(
            "awslabs.core-mcp-server",
            "basic-memory",
            "duckduckgo-mcp-server",
            "mcp-neo4j-cypher",
            "mcp-alchemy",
        ),
        *("blender-mcp", "serena-agent", "elevenlabs-mcp", "minimax-mcp", "mcp-proxy", "fastmcp"),
    ),
    "go": (
        "github.com/grafana/mcp-grafana",
        "github.com/github/github-mcp-server",
        "github.com/containers/kubernetes-mcp-server",
        "github.com/hashicorp/terraform-mcp-server",
        "github.com/mark3labs/mcp-filesystem-server",
    ),
    "cargo": ("rust-mcp-filesystem",),
}


def nearest(kind: str, name: str) -> list[str]:
    """Up to three sources whose name is close to `name`, the same registry's first."""
    found: list[str] = []
    for other in sorted(KNOWN, key=lambda registry: registry != kind):
        names = KNOWN[other]
        if other != kind and name in names:
            found.insert(0, f"{other}:{name}")
            continue
        short = {known.rsplit("/", 1)[-1]: known for known in names} | {known: known for known in names}
        cutoff = 0.72 if other == kind else 0.86
        for match in difflib.get_close_matches(name.rsplit("/", 1)[-1], short, n=3, cutoff=cutoff):
            source = f"{other}:{short[match]}"
            if source not in found:
                found.append(source)
    return found[:3]
