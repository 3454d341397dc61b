package localdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/api"
)

// patience is how long a table may take to be made.
const patience = 20 * time.Second

func newClient(endpoint string, config Config) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       config.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(config.AccessKey, config.SecretKey, ""),
		Retryer:      aws.NopRetryer{}, // what does not answer on this machine will not do so a second later
	})
}

// createTables makes those tables that are not there.
func createTables(ctx context.Context, endpoint string, config Config) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := newClient(endpoint, config)
	for _, name := range slices.Sorted(maps.Keys(config.Tables)) {
		_, err := client.CreateTable(ctx, newTable(name, config.Tables[name]))
		if there := (*types.ResourceInUseException)(nil); errors.As(err, &there) {
			continue
		}
		if err == nil {
			waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second })
			err = waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, patience)
		}
		if err != nil {
			return fmt.Errorf("make the table %s in the DynamoDB at %s: %w", name, endpoint, err)
		}
	}
	return nil
}

func newTable(name string, c api.TableConfig) *dynamodb.CreateTableInput {
	table := &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(c.Key),
	}
	attributes := map[string]string{c.Key.Partition.Name: c.Key.Partition.Type, c.Key.Sort.Name: c.Key.Sort.Type}
	for _, index := range slices.Sorted(maps.Keys(c.Indexes)) {
		i := c.Indexes[index]
		attributes[i.Key.Partition.Name], attributes[i.Key.Sort.Name] = i.Key.Partition.Type, i.Key.Sort.Type
		if i.Local {
			table.LocalSecondaryIndexes = append(table.LocalSecondaryIndexes, types.LocalSecondaryIndex{
				IndexName: &index, KeySchema: keySchema(i.Key), Projection: projection(i),
			})
			continue
		}
		table.GlobalSecondaryIndexes = append(table.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: &index, KeySchema: keySchema(i.Key), Projection: projection(i),
		})
	}
	delete(attributes, "") // of keys without a sort key
	for _, attribute := range slices.Sorted(maps.Keys(attributes)) {
		table.AttributeDefinitions = append(table.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: &attribute, AttributeType: types.ScalarAttributeType(attributes[attribute]),
		})
	}
	return table
}

func keySchema(key api.KeyConfig) []types.KeySchemaElement {
	schema := []types.KeySchemaElement{{AttributeName: &key.Partition.Name, KeyType: types.KeyTypeHash}}
	if key.Sort.Name != "" {
		schema = append(schema, types.KeySchemaElement{AttributeName: &key.Sort.Name, KeyType: types.KeyTypeRange})
	}
	return schema
}

func projection(i api.IndexConfig) *types.Projection {
	switch {
	case i.KeysOnly:
		return &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}
	case len(i.Projection) > 0:
		return &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: i.Projection}
	}
	return &types.Projection{ProjectionType: types.ProjectionTypeAll}
}
