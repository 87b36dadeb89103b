"""The pipe as a discrete-event simulation, written from its definition and from ns-2's red.cc, not from `nodeops.wires.pipe`.

Slow and plain: a queue, a transmitter and a delay line that a clock walks through event by event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from models.spec import Queue, Shaping
from nodeops.wires.randomness import Uniforms, deviation


@dataclass
class Red:
    """ns-2's variables under ns-2's names."""

    v_ave: float = 0
    count: int = 0
    count_bytes: int = 0
    old: int = 0
    idle: bool = True
    idletime: int = 0

    def enque(self, queue: Queue, qlen: int, now: int, size: int, rate: int, uniforms: Uniforms) -> str:
        p = queue.red
        m = 0
        if self.idle:
            self.idle = False
            ptc = Fraction(rate, 8 * p.mean_packet_size_bytes * 10**9)
            m = int(ptc * (now - self.idletime))
        for _ in range(min(m + 1, 5000)):
            self.v_ave *= 1 - p.weight
        self.v_ave += p.weight * qlen
        self.count += 1
        self.count_bytes += size
        scale = p.mean_packet_size_bytes if queue.unit == "bytes" else 1
        th_min, th_max = p.min_threshold * scale, p.max_threshold * scale
        if not (self.v_ave >= th_min and qlen > 1):
            self.old = 0
            return "keep"
        if (not p.gentle and self.v_ave >= th_max) or (p.gentle and self.v_ave >= 2 * th_max):
            self.count = self.count_bytes = 0
            return "forced"
        if self.old == 0:
            self.count, self.count_bytes, self.old = 1, size, 1
            return "keep"
        if uniforms.draw() <= self.modify_p(p, self.calculate_p(p, th_min, th_max), size):
            self.count = self.count_bytes = 0
            return "early"
        return "keep"

    def calculate_p(self, p, th_min: float, th_max: float) -> float:
        max_p = 1 / p.linear_term
        if p.gentle and self.v_ave >= th_max:
            v_c, v_d = (1 - max_p) / th_max, 2 * max_p - 1
            result = v_c * self.v_ave + v_d
        else:
            result = (self.v_ave - th_min) / (th_max - th_min) * max_p
        return min(1.0, result)

    def modify_p(self, p, prob: float, size: int) -> float:
        count1 = float(self.count_bytes // p.mean_packet_size_bytes) if p.byte_mode else float(self.count)
        if p.wait:
            if count1 * prob < 1.0:
                prob = 0.0
            elif count1 * prob < 2.0:
                prob /= 2.0 - count1 * prob
            else:
                prob = 1.0
        elif count1 * prob < 1.0:
            prob /= 1.0 - count1 * prob
        else:
            prob = 1.0
        if p.byte_mode and prob < 1.0:
            prob = prob * size / p.mean_packet_size_bytes
        return min(1.0, prob)


@dataclass
class Frame:
    number: int
    size: int
    extra: int | None = None
    due: int = 0


@dataclass
class ReferencePipe:
    """Feed `frame` and `change` in order of time, then read `departures`: (due, number) in order of leaving."""

    shaping: Shaping
    uniforms: Uniforms
    up: bool = True
    queue: list[Frame] = field(default_factory=list)
    sending: Frame | None = None
    sending_ends: int = 0
    busy_since: int = 0
    busy_bits: int = 0
    last_due: int = 0
    red: Red = field(default_factory=Red)
    departures: list[tuple[int, int]] = field(default_factory=list)
    drops: dict[str, list[int]] = field(default_factory=lambda: {"queue": [], "red": [], "loss": [], "down": []})

    def advance(self, now: int) -> None:
        """All ends of transmission up to and including now."""
        while self.sending and self.sending_ends <= now:
            self.finish(self.sending)
            self.sending = None
            if self.queue:
                self.begin(self.queue.pop(0), self.sending_ends, fresh=False)
            else:
                self.red.idle, self.red.idletime = True, self.sending_ends

    def begin(self, frame: Frame, at: int, fresh: bool) -> None:
        if fresh:
            self.busy_since, self.busy_bits = at, 0
        self.busy_bits += frame.size * 8
        rate = self.shaping.bandwidth_bps
        took = Fraction(self.busy_bits * 10**9, rate) if rate else 0
        self.sending, self.sending_ends = frame, self.busy_since + int(took)

    def finish(self, frame: Frame) -> None:
        if frame.extra is not None:
            self.last_due = max(self.last_due, self.sending_ends + frame.extra)
            self.departures.append((self.last_due, frame.number))

    def frame(self, now: int, number: int, size: int) -> None:
        self.advance(now)
        if not self.up:
            self.drops["down"].append(number)
            return
        s = self.shaping
        verdict = "keep"
        if s.bandwidth_bps:
            in_bytes = s.queue.unit == "bytes"
            waiting = sum(f.size for f in self.queue) if in_bytes else len(self.queue)
            if s.queue.discipline == "red":
                verdict = self.red.enque(s.queue, waiting, now, size, s.bandwidth_bps, self.uniforms)
            if self.sending and waiting + (size if in_bytes else 1) > s.queue.limit:
                self.red.count = self.red.count_bytes = 0
                self.drops["queue"].append(number)
                return
            if verdict != "keep":
                self.drops["red"].append(number)
                return
        frame = Frame(number, size)
        if s.loss and self.uniforms.draw() < s.loss:
            self.drops["loss"].append(number)
        else:
            jitter = round(s.jitter_s * 1e9 * deviation(s.jitter_distribution, self.uniforms.draw())) if s.jitter_s else 0
            frame.extra = max(0, round(s.delay_s * 1e9) + jitter)
        if self.sending:
            self.queue.append(frame)
        else:
            self.begin(frame, now, fresh=True)
            self.advance(now)

    def change(self, now: int, shaping: Shaping) -> None:
        self.advance(now)
        if shaping.bandwidth_bps != self.shaping.bandwidth_bps:
            self.busy_since, self.busy_bits = self.sending_ends, 0
        self.shaping = shaping
