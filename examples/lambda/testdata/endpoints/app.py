"""Posts to its own client, in many ways."""

import asyncio
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request

ELSEWHERE = "127.66.66.66"  # where the name would lead


def by_boto3(endpoint, connection, text):
    import boto3

    api = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    return api.post_to_connection(ConnectionId=connection, Data=text)["ResponseMetadata"]["HTTPStatusCode"]


def by_environment(endpoint, connection, text):
    """What the environment says, if the code says nothing: since boto3 1.28."""
    import boto3

    if tuple(map(int, boto3.__version__.split(".")[:2])) < (1, 28):
        return by_boto3(endpoint, connection, text)
    return by_boto3(None, connection, text)


def by_requests(endpoint, connection, text):
    import requests

    return requests.post(url(endpoint, connection), text.encode()).status_code


def by_urllib(endpoint, connection, text):
    return urllib.request.urlopen(url(endpoint, connection), text.encode()).status


def by_client(endpoint, connection, text):
    where = urllib.parse.urlsplit(url(endpoint, connection))
    api = http.client.HTTPSConnection(where.hostname)
    api.request("POST", where.path, text)
    return api.getresponse().status


def by_raw(endpoint, connection, text, address=None):
    """Sockets alone."""
    where = urllib.parse.urlsplit(endpoint)
    plain = socket.socket()
    plain.connect((address or where.hostname, 443))
    with ssl.create_default_context().wrap_socket(plain, server_hostname=where.hostname) as api:
        api.sendall(request(endpoint, connection, text))
        return int(api.recv(100).split()[1])


def by_looked(endpoint, connection, text):
    """Look first, and connect then."""
    return by_raw(endpoint, connection, text, socket.gethostbyname(urllib.parse.urlsplit(endpoint).hostname))


def by_early(endpoint, connection, text):
    """TLS before there is a connection."""
    name = urllib.parse.urlsplit(endpoint).hostname
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname=name) as api:
        api.connect((ELSEWHERE, 443))
        api.sendall(request(endpoint, connection, text))
        return int(api.recv(100).split()[1])


def by_stranger(endpoint, connection, text):
    """TLS over a connection to somebody else must fail. Then post, to say so."""
    with socket.create_server(("127.0.0.1", 0)) as home, socket.create_connection(home.getsockname()) as plain:
        try:
            ssl.create_default_context().wrap_socket(plain, server_hostname=urllib.parse.urlsplit(endpoint).hostname)
        except ConnectionRefusedError:
            return by_raw(endpoint, connection, text)
    return "TLS began"


def by_coroutine(endpoint, connection, text):
    async def post():
        reader, writer = await asyncio.open_connection(urllib.parse.urlsplit(endpoint).hostname, 443, ssl=True)
        writer.write(request(endpoint, connection, text))
        status = int((await reader.readline()).split()[1])
        writer.close()
        return status

    return asyncio.run(post())


def by_child(endpoint, connection, text):
    code = "import sys; sys.path.insert(0, '.'); import app; print(app.by_urllib(*sys.argv[1:]))"
    return int(subprocess.check_output([sys.executable, "-c", code, endpoint, connection, text]))


def request(endpoint, connection, text):
    where = urllib.parse.urlsplit(url(endpoint, connection))
    return f"POST {where.path} HTTP/1.1\r\nHost: {where.hostname}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def url(endpoint, connection):
    return f"{endpoint}/@connections/{urllib.parse.quote(connection)}"


def handler(event, context):
    about, message = event["requestContext"], json.loads(event["body"])
    endpoint = {
        "alias": f"https://{about['apiId']}.execute-api.{os.environ['AWS_REGION']}.amazonaws.com/{about['stage']}",
        "domain": f"https://{about['domainName']}",
        "stage": f"https://{about['domainName']}/{about['stage']}",
    }[message["at"]]
    way = message["way"]
    if way == "otherRegion":
        endpoint = endpoint.replace(os.environ["AWS_REGION"], "mars-north-1")
        way = "client"
    status = globals()["by_" + way](endpoint, about["connectionId"], f"python {message['way']}")
    if status != 200:
        raise RuntimeError(f"{message['way']}: {status}")
    return {"statusCode": 200}
