package importer

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"

	"crier/api"
)

// TestMutations: files with parts missing, doubled and exchanged become something that crier gateway takes, or an error.
func TestMutations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	converted := 0
	for _, pattern := range []string{"testdata/*/template.y*ml", "testdata/*/stack.yaml", "testdata/*/serverless.yml", "testdata/*/backend/serverless.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				mutant := mutate(t, random, text)
				result, err := Convert(source(filepath.Base(file), string(mutant), map[string]string{"infra/functions.yml": "f: {handler: a.b, events: [{websocket: $default}]}"}))
				if err != nil {
					continue
				}
				converted++
				if _, err := api.Parse("crier.yaml", result.File); err != nil {
					t.Fatalf("%v\n%s\nof\n%s", err, result.File, mutant)
				}
			}
		}
	}
	if converted < 300 {
		t.Errorf("only %d are APIs", converted)
	}
}

// mutate returns a file in which a few parts are not as they were.
func mutate(t *testing.T, random *rand.Rand, text []byte) []byte {
	t.Helper()
	var doc, original yaml.Node
	if err := errors.Join(yaml.Unmarshal(text, &doc), yaml.Unmarshal(text, &original)); err != nil {
		t.Fatal(err)
	}
	all, others := nodes(doc.Content[0]), nodes(original.Content[0])
	words := []string{"", "-1", "a b", "${x}", "${self:a}", "$connect", "$x", "999999", "true", "S", "\x00\u2028", "WEBSOCKET", "arn:aws:lambda:a:1:function:f", "../x", "nodejs20.x", "java21", "R\n- x: y"}
	for range 1 + random.IntN(6) {
		n := all[1+random.IntN(len(all)-1)]
		switch random.IntN(4) {
		case 0:
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: words[random.IntN(len(words))]}
		case 1:
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		case 2:
			*n = *others[random.IntN(len(others))]
			n.Anchor = ""
		case 3:
			if n.Kind == yaml.SequenceNode || n.Kind == yaml.MappingNode {
				n.Content = n.Content[:len(n.Content)/4*2]
			}
		}
	}
	mutant, err := yaml.Dump(&doc)
	if err != nil { // an alias without its anchor cannot be written
		return text
	}
	return mutant
}

// nodes returns a node and all that are in it.
func nodes(n *yaml.Node) []*yaml.Node {
	all := []*yaml.Node{n}
	for _, child := range n.Content {
		all = append(all, nodes(child)...)
	}
	return all
}
