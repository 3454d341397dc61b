// Posts to its own client, in many ways, as a Lambda function in Go.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, ev events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	var message struct{ By, Way, At string }
	if err := json.Unmarshal([]byte(ev.Body), &message); err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	about, region := ev.RequestContext, os.Getenv("AWS_REGION")
	if message.Way == "otherRegion" {
		region = "mars-north-1"
	}
	endpoint := map[string]string{
		"alias":  fmt.Sprintf("https://%s.execute-api.%s.amazonaws.com/%s", about.APIID, region, about.Stage),
		"domain": "https://" + about.DomainName,
		"stage":  "https://" + about.DomainName + "/" + about.Stage,
	}[message.At]
	if message.Way == "environment" {
		endpoint = os.Getenv("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI")
	}
	r, err := http.NewRequestWithContext(ctx, "POST", endpoint+"/@connections/"+url.PathEscape(about.ConnectionID), strings.NewReader(message.By+" "+message.Way))
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	var client interface {
		Do(*http.Request) (*http.Response, error)
	} = http.DefaultClient
	if message.Way == "sdk" { // with its own HTTP client, and signed
		sdk, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		keys, err := sdk.Credentials.Retrieve(ctx)
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		sum := sha256.Sum256([]byte(message.By + " " + message.Way))
		if err := v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(sum[:]), "execute-api", region, time.Now()); err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		client = sdk.HTTPClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		return events.APIGatewayProxyResponse{}, fmt.Errorf("%s: %s", message.Way, resp.Status)
	}
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}
