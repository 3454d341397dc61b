package importer

import (
	"strings"
)

// A table is one as crier.yaml has it.
type table struct {
	name    string
	key     key
	indexes []index
}

// A key has a partition key, and may have a sort key.
type key struct{ partition, sort attribute }

type attribute struct{ name, kind string }

type index struct {
	name       string
	key        key
	local      bool
	keysOnly   bool
	projection []string
}

// table takes over a table. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
func (c *conversion) table(r *resource) {
	t := table{name: c.stack.tableName(r).text}
	property := func(name string) *tree { return c.stack.eval(r.property(name)) }
	kinds := make(map[string]string)
	for _, a := range property("AttributeDefinitions").each() {
		kinds[a.get("AttributeName").str()] = a.get("AttributeType").str()
	}
	t.key = readKey(property("KeySchema"), kinds)
	if r.kind == kindSimpleTable {
		t.key.partition = attribute{"id", "S"}
		if primary := property("PrimaryKey"); primary != nil {
			t.key.partition = attribute{primary.get("Name").str(), strings.ToUpper(primary.get("Type").str() + "S")[:1]}
		}
	}
	if name := c.stack.eval(r.property("TableName")); name != nil && len(name.missing) > 0 {
		c.fill(r.line, "tables."+t.name, strings.Join(name.missing, ", "))
	}
	switch {
	case len(t.name) < 3 || len(t.name) > 255:
		c.leave(r.line, "the table "+r.name, "its name is "+t.name+", which is none for a table")
		return
	case !t.key.valid():
		c.leave(r.line, "the table "+r.name, "its key is not known")
		return
	}
	for _, other := range c.service.tables {
		if other.name == t.name {
			c.leave(r.line, "the table "+r.name, "there is another of its name")
			return
		}
	}
	for _, i := range property("GlobalSecondaryIndexes").each() {
		c.index(&t, r, i, kinds, false)
	}
	for _, i := range property("LocalSecondaryIndexes").each() {
		c.index(&t, r, i, kinds, true)
	}
	if stream := property("StreamSpecification"); stream != nil {
		c.leave(r.line, "the stream of "+r.name, "functions get events of the WebSocket API only")
	}
	c.service.tables = append(c.service.tables, t)
}

func (c *conversion) index(t *table, r *resource, from *tree, kinds map[string]string, local bool) {
	i := index{name: plainName(from.get("IndexName").str()), key: readKey(from.get("KeySchema"), kinds), local: local}
	for _, other := range t.indexes {
		if other.name == i.name {
			return
		}
	}
	if len(i.name) < 3 || len(i.name) > 255 || !i.key.valid() || local && (i.key.sort.name == "" || t.key.sort.name == "") {
		c.leave(r.line, "the index "+i.name+" of "+r.name, "its name or its key is not known")
		return
	}
	switch projection := from.get("Projection"); projection.get("ProjectionType").str() {
	case "KEYS_ONLY":
		i.keysOnly = true
	case "INCLUDE":
		i.projection = texts(projection.get("NonKeyAttributes"))
	}
	t.indexes = append(t.indexes, i)
}

func readKey(schema *tree, kinds map[string]string) (k key) {
	for _, element := range schema.each() {
		name := element.get("AttributeName").str()
		switch a := (attribute{name, kinds[name]}); element.get("KeyType").str() {
		case "HASH":
			k.partition = a
		case "RANGE":
			k.sort = a
		}
	}
	return k
}

func (k key) valid() bool {
	return k.partition.valid() && (k.sort.name == "" || k.sort.valid())
}

func (a attribute) valid() bool {
	return a.name != "" && (a.kind == "S" || a.kind == "N" || a.kind == "B")
}
