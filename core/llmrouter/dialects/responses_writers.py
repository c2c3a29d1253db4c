"""Events → a stream or a body of Responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmrouter.types import Begin, Fields, Finish, Frame, Keep, Request, Spent, Trouble, Usage

from .common import dumps, get, join, raw
from .errors import envelope
from .responses_object import Shown, error_of, opened_body, opened_event, patched
from .responses_output import Output, Told
from .responses_passed import Passed
from .responses_state import kept, stores
from .responses_tools import names_of

PREFIX = "resp_"
CUT = ("length", "content_filter")
"""Reasons to finish by which an answer is incomplete."""


class _Answer:
    """What both shapes of an answer have in common."""

    prefix = PREFIX

    def __init__(self, request: Request) -> None:
        tail = request.facts.id.removeprefix("req_")
        self._fields = request.fields
        self._stores = stores(request.fields)
        self._shown = Shown(request, f"{PREFIX}{tail}")
        self._output = Output(tail, lambda: names_of(request.fields))
        self._model = request.facts.asked
        self._begun = False
        self._usage: Usage | None = None
        self._reason = "stop"
        self._theirs: Fields | None = None  # the response as the upstream itself tells it

    def keeps(self) -> Iterable[Keep]:
        """Asked once, before `end`: a client that has seen the end may refer to the answer."""
        return kept(self._fields, self._final()) if self._stores else ()

    def _follow(self, frame: Frame) -> list[Told]:
        """Take what a frame means; the events of a stream that say it."""
        told: list[Told] = []
        for event in frame.events:
            if type(event) is Begin and not self._begun:
                self._begun, self._model = True, event.model or self._model
            elif type(event) is Spent:
                self._usage = event.usage
            elif type(event) is Finish:
                self._reason = event.reason
            told += self._output.add(event, frame.wire.dialect)
        return told

    def _final(self) -> Fields:
        return self._theirs or self._response("incomplete" if self._reason in CUT else "completed")

    def _response(self, status: str, error: Any = None) -> Fields:
        return self._shown.response(
            status, self._model, self._output.items(), reason=self._reason, usage=self._usage, error=error
        )


class StreamWriter(_Answer):
    """Numbered events under one id. The last one waits for `end`: by then the answer is kept."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._number = 0
        self._opened = False
        self._own: list[bytes] = []  # what went through as it came
        self._last = b""  # and its last event

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        if verbatim and frame.wire.stream:
            return self._pass(frame)
        if self._own:
            self._resume()
        told = self._follow(frame)
        return self._open() + b"".join([self._event(one) for one in told]) if told else b""

    def end(self) -> bytes:
        if self._last:
            return self._last
        if self._own:
            self._resume()
        final = self._final()
        return self._open() + self._lifecycle(get(final, "status"), final)

    def fail(self, trouble: Trouble) -> bytes:
        """As the API does: an error, which its SDKs raise, and the failure, which to them is an event like any."""
        if self._own:
            self._resume()
        told = envelope(trouble)["error"]
        said = {name: told[name] for name in ("code", "message", "param")}
        failed = self._response("failed", error_of(trouble))
        return (
            self._open() + self._event({"type": "error", **said, "error": told}) + self._lifecycle("failed", failed)
        )

    def _pass(self, frame: Frame) -> bytes:
        """The upstream's bytes, but for what the router keeps in its place."""
        data, ends = frame.raw, any(type(event) is Finish for event in frame.events)
        if data.find(b'"response"') >= 0 and (opened := opened_event(data, self._shown.patches)):
            data, self._theirs = opened
        if ends:
            self._last = data
            if self._theirs is not None and not get(self._theirs, "output"):
                self._theirs["output"] = raw(Passed(self._own).done)  # some leave it out at the end
            return b""
        self._own += [data] if data else []
        return data

    def _resume(self) -> None:
        """Another upstream goes on where one broke off: under the same id, with the next number."""
        passed = Passed(self._own)
        self._output.adopt(passed.items())
        self._shown.adopt(self._theirs or {})
        self._own, self._theirs = [], None
        self._number, self._opened = passed.number, True

    def _open(self) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        begun = self._shown.response("in_progress", self._model, ())
        return self._lifecycle("created", begun) + self._lifecycle("in_progress", begun)

    def _lifecycle(self, kind: str, response: Fields) -> bytes:
        return self._event({"type": f"response.{kind}", "response": response})

    def _event(self, told: Told) -> bytes:
        told["sequence_number"] = self._number
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (told["type"].encode(), dumps(told))


class PlainWriter(_Answer):
    """One body, returned by `end`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._raw = b""

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        if verbatim and not frame.wire.stream:
            self._pass(frame.raw)
        else:
            self._follow(frame)
        return b""

    def fail(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def end(self) -> bytes:
        return self._raw or join(self._final())

    def _pass(self, data: bytes) -> None:
        self._raw = data
        if not self._shown.patches:
            return
        response = opened_body(data)
        self._theirs = patched(response, self._shown.patches)
        if self._theirs != response:
            self._raw = join(self._theirs)
