"""The page as a reader meets it: legible colours, words for every picture, no request, no sideways scrolling."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import ClassConditionalMarginals
from harmonic.decode.score import RowScore
from harmonic.evaluation import Report, evaluate
from harmonic.evaluation.alltargets import AllTargets, TargetScore
from harmonic.evaluation.echoes import PromptEcho, ShownEcho
from harmonic.evaluation.figures import Figure, undefined
from harmonic.evaluation.lle import Lle, LleScore
from harmonic.evaluation.page import render_resplits
from harmonic.evaluation.protocols import ProtocolScore, SourceScore
from harmonic.evaluation.resplits import summarize_resplits
from harmonic.evaluation.truth import NetworkDistance
from harmonic.evaluation.verdict import leaks_of, verdict_of
from harmonic.evaluation.whitebox import Scored, WhiteBox, measure_white_box
from harmonic.evaluation.worth import Augmentation, CurvePoint, SampleSize
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=5000"
).split()
pytestmark = pytest.mark.usefixtures("small_models")

LEGIBLE, VISIBLE = 4.5, 3.0
"""Contrast of letters, and of marks and lines that carry meaning (WCAG 2.2, AA)."""


@pytest.fixture(scope="module")
def report(people: Callable[[int, int], pd.DataFrame], people_schema: Schema, small_models: None) -> Report:
    real, holdout = people(120, 0), people(80, 2)
    leaked = pd.concat([holdout, real[:3]], ignore_index=True)
    synthetic = ClassConditionalMarginals().fit(real, people_schema).sample(150)
    return evaluate(
        real=real,
        synthetic=pd.concat([synthetic, real[:4]], ignore_index=True),
        holdout=leaked,
        schema=people_schema,
        settings={"train": {"learning_rate": 1e-4}},
        training=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "eval_loss": 1.5}],
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.to_html()


@pytest.fixture(scope="module")
def wide_page(small_models: None) -> str:
    """Forty columns of long names, few rows: the hardest to lay out."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {f"a_rather_long_name_of_column_{i}": generator.random(60).round(4) for i in range(39)}
    )
    frame["outcome"] = generator.choice(["yes, after a very long time indeed", "no"], size=60)
    schema = infer_schema(frame, target="outcome", title="x" * 90)
    return evaluate(real=frame[:25], synthetic=frame[25:45], holdout=frame[45:], schema=schema).to_html()


