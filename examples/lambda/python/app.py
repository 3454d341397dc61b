import json


def handler(event, context):
    request = event["requestContext"]
    print(request["eventType"], request["connectionId"])
    if request["eventType"] != "MESSAGE":
        return {"statusCode": 200}
    answer = {"you": request["connectionId"], "said": event["body"]}
    return {"statusCode": 200, "body": json.dumps(answer)}
