"""The errors that the remote system answers with: their shapes and words are those of fact sheet 1 and 2."""

from __future__ import annotations

from typing import Any, Literal

from postroad.sdk.simulator import Answer, json_answer

STACK = (
    "   at Microsoft.Dynamics.Platform.Integration.Services.OData.Action.ActionInvokable.Invoke()\r\n"
    "   at Microsoft.Dynamics.Platform.Integration.Services.OData.Action.ActionService.InvokeAction()"
)
GENERAL = "An error has occurred."
BUSY = "This request could not be processed at this time due to system experiencing high resource utilization."
BAD_MODEL = "InvokeAction - Model state is invalid."


class RefusedError(Exception):
    """The request is answered with this error. `inner` is the exception inside the product."""

    def __init__(
        self, message: str, status: int = 400, inner: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.message, self.status, self.inner, self.headers = message, status, inner, headers or {}
        super().__init__(inner or message)

    def answer(self, shape: Literal["odata", "message"]) -> Answer:
        """The answer, in the envelope of OData or in the other one that some layers use."""
        if shape == "message":
            body: dict[str, Any] = {"Message": self.inner or self.message}
        else:
            error: dict[str, Any] = {"code": "", "message": self.message}
            if self.inner is not None:
                kind = "System.InvalidOperationException"
                error["innererror"] = {"message": self.inner, "type": kind, "stacktrace": STACK}
            body = {"error": error}
        answer = json_answer(body, self.status)
        answer.headers = {**answer.headers, **self.headers}
        return answer


def action_failed(action: str, detail: str) -> RefusedError:
    """The error of an action that threw an exception."""
    what = f"Exception occurred while executing action {action} on Entity DataManagementDefinitionGroup: {detail}"
    return RefusedError(GENERAL, 400, what)


def execution_not_found(action: str, execution_id: str) -> RefusedError:
    """The error for an execution that does not exist, or not yet."""
    return action_failed(action, f"Execution details were not found for execution id: {execution_id}")


def busy(retry_after: int | str | None) -> RefusedError:
    """The answer of either limit."""
    return RefusedError(BUSY, 429, None, {} if retry_after is None else {"Retry-After": str(retry_after)})
