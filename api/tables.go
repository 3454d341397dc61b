package api

import "regexp"

// A TableConfig is a table in which handlers store data. It has what
// CloudFormation's AWS::DynamoDB::Table has about keys and indexes.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
type TableConfig struct {
	Key     KeyConfig
	Indexes map[string]IndexConfig
}

// A KeyConfig names the attributes that make a key. Without a sort key, Sort is
// empty.
type KeyConfig struct {
	Partition, Sort AttributeConfig
}

// An AttributeConfig is an attribute of a key.
type AttributeConfig struct {
	Name string
	Type string // S, N or B
}

// An IndexConfig is a secondary index.
type IndexConfig struct {
	Key        KeyConfig
	Local      bool     // Key.Partition is that of the table
	KeysOnly   bool     // nothing but keys is projected
	Projection []string // attributes that are projected beside the keys; none, and not KeysOnly: all
}

// tableName is what DynamoDB calls a valid name, of a table or an index.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (v value) table(name string) TableConfig {
	c := TableConfig{Indexes: make(map[string]IndexConfig)}
	v.named(name)
	indexes := v
	indexes.node = nil
	v.object(fields{
		"partitionKey": func(v value) { c.Key.Partition = v.attribute() },
		"sortKey":      func(v value) { c.Key.Sort = v.attribute() },
		"indexes":      func(v value) { indexes = v },
	}, "partitionKey")
	// After the table's own key, on which local indexes depend.
	indexes.each(func(name string, v value) { c.Indexes[name] = v.index(name, c.Key) })
	v.sameTypes(c)
	return c
}

// named checks the name of a table or an index.
func (v value) named(name string) {
	if !tableName.MatchString(name) {
		v.fail("a name in DynamoDB has 3 to 255 letters, digits, _, - and .")
	}
}

func (v value) index(name string, table KeyConfig) IndexConfig {
	var c IndexConfig
	v.named(name)
	v.object(fields{
		"partitionKey": func(v value) { c.Key.Partition = v.attribute() },
		"sortKey":      func(v value) { c.Key.Sort = v.attribute() },
		"projection":   func(v value) { c.KeysOnly, c.Projection = v.projection() },
	})
	if c.Key.Partition.Name != "" || !v.isObject() {
		return c
	}
	c.Local, c.Key.Partition = true, table.Partition
	if c.Key.Sort.Name == "" {
		v.fail("an index has a partitionKey, or a sortKey, or both; without a partitionKey it is a local index, with the table's")
	}
	if table.Sort.Name == "" {
		v.fail("an index without a partitionKey is a local one: DynamoDB has these in tables with a sortKey only")
	}
	return c
}

// attribute reads an attribute of a key: its name, or its name and type.
func (v value) attribute() AttributeConfig {
	a := AttributeConfig{Type: "S"}
	if v.isText() {
		a.Name = v.text()
	} else {
		v.object(fields{
			"name": func(v value) { a.Name = v.text() },
			"type": func(v value) { a.Type = v.attributeType() },
		}, "name")
	}
	if a.Name == "" && (v.isText() || v.isObject()) {
		v.fail("an attribute has a name")
	}
	return a
}

func (v value) attributeType() string {
	text := v.text()
	if text != "S" && text != "N" && text != "B" {
		v.fail("want S (string), N (number) or B (binary)")
	}
	return text
}

func (v value) projection() (keysOnly bool, attributes []string) {
	if !v.isText() {
		v.items(func(v value) { attributes = append(attributes, v.text()) })
		return false, attributes
	}
	switch v.text() {
	case "ALL":
	case "KEYS_ONLY":
		return true, nil
	default:
		v.fail("want ALL, KEYS_ONLY or a list of attributes")
	}
	return false, nil
}

// sameTypes checks that an attribute has the same type in all keys of a table.
func (v value) sameTypes(c TableConfig) {
	types := make(map[string]string)
	keys := []KeyConfig{c.Key}
	for _, index := range c.Indexes {
		keys = append(keys, index.Key)
	}
	for _, key := range keys {
		for _, a := range []AttributeConfig{key.Partition, key.Sort} {
			if other, ok := types[a.Name]; ok && a.Name != "" && other != a.Type {
				v.fail("the attribute %s has two types", a.Name)
				return
			}
			types[a.Name] = a.Type
		}
	}
}
