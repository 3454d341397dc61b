"""The runtime client for Python: it asks the Lambda Runtime API for events, hands them to the handler, and posts what
comes of them. https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
"""

import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback


class LambdaContext:
    """What a handler is told beside the event."""

    def __init__(self, headers):
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.identity = None
        self.client_context = None
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))


def load(name):
    """Find the function that a handler such as src/app.handler names."""
    module, _, member = name.rpartition(".")
    if not module:
        raise ValueError(f"the handler must be like app.handler, not {name}")
    loaded = importlib.import_module(module.replace("/", "."))
    if not callable(getattr(loaded, member, None)):
        raise AttributeError(f"{module} has no function {member}")
    return getattr(loaded, member)


def tidy(error):
    """An exception whose stack, and those of what it came from, are the user's: without this file and Python's importing,
    and with paths relative to the function's directory."""
    told = traceback.TracebackException.from_exception(error)
    todo, done = [told], set()
    while todo:
        part = todo.pop()
        if part is None or id(part) in done:
            continue
        done.add(id(part))
        todo += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or [])]
        if getattr(part, "filename", None):  # of a SyntaxError
            part.filename = shorten(part.filename)
        frames, ours = [], False
        for frame in part.stack:
            importing = frame.filename.startswith("<frozen importlib") or ours and frame.filename == importlib.__file__
            if frame.filename == "<stdin>" or importing:
                ours = True
                continue
            ours = False
            frame.line  # is read now, by the whole path
            frame.filename = shorten(frame.filename)
            frames.append(frame)
        part.stack[:] = frames
    return told


def shorten(file):
    """A path relative to the function's directory, where that is shorter."""
    if not os.path.isabs(file):
        return file
    try:
        relative = os.path.relpath(file, os.environ["LAMBDA_TASK_ROOT"])
    except ValueError:  # another drive
        return file
    return relative if len(relative) < len(file) else file


def describe(error, told):
    """An exception in Lambda's form."""
    return {
        "errorType": type(error).__name__,
        "errorMessage": str(error),
        "stackTrace": told.stack.format(),
    }


class LogHandler(logging.StreamHandler):
    """What Lambda has at the root logger: [INFO]\t2026-11-21T10:15:30.123Z\t<request id>\t<message>
    https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
    """

    request = ""

    def __init__(self):
        super().__init__(sys.stdout)
        form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def filter(self, record):
        record.aws_request_id = self.request
        return super().filter(record)


class Runtime:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address)
        self.log = LogHandler()
        logging.getLogger().addHandler(self.log)

    def call(self, method, route, body=None):
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.connection.request(method, "/2018-06-01/runtime/" + route, body, headers)
        response = self.connection.getresponse()
        return response.headers, response.read()

    def fail(self, route, error):
        told = tidy(error)
        sys.stderr.write("".join(told.format()))
        self.call("POST", route, json.dumps(describe(error, told)).encode())

    def take(self, handler):
        """Wait for an event, hand it over and answer it."""
        headers, body = self.call("GET", "invocation/next")
        self.log.request = headers["Lambda-Runtime-Aws-Request-Id"]
        event = "invocation/" + self.log.request
        os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
        try:
            result = handler(json.loads(body), LambdaContext(headers))
            answer = json.dumps(result, ensure_ascii=False).encode()
        except Exception as error:
            self.fail(event + "/error", error)
        else:
            self.call("POST", event + "/response", answer)


def main():
    runtime = Runtime(os.environ["AWS_LAMBDA_RUNTIME_API"])
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    try:
        if os.environ.get("_CRIER_ALIAS") and not hasattr(sys, "_crier_alias"):  # alias.py was not loaded
            raise RuntimeError("PYTHONPATH has no effect: what this function sends to its API would leave the machine")
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        runtime.fail("init/error", error)
        sys.exit(1)
    while True:
        runtime.take(handler)


if __name__ == "__main__":
    try:
        main()
    except (ConnectionError, http.client.HTTPException):
        sys.exit(1)  # nobody is there who gives it work
