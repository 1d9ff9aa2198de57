"""Try each attack of the corpus on the grader: none succeeds, and honest work loses nothing."""

import html
import os
import re
import subprocess
from concurrent.futures import Future

import pytest
from attack import CORPUS, Attack, load
from proving_ground import LIMITS, ProvingGround, active, said

ATTACKS = [load(file) for file in sorted(CORPUS.glob("[0-9]*"))]


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.file.stem for attack in ATTACKS])
def test_an_attack_gets_what_it_deserves_and_leaves_nothing(
    attack: Attack, ground: ProvingGround
) -> None:
    trial = ground.try_out(attack)
    points = ground.assignment(attack.assignment).points

    assert trial.alice == attack.takes_alice
    if attack.refused:
        reasons = [one.reason for one in trial.intake.entries if one.outcome == "refused"]
        assert any(re.search(attack.refused, reason) for reason in reasons), trial.intake.entries
    everybody = attack.wanted(points)
    if hasattr(attack.module, "submissions"):
        everybody *= len(trial.results)
    for result, wanted in zip(trial.results, everybody, strict=bool(trial.results)):
        # As JSON, a text may be several times as long.
        assert len(said(result)) < 5 * LIMITS["target"].notebook_output_bytes
        if result.reason.startswith("none of the answers"):
            assert (result.outcome, result.score) == ("failed", 0)
            continue
        assert result.outcome == "graded", result.reason
        assert result.trust == "split"
        if wanted is not None:
            assert {cell.grade_id: cell.score for cell in result.cells} == wanted, said(result)

    assert {cell.grade_id: cell.score for cell in trial.control.cells} == points
    told = "\n".join([trial.outputs, *trial.pages])
    secrets = {**ground.canaries, "success": attack.marker}
    assert [(name, _around(text, told)) for name, text in secrets.items() if text in told] == []
    assert [text for text in attack.never if text in trial.outputs] == []
    assert [found for page in trial.pages + trial.screens for found in active(page)] == []
    assert max((len(page) for page in trial.pages), default=0) < 2**22
    assert trial.changed == []
    assert trial.left == []
    assert trial.called == []
    assert not trial.processes, trial.processes


@pytest.mark.parametrize(
    "page",
    [
        "<script>alert(4711)</script>",
        "<p><img src=x onerror=alert(4711)>",
        '<a href="javascript:alert(4711)">here</a>',
        "<base href=//evil>",
        "<style>body { background: url(//evil/4711) }</style>",
    ],
)
def test_the_reader_of_pages_finds_what_runs(page: str) -> None:
    assert active(page)
    assert not active(html.escape(page))


if os.geteuid() == 0:  # Else all of the above was without rights.

    def test_all_of_this_holds_for_a_user_without_rights(
        second_run: Future[subprocess.CompletedProcess[str]],
    ) -> None:
        done = second_run.result()
        assert done.returncode == 0, done.stdout + done.stderr
        [passed] = re.findall(r"(\d+) passed", done.stdout)
        assert int(passed) > len(ATTACKS)
        assert "skipped" not in done.stdout


def _around(text: str, told: str) -> str:
    """What stands around the first place where a text was told."""
    place = told.index(text)
    return told[max(0, place - 300) : place + 700]
