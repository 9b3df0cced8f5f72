"""What the command line says."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def in_a_line(text: object) -> str:
    """A text with what would break its line, or turn it round, escaped: names of files may hold anything."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def complain(error: object, status: int) -> int:
    """Say what is wrong in a line on stderr; the status is given back."""
    print(f"pellucid: {in_a_line(error)}", file=sys.stderr)
    return status


def say(record: dict[str, Any], as_json: bool, line: str) -> None:
    """One result: a JSON object (numbers that are not finite become null), or a line for people."""
    if as_json:
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        text = json.dumps(clean, ensure_ascii=False)
        # In one piece: several processes may share what they write to.
        print((text if _sayable(text) == text else json.dumps(clean)) + "\n", end="", flush=True)
    else:
        print(_sayable(line), flush=True)


def _sayable(text: str) -> str:
    """A text with what stdout has no characters for escaped: a file on Windows has few, none has half a character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def sentence(record: Mapping[str, Any]) -> str:
    """A result for people; its remarks on lines of their own."""
    parts = [f"{in_a_line(record['output'] or record['input'])}: sigma {record['sigma']:.1f}"]
    if record["psnr_db"] is not None:
        parts.append(f"PSNR {record['psnr_db']:.2f} dB (was {record['noisy_psnr_db']:.2f})")
    if record["estimated_psnr_db"] is not None:
        parts.append(f"estimated PSNR {record['estimated_psnr_db']:.2f} ± {record['estimated_psnr_band_db']:.2f} dB")
    parts.append(f"{record['seconds']:.1f} s")
    return ", ".join(parts) + "".join(f"\n  {warning}" for warning in record["warnings"])


def show(text: str) -> None:
    """A line that is written over, for people at a terminal only; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r{text:60}" if text else "\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)


def show_passes(done: int, total: int, seconds: float) -> None:
    """How far one picture is."""
    left = seconds / done * (total - done) if done else 0.0
    show(f"{done}/{total}, {left:.0f} s left" if done < total else "")


def duration(seconds: float) -> str:
    """For people."""
    hours, rest = divmod(round(seconds), 3600)
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
