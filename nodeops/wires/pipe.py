"""One pipe: queue → bandwidth → delay and jitter → loss, as pure arithmetic on integers of nanoseconds.

A frame's whole fate is decided when it enters, so that the work per frame is one step in and one step out:
- Queue: what waits while the link sends; the frame being sent is not in it. A frame that finds the link busy and does not fit is dropped.
- Bandwidth: a transmission ends floor(bits / rate) after the busy period's begin, the remainder carried from frame to frame: no drift.
  Changing it re-plans whatever has not begun to be sent; the frame being sent ends as it began.
- Delay, jitter, loss, the queue's limit: as they are when a frame enters. Jitter never reorders: a frame leaves no earlier than the one
  before it. A lost frame takes its place in queue and bandwidth first.
- HELD_FRAMES and HELD_BYTES bound what a pipe holds; what comes on top counts as dropped by the queue.
- `fed_bps`: the rate at which frames arrive bit by bit (a link's other half). Bits are passed on as they come, so that a path through
  two pipes of one rate costs one transmission time, not two; where this pipe is not the slower one its bandwidth adds nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from models.protocol.wires import HeldFrame, PipeState, Tally, WaitingFrame
from models.spec import Shaping
from nodeops.wires import frames
from nodeops.wires.punctuality import Record
from nodeops.wires.randomness import Uniforms, deviation
from nodeops.wires.red import BIT_NS, RedQueue, Verdict

Timed = tuple[int, bytes, int, int]  # virtual ns, frame with its virtio-net header, bytes and packets on the wire
HELD_FRAMES, HELD_BYTES = 1_000_000, 1 << 30  # a long delay at a high rate must not take all of the host's memory
WHOLE_BPS = 524_288_000  # a super-frame of 64 KiB fills a slower pipe for more than a millisecond


class Pipe:
    """Frames go in with `enter` in order of time, and come out of `leave`, each due at its exact instant."""

    def __init__(self, shaping: Shaping, seed: int):
        self.shaping, self.up, self.fed_bps = shaping, True, 0
        self.punctuality = Record()
        self._uniforms = Uniforms(seed)
        self._red = RedQueue(shaping.queue)
        self._flying: deque[Timed] = deque()
        self._waiting: deque[tuple[int, int, int, int | None]] = deque()  # start, bytes, packets, time after transmission (None: lost)
        self._occupancy = self._sent_ns = self._remainder = self._last_due_ns = 0
        self._in_frames = self._in_bytes = self._out_frames = self._out_bytes = self._marked = 0
        self._dropped_queue = self._dropped_red = self._dropped_loss = self._dropped_down = self._dropped_bytes = 0
        self._configure()

    @property
    def next_ns(self) -> int | None:
        """When the next frame is due."""
        return self._flying[0][0] if self._flying else None

    @property
    def transparent(self) -> bool:
        """Nothing to shape, nothing held: a frame may bypass this pipe, if `bypass` counts it."""
        return self._plain and not self._delay_ns and self.up and not self._flying

    @property
    def carries_whole(self) -> bool:
        """Super-frames may pass uncut: they do not fill this pipe for long, and none of its frames is treated by itself."""
        return not (self._loss or self._jitter_ns or self._rate and (self._rate < WHOLE_BPS or self._by_red))

    def enter(self, arrivals: Sequence[Timed]) -> None:
        """Take frames, in order of time. Super-frames are cut before, unless `carries_whole`."""
        self._in_bytes += sum([timed[2] for timed in arrivals])
        self._in_frames += sum([timed[3] for timed in arrivals])
        if not self.up:
            self._dropped_down += self._refuse(arrivals)
        elif len(self._flying) >= HELD_FRAMES or self._in_bytes - self._out_bytes - self._dropped_bytes > HELD_BYTES:
            self._dropped_queue += self._refuse(arrivals)
        elif self._plain and arrivals[0][0] >= self._sent_ns and arrivals[0][0] + self._delay_ns >= self._last_due_ns:
            delay = self._delay_ns
            self._flying.extend([(at + delay, frame, size, packets) for at, frame, size, packets in arrivals])
            self._last_due_ns = arrivals[-1][0] + delay
        else:
            self._admit(arrivals)

    def bypass(self, size_bytes: int, packets: int) -> None:
        """Count what passed while `transparent`."""
        self._in_frames += packets
        self._out_frames += packets
        self._in_bytes += size_bytes
        self._out_bytes += size_bytes

    def leave(self, now_ns: int) -> list[Timed]:
        """The frames due by now, in order, each with its planned instant."""
        flying = self._flying
        left: list[Timed] = []
        while flying and flying[0][0] <= now_ns:
            left.append(flying.popleft())
        if left:
            size = sum([timed[2] for timed in left])
            self._out_bytes += size
            self._out_frames += sum([timed[3] for timed in left])
            self.punctuality.left(now_ns, left, size, 0 if self._jitter_ns else self._rate)
        return left

    def change(self, now_ns: int, shaping: Shaping, fed_bps: int | None = None) -> None:
        """Shape anew from this instant on. The caller looks at `next_ns` again afterwards."""
        rate = self._rate
        self.shaping = shaping
        if fed_bps is not None:
            self.fed_bps = fed_bps
        self._begin(now_ns)
        self._configure()
        self._occupancy = self._weight(self._waiting)
        if self._rate != rate:
            self.punctuality.rate_changed()
            self._replan()

    def held(self) -> Iterable[Timed]:
        return iter(self._flying)

    def tally(self) -> Tally:
        return Tally(in_frames=self._in_frames, in_bytes=self._in_bytes, out_frames=self._out_frames, out_bytes=self._out_bytes,
                     dropped_queue=self._dropped_queue, dropped_red=self._dropped_red, dropped_loss=self._dropped_loss,
                     dropped_down=self._dropped_down, dropped_bytes=self._dropped_bytes, marked=self._marked)

    def save(self, now_ns: int) -> PipeState:
        self._begin(now_ns)
        return PipeState(
            shaping=self.shaping, up=self.up, random=self._uniforms.save(), red=self._red.save(),
            waiting=tuple(WaitingFrame(start_in_ns=start - now_ns, size_bytes=size, packets=packets, extra_ns=extra)
                          for start, size, packets, extra in self._waiting),
            held=tuple(HeldFrame(due_in_ns=due - now_ns, data=frame) for due, frame, _, _ in self._flying),
            sent_in_ns=self._sent_ns - now_ns, remainder=self._remainder, last_due_in_ns=self._last_due_ns - now_ns,
            tally=self.tally(), punctuality=self.punctuality.save())

    @staticmethod
    def restore(state: PipeState, now_ns: int, fed_bps: int = 0) -> Pipe:
        """A pipe that goes on at now_ns as the saved one would have at the instant of saving."""
        pipe = Pipe(state.shaping, state.random.seed)
        pipe.up, pipe.fed_bps = state.up, fed_bps
        pipe._configure()
        pipe._uniforms = Uniforms.restore(state.random)
        pipe._red = RedQueue(state.shaping.queue, state.red)
        pipe._waiting.extend((w.start_in_ns + now_ns, w.size_bytes, w.packets, w.extra_ns) for w in state.waiting)
        pipe._flying.extend((h.due_in_ns + now_ns, h.data, *frames.measure(h.data)) for h in state.held)
        pipe._occupancy = pipe._weight(pipe._waiting)
        pipe._sent_ns, pipe._remainder = state.sent_in_ns + now_ns, state.remainder
        pipe._last_due_ns = state.last_due_in_ns + now_ns
        pipe._count(state.tally)
        pipe.punctuality = Record(state.punctuality)
        return pipe

    def _configure(self) -> None:
        """The shaping in the units and the forms in which frames meet it."""
        s = self.shaping
        self._rate = 0 if self.fed_bps and s.bandwidth_bps >= self.fed_bps else s.bandwidth_bps
        self._delay_ns, self._jitter_ns, self._loss = round(s.delay_s * 1e9), s.jitter_s * 1e9, s.loss
        self._by_bytes, self._by_red = s.queue.unit == "bytes", s.queue.discipline == "red"
        self._red.configure(s.queue)
        self._plain = not (self._rate or self._jitter_ns or self._loss)

    def _weight(self, waiting: Iterable[tuple[int, int, int, int | None]]) -> int:
        return sum(size if self._by_bytes else packets for _, size, packets, _ in waiting)

    def _count(self, tally: Tally) -> None:
        for name, value in tally:
            setattr(self, f"_{name}", value)

    def _refuse(self, arrivals: Sequence[Timed]) -> int:
        """Count their bytes as dropped; returns how many frames they are."""
        self._dropped_bytes += sum([timed[2] for timed in arrivals])
        return sum([timed[3] for timed in arrivals])

    def _begin(self, now_ns: int) -> None:
        """Take from the queue what has begun to be sent by now."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_ns:
            _, size, packets, _ = waiting.popleft()
            self._occupancy -= size if self._by_bytes else packets

    def _admit(self, arrivals: Iterable[Timed]) -> None:
        """`enter` with everything: the one place that decides over a frame. Locals, because it runs for every frame."""
        flying, waiting, rate, fed, loss, draw = self._flying, self._waiting, self._rate, self.fed_bps, self._loss, self._uniforms.draw
        limit, by_bytes, by_red, jitter = self.shaping.queue.limit, self._by_bytes, self._by_red, self._jitter_ns
        for now, frame, size, packets in arrivals:
            start, remainder = self._sent_ns, self._remainder
            if start <= now:
                if waiting:
                    self._begin(now)
                start, remainder = now, 0
            elif waiting and waiting[0][0] <= now:
                self._begin(now)
            if rate:
                fits = start == now or self._occupancy + (size if by_bytes else packets) <= limit
                if by_red:
                    kept = self._red_keeps(now, frame, size, packets, fits)
                    if kept is None:
                        continue
                    frame = kept
                elif not fits:
                    self._overflow(now, frame, size, packets)
                    continue
                if fed and start == now:
                    start = max(self._sent_ns, now - size * BIT_NS // fed)
                took, self._remainder = divmod(size * BIT_NS + remainder, rate)
                self._sent_ns = start + took
            else:
                self._sent_ns = start
            lost = loss and draw() < loss
            extra = self._delay_ns
            if lost:
                self._dropped_loss += packets
                self._dropped_bytes += size
            else:
                if jitter:
                    extra = max(0, extra + round(jitter * deviation(self.shaping.jitter_distribution, draw())))
                due = self._sent_ns + extra
                if due < self._last_due_ns:
                    due = self._last_due_ns
                self._last_due_ns = due
                flying.append((due, frame, size, packets))
            if start > now:
                waiting.append((start, size, packets, None if lost else extra))
                self._occupancy += size if by_bytes else packets

    def _red_keeps(self, now: int, frame: bytes, size: int, packets: int, fits: bool) -> bytes | None:
        """The frame, perhaps marked, or None: dropped."""
        verdict = self._red.arrive(self._occupancy, max(0, now - self._sent_ns), self._rate, size, self._uniforms.draw)
        marked = frames.mark_congestion(frame) if verdict is Verdict.EARLY and self._red.red.mark else None
        if not fits:
            self._red.dropped()
            self._overflow(now, frame, size, packets)
            return None
        if verdict is Verdict.KEEP:
            return frame
        if marked:
            self._marked += packets
            return marked
        self._dropped_red += packets
        self._dropped_bytes += size
        return None

    def _overflow(self, now: int, frame: bytes, size: int, packets: int) -> None:
        """A frame that does not fit is dropped; of a super-frame, the frames that do not."""
        if packets > 1:
            self._admit([(now, part, *frames.measure(part)) for part in frames.cut(frame)])
        else:
            self._dropped_queue += packets
            self._dropped_bytes += size

    def _replan(self) -> None:
        """The bandwidth changed: plan again what has not begun to be sent, behind the frame that is being sent."""
        self._remainder = 0
        if not self._waiting:
            return
        planned = [self._flying.pop() for _, _, _, extra in self._waiting if extra is not None]
        cursor, remainder = self._waiting[0][0], 0
        last = self._flying[-1][0] if self._flying else cursor
        for _ in range(len(self._waiting)):
            _, size, packets, extra = self._waiting.popleft()
            self._waiting.append((cursor, size, packets, extra))
            if self._rate:
                took, remainder = divmod(size * BIT_NS + remainder, self._rate)
                cursor += took
            if extra is not None:
                last = max(last, cursor + extra)
                self._flying.append((last, planned.pop()[1], size, packets))
        self._sent_ns, self._remainder, self._last_due_ns = cursor, remainder, last
