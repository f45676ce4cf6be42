"""`sketchforge doctor`"""

from __future__ import annotations

import json

import click

from cli.command import Command
from cli.options import option


@click.command(
    "doctor",
    cls=Command,
    short_help="Say what is installed and whether it works.",
    epilog="Example: sketchforge doctor",
)
@option("--json", "as_json", group="Output", is_flag=True, help="The same as one JSON object.")
def doctor_command(as_json: bool) -> int:
    """Look at Python, packages, devices, memory, disks and weights, draw a built-in photo, and say what to do next.

    A line for each: ok, warn, fail, or absent for what is optional. Paste them into a bug report: they hold no names of
    yours but those of folders below ~. Exit code 1 when something that must work does not.
    """
    from sketchforge.doctor.checkup import FORMAT, VERSION, check_health
    from sketchforge.doctor.finding import FAIL, WARN

    findings = []
    for finding in check_health():
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status:<8}{finding.name:<20}{finding.text}")
            if finding.next_step:
                click.echo(f"{'':<28}-> {finding.next_step}")
    num_failed, num_warned = (sum(each.status == status for each in findings) for status in (FAIL, WARN))
    if as_json:
        checks = [dict(finding.describe()) for finding in findings]
        report = {"format": FORMAT, "version": VERSION, "healthy": not num_failed, "checks": checks}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    elif num_failed:
        click.echo(f"not in good health: {num_failed} of {len(findings)} checks failed")
    else:
        warned = f", {num_warned} of {len(findings)} with a warning" if num_warned else ""
        click.echo(f"all that must work does{warned}")
    return int(num_failed > 0)
