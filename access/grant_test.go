package access

import (
	"path"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"", "a", "a b", "*", "\x00"}, nil},
		{"", []string{""}, []string{"a"}},
		{"game-*", []string{"game-", "game-1", "game-*"}, []string{"", "game", "agame-1", "Game-1"}},
		{"*-1", []string{"-1", "game-1", "-1-1"}, []string{"1", "game-12"}},
		{"a*b", []string{"ab", "axb", "abb", "aab"}, []string{"a", "b", "aba", "bab"}},
		{"a*b*c", []string{"abc", "axbxc", "abcbc"}, []string{"acb", "ab", "ac"}},
		{"a*a", []string{"aa", "aaa"}, []string{"a"}},
		{"**", []string{"", "x"}, nil},
		{"a?[b]", []string{"a?[b]"}, []string{"axb"}},
		{"ü*", []string{"ü", "übung"}, []string{"u"}},
	} {
		for _, name := range c.yes {
			if !Match(c.pattern, name) {
				t.Errorf("%q does not match %q", c.pattern, name)
			}
		}
		for _, name := range c.no {
			if Match(c.pattern, name) {
				t.Errorf("%q matches %q", c.pattern, name)
			}
		}
	}
}

// TestMatchIsQuick: patterns that make others try everything.
func TestMatchIsQuick(t *testing.T) {
	pattern, name := strings.Repeat("a*", 4000)+"b", strings.Repeat("a", 8000)
	began := time.Now()
	if Match(pattern, name) {
		t.Error("it matches")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// FuzzMatch compares with path.Match, where that knows the same patterns.
func FuzzMatch(f *testing.F) {
	f.Add("a*b*", "aabb")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern+name, `/\?[]`) || len(pattern)+len(name) > 60 || !validUTF8(pattern+name) {
			return
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			return
		}
		if got := Match(pattern, name); got != want {
			t.Errorf("Match(%q, %q) is %v", pattern, name, got)
		}
	})
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

func TestGrant(t *testing.T) {
	var all *Grant
	hears := &Grant{Hear: true, Topics: []string{"game-*", "lobby"}}
	nothing := &Grant{Hear: true, Say: true, Topics: []string{}}
	for _, c := range []struct {
		g         *Grant
		topic     string
		hear, say bool
	}{
		{all, "", true, true},
		{all, "x", true, true},
		{hears, "game-1", true, false},
		{hears, "lobby", true, false},
		{hears, "lobby2", false, false},
		{hears, "", false, false},
		{nothing, "", false, false},
		{nothing, "x", false, false},
		{&Grant{Say: true}, "", false, true},
		{&Grant{Hear: true, Topics: []string{"*"}}, "", true, false},
	} {
		if hear, say := c.g.MayHear(c.topic), c.g.MaySay(c.topic); hear != c.hear || say != c.say {
			t.Errorf("%+v in %q: hear %v, say %v", c.g, c.topic, hear, say)
		}
	}
}
