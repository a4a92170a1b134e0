"""How the shell shows long work: a bar on standard error, where a person looks on."""

import contextlib
import math
from collections.abc import Iterator

from gair_search.progress import Progress


@contextlib.contextmanager
def progress_bar(
    work: str, *, quiet: bool = False, unit: str = "it", keep: bool = True, on_first_call: bool = False
) -> Iterator[Progress]:
    """A bar that is drawn by calls of (done, total, note); none where standard error is no terminal.

    Args:
        work: what the bar is of, shown before it.
        quiet: draw none, wherever standard error goes.
        unit: of what is done, for its speed: `images` is shown as `12.3 images/s`.
        keep: leave the bar on the terminal when all is done.
        on_first_call: draw nothing before the first call, and count the time from there.
    """
    from tqdm import tqdm

    with tqdm(
        desc=work,
        unit=f" {unit}",
        leave=keep,
        delay=math.inf if on_first_call else 0,
        disable=True if quiet else None,  # None: where its stream is no terminal
        dynamic_ncols=True,
        miniters=1,
    ) as bar:

        def show(done: int, total: int, note: str = "") -> None:
            if bar.disable:
                return
            if bar.delay:
                bar.delay = 0
                bar.reset(total)
            bar.total = total
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield show
