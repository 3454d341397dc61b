// Package dynalite has a DynamoDB on this machine for tests: the npm package of that name.
package dynalite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const script = `
const db = require('dynalite')({ createTableMs: 0, deleteTableMs: 0 });
db.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + db.address().port));
process.stdin.on('end', () => process.exit()).resume();`

// Start runs a DynamoDB until the test ends and returns its address.
func Start(t testing.TB) (endpoint string) {
	t.Helper()
	cmd := exec.Command("node", "-e", script)
	cmd.Dir = filepath.Join(root(t), "examples", "lambda")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	alive, err := cmd.StdinPipe() // it ends with us
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start dynalite: %v", err)
	}
	t.Cleanup(func() {
		alive.Close()
		cmd.Wait()
	})
	if _, err := fmt.Fscanln(out, &endpoint); err != nil {
		t.Fatalf("dynalite does not start (%v): run make test, or npm ci in examples/lambda", err)
	}
	return endpoint
}

// root returns the directory of the module, in one of whose directories tests run.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no go.mod above %q, %v", dir, err)
	return ""
}

// Client returns a client of a DynamoDB at an endpoint, whoever plays it.
func Client(endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("x", "x", ""),
	})
}

// CreateTable creates a table with the keys pk and sk, as crier's stack does.
func CreateTable(t testing.TB, endpoint, name string) {
	t.Helper()
	_, err := Client(endpoint).CreateTable(context.Background(), &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}
