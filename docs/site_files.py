"""Hook of mkdocs: the site's pages lie as the repository's files do, so that one link serves both.

mkdocs takes pages from one folder. README.md, the results and the changelog lie outside `docs/`, and link into it.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "NOTICE",
    "benchmarks/PROTOCOL.md",
    "benchmarks/RESULTS.md",
    "benchmarks/figures/*",
    "docs/**/*.md",
    "docs/*.jpg",
    "examples/*.py",
    "gair_search/pretrained/gair-mini/README.md",
    "training/README.md",
)
"""What the site shows or links to, as patterns below the repository's root."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Put the repository's files in the place of those of `docs/`."""
    root = Path(config.config_file_path).parent
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for pattern in PAGES:
        for path in sorted(root.glob(pattern)):
            place = path.relative_to(root).as_posix()
            files.append(File(place, str(root), config.site_dir, config.use_directory_urls))
    return files
