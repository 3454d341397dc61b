package api

import (
	"reflect"
	"strings"
	"testing"
)

const tablesFile = `
routes: {}
integrations: {}
tables:
  rooms-dev: {partitionKey: room}
  messages:
    partitionKey: {name: room, type: S}
    sortKey: {name: sent, type: N}
    indexes:
      byUser: {partitionKey: user, sortKey: {name: sent, type: N}, projection: [text, colour]}
      byColour: {sortKey: colour, projection: KEYS_ONLY}
`

func TestTables(t *testing.T) {
	f, err := Parse("crier.yaml", []byte(tablesFile))
	if err != nil {
		t.Fatal(err)
	}
	room, sent := AttributeConfig{"room", "S"}, AttributeConfig{"sent", "N"}
	want := map[string]TableConfig{
		"rooms-dev": {Key: KeyConfig{Partition: room}, Indexes: map[string]IndexConfig{}},
		"messages": {Key: KeyConfig{room, sent}, Indexes: map[string]IndexConfig{
			"byUser":   {Key: KeyConfig{AttributeConfig{"user", "S"}, sent}, Projection: []string{"text", "colour"}},
			"byColour": {Key: KeyConfig{room, AttributeConfig{"colour", "S"}}, Local: true, KeysOnly: true},
		}},
	}
	if !reflect.DeepEqual(f.Tables, want) {
		t.Errorf("got\n%+v\nwant\n%+v", f.Tables, want)
	}
}

func TestMistakesInTables(t *testing.T) {
	for tables, want := range map[string]string{
		"a: {partitionKey: b}":                                                        "tables.a: a name in DynamoDB has 3 to 255 letters",
		"abc: {}":                                                                     "tables.abc: partitionKey is missing",
		"abc: connectionId":                                                           "tables.abc: want an object",
		"abc: {partitionKey: ''}":                                                     "tables.abc.partitionKey: an attribute has a name",
		"abc: {partitionKey: {type: S}}":                                              "tables.abc.partitionKey: name is missing",
		"abc: {partitionKey: {name: a, type: T}}":                                     "tables.abc.partitionKey.type: want S (string), N (number) or B (binary)",
		"abc: {partitionKey: a, sortKey: {name: a, type: N}}":                         "tables.abc: the attribute a has two types",
		"abc: {partitionKey: a, indexes: {b: {sortKey: a}}}":                          "tables.abc.indexes.b: a name in DynamoDB",
		"abc: {partitionKey: a, indexes: {def: {}}}":                                  "tables.abc.indexes.def: an index has a partitionKey, or a sortKey",
		"abc: {indexes: {def: {sortKey: c}}, partitionKey: a}":                        "tables.abc.indexes.def: an index without a partitionKey is a local one",
		"abc: {partitionKey: a, indexes: {def: {partitionKey: b, projection: SOME}}}": "tables.abc.indexes.def.projection: want ALL, KEYS_ONLY or a list",
	} {
		_, err := Parse("crier.yaml", []byte("routes: {}\nintegrations: {}\ntables: {"+tables+"}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", tables, err, want)
		}
	}
}
