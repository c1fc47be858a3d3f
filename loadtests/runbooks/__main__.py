"""
`make runbooks`: each runbook against its real fault, with the commands that the document has.

One line for each walk, and the verdict in the last one; the exit code is 0 only if every walk came
to its end with both stores in agreement, nothing acknowledged lost, and sales on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence

from loadtests.runbooks.document import DOCUMENT, Block, blocks
from loadtests.runbooks.scene import Scene, WalkFailed, say
from loadtests.runbooks.walks import WALKS, Walk, staged
from loadtests.server import open_folder

#: No walk may take longer.
WALK_TIMEOUT_S = 420.0


def main() -> None:
    """Read the arguments, walk, end with the verdict."""
    parser = argparse.ArgumentParser(prog="runbooks", description=__doc__)
    names = [walk.name for walk in WALKS]
    parser.add_argument("--only", help="names of walks, with commas between them (all)")
    parser.add_argument("--loud", action="store_true", help="tell what was done, also if well")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such walk: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    walks = [walk for walk in WALKS if walk.name in wanted]
    failed = asyncio.run(walk_all(walks, is_loud=arguments.loud))
    say(f"RUNBOOKS walks={len(walks)} failed={len(failed)} {' '.join(failed)}".rstrip())
    sys.exit(1 if failed else 0)


async def walk_all(walks: Sequence[Walk], *, is_loud: bool) -> list[str]:
    """Walk, one after the other; return the names of those that failed."""
    told = blocks(DOCUMENT.read_text())
    failed = []
    for walk in walks:
        begun_s = time.monotonic()
        why = await _one(walk, [block for block in told if block.walk == walk.name], is_loud)
        how = f"FAILED: {why.splitlines()[0]}" if why else "ok"
        say(f"{walk.section}: {walk.name}: {how}  ({time.monotonic() - begun_s:.0f} s)")
        if why:
            failed.append(walk.name)
    return failed


async def _one(walk: Walk, told: list[Block], is_loud: bool) -> str:
    """Walk one; return what went wrong, which is also told with all that was done."""
    scene: Scene | None = None
    why, log = "", ""
    with open_folder() as folder:
        try:
            async with asyncio.timeout(WALK_TIMEOUT_S), staged(walk, folder, told) as scene:
                try:
                    await walk.act(scene)
                except BaseException:
                    log = scene.server.last_words()
                    raise
        except (WalkFailed, TimeoutError) as error:
            why = str(error) or f"not over within {WALK_TIMEOUT_S:g} s"
        except Exception as error:  # noqa: BLE001  One walk that breaks is not the end of all.
            why = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    if why or is_loud:
        story = [] if scene is None else scene.story
        sys.stderr.write("\n".join([*story, why, log]) + "\n")
    return why


if __name__ == "__main__":
    main()
