#!/usr/bin/env python3
"""Take the pictures of the live page in docs/pictures, from a session that is played as they are taken.

python scripts/picture_live_page.py --in_model configs/quickstart_policy.json \
    --in_weights data/quickstart/weights/steve1/small.weights \
    --prior_weights data/quickstart/weights/steve1/small_prior.pt \
    --mineclip_weights data/quickstart/weights/mineclip/small.pth --cond_scale 1 --seed 8
    # after the page has changed; all flags are run_interactive.py's; needs Chromium

Writes interactive.png, as wide as a desk's screen, and interactive_phone.png, 390 pixels wide.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
PROMPTS = ("look at the sky", "chop a tree")
STEPS = 60  # that each prompt is followed for
SIZES = {"interactive": (1200, 760), "interactive_phone": (390, 844)}


def main() -> None:
    from playwright.sync_api import Page, sync_playwright

    def step(page: Page) -> int:
        return int(page.locator("#step").inner_text() or 0)

    def play(page: Page, more: int) -> None:
        page.wait_for_function(
            "(goal) => Number(document.getElementById('step').textContent) >= goal", arg=step(page) + more
        )

    browser_path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser_path is None:
        raise SystemExit("error: there is no Chromium here; install one (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "run_interactive.py"), "--env", "blockworld", "--port", "0"]
        command += [
            "--save_dirpath",
            f"{folder}/films",
            "--recordings_dir",
            f"{folder}/recordings",
            *sys.argv[1:],
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
            assert session.stdout is not None
            link = re.search(r"http://\S+", session.stdout.readline())
            if link is None:
                raise SystemExit("error: run_interactive.py did not start; its own words are above")
            try:
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
                    page = browser.new_page(device_scale_factor=1)
                    page.set_default_timeout(120_000)
                    page.goto(link[0])
                    for prompt in PROMPTS:
                        play(page, STEPS)
                        page.locator("#text").fill(prompt)
                        page.locator("#text").press("Enter")
                    play(page, STEPS)
                    for name, (width, height) in SIZES.items():
                        page.set_viewport_size({"width": width, "height": height})
                        play(page, 3)
                        page.screenshot(path=PICTURES / f"{name}.png")
                        print(f"wrote {PICTURES / name}.png: {width}x{height}")
                    browser.close()
            finally:
                session.terminate()


if __name__ == "__main__":
    main()
