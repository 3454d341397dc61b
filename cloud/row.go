package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/access"
	"crier/app"
)

// A connection is what is remembered of one.
type connection struct {
	app.Conn
	expires time.Time     // when its row may be deleted
	may     *access.Grant // what the client may do; nil: everything
}

// over reports whether the client may not do anything any more.
func (c *connection) over(now time.Time) bool {
	return c.may != nil && !c.may.Expires.IsZero() && !now.Before(c.may.Expires)
}

// size returns about how many bytes the connection's row has.
func (c *connection) size() (bytes int) {
	for _, topic := range slices.Concat(c.Topics, c.Mute) {
		bytes += len(mark + topic)
	}
	return bytes + len(c.ID) + len(c.Identity.User)
}

// writes returns as how many a write of the row is billed.
func (c *connection) writes() int64 { return 1 + int64(c.size())>>10 }

// cost returns how much more a client that comes and goes costs than one that is in a single topic.
func (c *connection) cost() int64 { return 2 * (max(0, int64(len(c.Topics))-1) + c.writes() - 1) }

// row returns the connection's row.
func (c *connection) row() (item, error) {
	row := connectionKey(c.ID)
	row["exp"] = seconds(c.expires)
	if c.Identity.User != "" {
		row["user"] = text(c.Identity.User)
	}
	if c.Silent {
		row["silent"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	if len(c.Topics) > 0 {
		row["topics"] = topicSet(c.Topics)
	}
	if len(c.Mute) > 0 {
		row["mute"] = topicSet(c.Mute)
	}
	if c.may != nil {
		may, err := json.Marshal(c.may)
		if err != nil {
			return nil, fmt.Errorf("write down what the client may do: %w", err)
		}
		row["may"] = text(string(may))
	}
	return row, nil
}

// membership returns the row of the connection's being in a topic.
func (c *connection) membership(topic string) item {
	row := membershipKey(topic, c.ID)
	row["exp"] = seconds(c.expires)
	if c.may != nil && !c.may.Expires.IsZero() {
		row["ends"] = seconds(c.may.Expires)
	}
	return row
}

func readConnection(id string, row item) (*connection, error) {
	c := &connection{Conn: app.Conn{ID: id, Topics: readTopics(row, "topics"), Mute: readTopics(row, "mute")}, expires: readExpiry(row)}
	c.Identity.User = readText(row, "user")
	if silent, ok := row["silent"].(*types.AttributeValueMemberBOOL); ok {
		c.Silent = silent.Value
	}
	if may := readText(row, "may"); may != "" {
		c.may = new(access.Grant)
		if err := json.Unmarshal([]byte(may), c.may); err != nil {
			return nil, fmt.Errorf("read what the client may do: %w", err)
		}
	}
	return c, nil
}

// A topic is in a connection's set with a mark before it: a set has no empty texts, but everyone's name is one.
const mark = "="

func topicSet(topics []string) types.AttributeValue {
	marked := make([]string, len(topics))
	for i, topic := range topics {
		marked[i] = mark + topic
	}
	return &types.AttributeValueMemberSS{Value: marked}
}

func readTopics(row item, attribute string) (topics []string) {
	if set, ok := row[attribute].(*types.AttributeValueMemberSS); ok {
		for _, marked := range set.Value {
			topics = append(topics, marked[len(mark):])
		}
	}
	return topics
}

func readMember(row item, topic string) member {
	return member{
		id: readText(row, "sk"), topic: topic, expires: readExpiry(row), until: readTime(row, "ends"), hangs: readTime(row, "hangs"),
	}
}

// readExpiry returns when a row expires.
func readExpiry(row item) time.Time {
	if exp := readTime(row, "exp"); !exp.IsZero() {
		return exp
	}
	return time.Now().Add(lifetime)
}

// readTime returns a time of a row; the zero time if it has none.
func readTime(row item, attribute string) time.Time {
	if at, ok := row[attribute].(*types.AttributeValueMemberN); ok {
		if n, err := strconv.ParseInt(at.Value, 10, 64); err == nil {
			return time.Unix(n, 0)
		}
	}
	return time.Time{}
}

func number(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

func readNumber(row item, attribute string) int {
	if value, ok := row[attribute].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.Atoi(value.Value) // we have written it
		return n
	}
	return 0
}

func readText(row item, attribute string) string {
	if value, ok := row[attribute].(*types.AttributeValueMemberS); ok {
		return value.Value
	}
	return ""
}
