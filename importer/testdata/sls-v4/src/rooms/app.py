import boto3


def handle(event, context):
    return {"statusCode": 200}
