// Package localdb runs a DynamoDB on this machine during development, with the tables of an API.
//
//	db, err := localdb.Open(ctx, localdb.Config{Dir: dir, Tables: file.Tables, …})
//	db.Endpoint()   // the value for AWS_ENDPOINT_URL_DYNAMODB
//	db.Close()
//
// It starts what is installed: dynalite, an npm package, or AWS's own DynamoDB Local, a Java program. Both keep
// everything in memory. With Config.Endpoint there is a DynamoDB already, and it gets the tables that it lacks.
//
// The process ends with Close, and when crier ends. If crier is killed, its standard input ends, and that ends it;
// on Windows, DynamoDB Local stays.
//
// # What it does not do
//
// It is no DynamoDB of its own: what dynalite lacks is missing, such as transactions, PartiQL, streams, and items that
// expire. It fetches nothing from the network. It uses no DynamoDB at AWS.
package localdb
