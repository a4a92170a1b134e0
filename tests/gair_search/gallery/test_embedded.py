import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.points import EMBEDDER, point

from gair_search.errors import GalleryError, GalleryLockedError
from gair_search.gallery import open_gallery
from gair_search.gallery.base import GalleryConfig
from gair_search.gallery.embedded import EmbeddedGallery


def test_what_was_stored_is_there_after_reopening(tmp_path: Path) -> None:
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.ensure(EMBEDDER)
    gallery.upsert([point(0, [1, 0, 0])])
    gallery.optimize()
    gallery.close()
    again = EmbeddedGallery(tmp_path / "g")
    assert again.embedder == EMBEDDER
    assert again.count() == 1
    again.close()


def test_one_process_at_a_time_and_the_message_names_it(tmp_path: Path) -> None:
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.ensure(EMBEDDER)
    code = (
        "from pathlib import Path; from gair_search.gallery import open_gallery; "
        f"open_gallery(db=Path({str(tmp_path / 'g')!r}))"
    )
    held = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "GalleryLockedError" in held.stderr
    assert f"process {os.getpid()}" in held.stderr
    assert "--url" in held.stderr
    with pytest.raises(GalleryLockedError):
        EmbeddedGallery(tmp_path / "g")
    gallery.close()
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0


def test_a_creation_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    """`gair.json` is written last; a shard without it holds nothing yet."""
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.create(EMBEDDER, GalleryConfig())
    gallery.close()
    (tmp_path / "g" / "gair.json").unlink()
    again = EmbeddedGallery(tmp_path / "g")
    assert again.embedder is None
    again.ensure(EMBEDDER)
    assert again.count() == 0
    again.close()


def test_what_a_kill_left_of_a_write_is_no_strangers(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / ".gair.json.12.34").touch()
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.ensure(EMBEDDER)
    gallery.close()


def test_a_creation_that_fails_frees_the_folder(tmp_path: Path) -> None:
    (tmp_path / "g" / "gair.json.is.not.this").parent.mkdir()
    (tmp_path / "g" / "shard").write_text("a file where a folder must be")
    gallery = EmbeddedGallery(tmp_path / "g")
    with pytest.raises(GalleryError):
        gallery.create(EMBEDDER, GalleryConfig())
    (tmp_path / "g" / "shard").unlink()
    gallery.ensure(EMBEDDER)
    gallery.close()


def test_looking_for_a_gallery_makes_nothing(tmp_path: Path) -> None:
    gallery = EmbeddedGallery(tmp_path / "typo" / "g")
    assert gallery.embedder is None
    gallery.close()
    assert not (tmp_path / "typo").exists()


def test_two_that_create_at_once_share_what_the_first_made(tmp_path: Path) -> None:
    slow, quick = EmbeddedGallery(tmp_path / "g"), EmbeddedGallery(tmp_path / "g")
    quick.ensure(EMBEDDER)
    with pytest.raises(GalleryLockedError):
        slow.ensure(EMBEDDER)
    quick.upsert([point(0, [1, 0, 0])])
    quick.close()
    slow.ensure(EMBEDDER)
    assert slow.count() == 1
    slow.close()


def test_folders_of_something_else_and_damage_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").touch()
    with pytest.raises(GalleryError, match=r"holds holiday\.jpg"):
        EmbeddedGallery(tmp_path / "other").ensure(EMBEDDER)
    (tmp_path / "file").touch()
    with pytest.raises(GalleryError, match="can't be used"):
        EmbeddedGallery(tmp_path / "file").ensure(EMBEDDER)
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.create(EMBEDDER, GalleryConfig())
    gallery.close()
    metadata = tmp_path / "g" / "gair.json"
    whole = metadata.read_text()
    for content, said in (("{", "damaged"), ("{}", "damaged"), (json.dumps({"format": 99}), "format 99")):
        metadata.write_text(content)
        with pytest.raises(GalleryError, match=said):
            EmbeddedGallery(tmp_path / "g")
    metadata.write_text(whole)
    EmbeddedGallery(tmp_path / "g").close()


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    gallery = EmbeddedGallery(tmp_path / "g")
    gallery.ensure(EMBEDDER)
    with pytest.raises(GalleryError, match="dim"):
        gallery.upsert([point(0, [1, 0])])
    with pytest.raises(GalleryError, match="dim"):
        gallery.search(np.zeros(2, np.float32), 1)
    gallery.close()
    with pytest.raises(GalleryError, match="closed"):
        gallery.search(np.zeros(3, np.float32), 1)


def test_shards_need_a_server(tmp_path: Path) -> None:
    gallery = EmbeddedGallery(tmp_path / "g")
    with pytest.raises(GalleryError, match="--url"):
        gallery.create(EMBEDDER, GalleryConfig(shards=2))
    gallery.close()


def test_where_a_gallery_is_opened(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_gallery().name == str(home / "galleries" / "photos")
    assert open_gallery("other").name == str(home / "galleries" / "other")
    assert open_gallery(db=tmp_path / "here").name == str(tmp_path / "here")
    monkeypatch.setenv("GAIR_URL", "http://127.0.0.1:9")
    assert open_gallery().name == "http://127.0.0.1:9 (photos)"
    for both in ({"url": "http://127.0.0.1:9"}, {"name": "other"}):
        with pytest.raises(GalleryError, match="not both"):
            open_gallery(db=tmp_path, **both)
    with pytest.raises(GalleryError, match="no folder"):
        open_gallery(db=Path("~nobody-of-this-name/x"))
    with pytest.raises(GalleryError, match="name too long"):
        open_gallery(db=tmp_path / ("x" * 300))
    with pytest.raises(GalleryError, match="no name for a gallery"):
        open_gallery("../up")
