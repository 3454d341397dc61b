import boto3


def connect(event, context):
    return {"statusCode": 200}
