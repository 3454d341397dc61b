import logging
import os
import sys
import time


def echo(event, context):
    return event


def pid(event, context):
    return os.getpid()


def nothing(event, context):
    pass


def throws(event, context):
    raise ValueError("thrown")


def exits(event, context):
    print("I leave")
    sys.exit(3)


def hangs(event, context):
    time.sleep(60)


def unserializable(event, context):
    return {1, 2}


def context(event, context):
    return {
        "name": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "id": context.aws_request_id,
        "remaining": context.get_remaining_time_in_millis(),
        "handler": os.environ["_HANDLER"],
        "root": os.environ["LAMBDA_TASK_ROOT"] == os.getcwd(),
        "mine": os.environ.get("MINE"),
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }


def logs(event, context):
    logger = logging.getLogger()
    logger.setLevel(logging.INFO)
    logger.info("an event")
    logger.debug("nothing")
    logging.getLogger("other").warning("take care")
    return context.aws_request_id


not_a_function = 5
