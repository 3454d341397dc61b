// An echo for API Gateway's WebSocket APIs, as a Lambda function in Go.
package main

import (
	"context"
	"errors"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(echo) }

func echo(_ context.Context, ev events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	if ev.Body == "fail" { // to see what clients get then
		return events.APIGatewayProxyResponse{}, errors.New("as you wish")
	}
	return events.APIGatewayProxyResponse{StatusCode: 200, Body: ev.Body}, nil
}
