"""What docs/how-to-publish-to-a-bucket.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from bulkfetch.config import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "how-to-publish-to-a-bucket.md"


def test_every_block_of_settings_is_read(tmp_path: Path) -> None:
    """Each loads, with what is commented out too."""
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    for block in blocks:
        (tmp_path / "jobs.toml").write_text(re.sub(r"^# ", "", block, flags=re.MULTILINE))
        settings = load_settings(tmp_path / "jobs.toml", {})
        assert settings.publish_to == "s3://lake/zoho/crm"
        assert settings.destination.endpoint == "https://s3.example.com"
