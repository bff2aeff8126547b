"""The order that streams and events give to what the stand-in computes: a use of memory that lacks it is refused.

Everything is computed at once, so that a missing wait could not show in the numbers. In place of that each stream keeps
the vector clock of what it comes after (Lamport 1978; Fidge 1988), and each piece of memory who wrote and read it when.
"""


class Event:
    """A moment of a stream, as torch.cuda.Event is; `device` has a `stream()`, the present one, and `note(kind)`."""

    def __init__(self, device):
        self.device, self.seen = device, {}

    def record(self, stream=None):
        self.seen = dict((stream or self.device.stream()).seen)

    def wait(self, stream=None):
        (stream or self.device.stream()).wait_event(self)

    def synchronize(self):
        self.device.note('event')

    def query(self):
        return True


class Stream:
    """A queue of work of its own; `seen` is {stream: number of its operators that this one's next comes after}."""

    def __init__(self, device):
        self.device, self.seen = device, {self: 0}

    def tick(self):
        """Count one more operator: its number."""
        self.seen[self] += 1
        return self.seen[self]

    def comes_after(self, moment):
        """Whether what runs next does so after `moment`, (stream, number)."""
        stream, number = moment
        return self.seen.get(stream, 0) >= number

    def join(self, seen):
        """Let what runs next come after all that `seen` tells of."""
        for stream, number in seen.items():
            self.seen[stream] = max(self.seen.get(stream, 0), number)

    def record_event(self):
        """As torch.cuda.Stream has it."""
        event = Event(self.device)
        event.record(self)
        return event

    def wait_stream(self, other):
        """As torch.cuda.Stream has it."""
        self.join(other.seen)

    def wait_event(self, event):
        """As torch.cuda.Stream has it."""
        self.join(event.seen)


class Memory:
    """What streams did with the memory of a tensor and its views; it is given back to the stream `home`."""

    def __init__(self, home):
        self.home, self.users = home, {home}
        self.written, self.reads = (home, 0), {}

    def use(self, stream, writes):
        """Note a use; RuntimeError where it is not ordered after an earlier one, or where giving back would not be."""
        if stream not in self.users:
            raise RuntimeError(
                'memory of one stream is used on another without record_stream: it could be given to '
                'somebody else meanwhile'
            )
        earlier = [self.written, *(self.reads.items() if writes else ())]
        if not all(stream.comes_after(moment) for moment in earlier):
            raise RuntimeError('memory is used on a stream that did not wait for the one that used it before')
        number = stream.tick()
        if writes:
            self.written, self.reads = (stream, number), {}
        else:
            self.reads[stream] = number