def _palettes(page: str) -> list[dict[str, str]]:
    """Colours by variable: light, dark, and on paper."""
    blocks = re.findall(r":root \{([^}]*)\}", page)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def _contrast(first: str, second: str) -> float:
    """WCAG's contrast ratio of two colours, 1 to 21."""
    lights = []
    for colour in (first, second):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def _mixed(above: str, below: str, opacity: float) -> str:
    pairs = [(int(above[i : i + 2], 16), int(below[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def test_letters_are_legible_in_light_in_dark_and_on_paper(page: str) -> None:
    palettes = _palettes(page)
    assert len(palettes) == 3
    for colours in palettes:
        for ground in ("paper", "card"):
            for letters in ("ink", "quiet", "synthetic", "found", "fine"):
                assert _contrast(colours[letters], colours[ground]) >= LEGIBLE, (letters, ground)
            for mark in ("real", "synthetic", "soft"):
                assert _contrast(colours[mark], colours[ground]) >= VISIBLE, (mark, ground)
        strongest = _mixed(colours["synthetic"], colours["paper"], 0.5)
        assert _contrast(colours["ink"], strongest) >= LEGIBLE


def test_meaning_does_not_hang_on_hue(page: str) -> None:
    """Real and synthetic rows, found and none found: told apart by lightness, shape or word as well."""
    assert ">found<" in page and ">none found<" in page
    for colours in _palettes(page):
        assert (
            colours["real"][5:] > colours["real"][1:3]
        )  # blue against orange: safe for every common colour blindness
        assert colours["synthetic"][1:3] > colours["synthetic"][5:]


def test_every_picture_says_what_it_shows(page: str) -> None:
    pictures = re.findall(r"<svg [^>]*>", page)
    assert pictures and all('role="img"' in picture for picture in pictures)
    labels = [re.search(r'aria-label="([^"]{20,})"', picture) for picture in pictures]
    assert all(labels)


def test_copies_and_leaked_holdout_rows_are_said_on_top(page: str) -> None:
    head = page[: page.index('<div class="cards">')]
    assert "3 of 83 holdout rows stand verbatim in the real table; left out of it" in head
    assert "all: a copy" in page


def test_the_part_on_privacy_begins_with_what_was_tested(report: Report, page: str) -> None:
    found = report.privacy
    section = page.split("<h2>Privacy</h2>")[1].split("</p>")[0]
    assert section.strip().startswith("<p>Tested: attribute inference, column echo, copies")
    assert f"asked {found.n_members:,} training rows and {found.n_controls:,} holdout rows" in section


def test_digests_and_settings_stand_in_the_page(report: Report, page: str) -> None:
    assert all(role.digest in page for role in report.roles.tables)
    assert "&#34;learning_rate&#34;" in page


def test_what_the_larger_suites_measure_has_its_place(report: Report) -> None:
    half, none = Figure(0.5, low=0.4, high=0.6), undefined("no row probabilities were given")
    network = NetworkDistance("asia", 8, 256, half, half, none, 3)
    curve = (CurvePoint(30, 0.6), CurvePoint(60, 0.7), CurvePoint(120, 0.8))
    score = SourceScore(half, {}, {})
    whole = replace(
        report,
        fidelity=replace(report.fidelity, network=network),
        utility=replace(
            report.utility,
            sample_size=SampleSize(half, "at least", 60, 0.7, curve),
            all_targets=AllTargets(half, half, 5, (TargetScore("ward", "auc", 0.7, 0.8, 0.5, half),)),
            augmentation=Augmentation(half, half, 270),
        ),
        protocols=(ProtocolScore("HARMONIC's MLE", "f1_weighted", 80, 2, score, score, ("a fault",)),),
        privacy=replace(
            report.privacy,
            prompt_echo=PromptEcho(
                half, half, half, (1.0,), (1.0,), (ShownEcho(4, 150, 2.5, 2.0),), 150, 0.5
            ),
        ),
    )
    page, said = whole.to_html(), whole.summary().splitlines()
    for words in ("network asia", "at least this share", "real rows; synthetic rows reach 0.70", "a fault",
                  "examples shown", "no row probabilities were given", "Every column as the target"):  # fmt: skip
        assert words in page, words
    assert len(said) <= 40 and max(map(len, said)) <= 100
    assert sum("Verdict" in line for line in said) == 1


def test_the_page_of_splits_stands_alone_too(report: Report) -> None:
    text = render_resplits(summarize_resplits([report.to_json()] * 2, [0, 1], ["s0", "s1"]))
    assert text.rstrip().endswith("</html>")
    _makes_no_request(text)


def test_the_page_makes_no_request(page: str) -> None:
    _makes_no_request(page)


def _makes_no_request(text: str) -> None:
    assert not re.findall(r"""(?:src|href|srcset|action)=["'](?!#)|@import|url\((?!#)""", text)
    assert not re.findall(r"<(?:script|link|iframe|img|object|embed)", text)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # names of SVG's vocabulary


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["page", "wide_page"])
def test_nothing_needs_sideways_scrolling(
    which: str, width: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Measured by the browser itself: the page in a frame of that width, all its folds opened."""
    text = request.getfixturevalue(which).replace("<details>", "<details open>")
    _makes_no_request(text)
    assert _scroll_width(text, width, tmp_path) <= width


@pytest.mark.slow
def test_the_browser_sees_a_page_that_is_too_wide(tmp_path: Path) -> None:
    assert _scroll_width('<body style="margin: 0"><p style="width: 900px">x', 390, tmp_path) == 900


def _scroll_width(text: str, width: int, folder: Path) -> int:
    """How wide the page's content is, in a window of `width` pixels."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is here: install it to check the layout")
    place = folder / "frame.html"
    place.write_text(
        f'<body style="margin: 0"><iframe style="border: 0; width: {width}px; height: 800px" '
        f'srcdoc="{html.escape(text)}" onload="document.title = '
        "'width=' + this.contentDocument.documentElement.scrollWidth\"></iframe>",
        encoding="utf-8",
    )
    flags = [*CHROMIUM_FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--dump-dom"]
    done = subprocess.run([browser, *flags, place.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>width=(\d+)</title>", done.stdout)
    assert found, done.stderr[-2000:]
    return int(found[1])


def _asked(shift: float) -> WhiteBox:
    """Attacks on a model that finds members likelier by `shift` nats a choice."""
    rng = np.random.default_rng(7)

    def drawn(more: float) -> Scored:
        logs = -rng.exponential(1.0, size=(120, 6)) - 0.5
        rest = np.stack(
            [np.full_like(logs, -1.0), np.full_like(logs, 0.8), (logs > -0.8).astype(float)], axis=2
        )
        rows = np.concatenate([(logs + more)[:, :, None], rest], axis=2)
        base = np.concatenate([logs[:, :, None], rest], axis=2)
        fitted = [RowScore(float(row[:, 0].sum()), 6, row) for row in rows]
        return Scored(fitted, [RowScore(float(row[:, 0].sum()), 6, row) for row in base])

    members, controls = drawn(shift), drawn(0.0)
    return measure_white_box(members, controls, reordered=(members, controls), notes=["Prompts show 9 rows."])


def test_what_the_model_gives_away_decides_the_verdict(report: Report) -> None:
    known = report.privacy
    caught = _asked(0.4)
    assert caught.p_value < 1e-6
    leaking = replace(known, white_box=caught, p_values={**known.p_values, "white box": caught.p_value})
    assert list(leaks_of(leaking)) == list(known.leaks), "rows can be shared where the model is kept"
    said = verdict_of(leaking, known.leaks)
    assert "Keep the model to yourself: whoever holds it tells" in said
    assert "with AUC 1.00 (reference)" in said
    page = replace(report, privacy=leaking).to_html()
    assert "With the model in hand" in page
    assert all(name in page for name in ("error zone", "Min-K%++", "Data leakage test (DLT)"))
    assert "model in hand, AUC" in replace(report, privacy=leaking).summary()
    innocent = _asked(0.0)
    clean = replace(known, white_box=innocent, p_values={**known.p_values, "white box": innocent.p_value})
    assert "Of the model itself, too, no leakage was found above" in verdict_of(clean, ())
    assert "With the model in hand" not in report.to_html()


def test_what_rows_teach_a_language_model_stands_beside_real_rows(report: Report) -> None:
    def scored(source: str, auc: float) -> LleScore:
        return LleScore(
            source, 120, {"auc": Figure(auc, auc - 0.1, auc + 0.05), "mcc": undefined("no reason")}
        )

    asked = Lle(
        "outcome",
        80,
        (scored("synthetic", 0.7), scored("real", 0.8), scored("class_conditional", 0.6)),
        ("N.",),
    )
    shown = replace(report, lle=asked)
    assert "answers with AUC 0.70 [0.60, 0.75], from real rows 0.80 [0.70, 0.85]" in html.unescape(
        shown.to_html()
    )
    assert "What the rows teach a language model" in shown.to_html()
    assert json.loads(json.dumps(shown.to_json()))["lle"]["scores"][1]["source"] == "real"


def test_the_page_draws_the_attack_that_the_verdict_names(people: Callable[[int, int], pd.DataFrame]) -> None:
    frames = [people(100, seed) for seed in range(3)]
    schema = infer_schema(pd.concat(frames), target="outcome", title="patients")
    report = evaluate(real=frames[0], synthetic=frames[1], holdout=frames[2], schema=schema)
    headline = report.privacy.headline
    assert f"one attack ({headline.attack})" in report.privacy.verdict
    assert f"</i>{headline.attack} attack {headline.auc.value:.2f}" in report.to_html()
    worst = replace(report.privacy.attacks[1], p_value=1e-9, auc=Figure(0.91, noise_floor=0.5))
    found = replace(
        report.privacy,
        attacks=(*report.privacy.attacks[:1], worst, *report.privacy.attacks[2:]),
        p_values=report.privacy.p_values | {"membership": 1e-6},
    )
    assert f"The {worst.name} attack" in " ".join(leaks_of(found))
    assert f"</i>{worst.name} attack 0.91" in replace(report, privacy=found).to_html()


def test_a_dash_among_the_scores_has_its_reason_on_the_page_and_on_the_console(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    holdout = people(60, 2).assign(outcome="ill")
    report = evaluate(real=people(60, 0), synthetic=people(60, 1), holdout=holdout, schema=people_schema)
    reason = "AUC is not defined because the holdout rows hold a single value of the target."
    assert reason in report.to_html() and reason in report.summary()
