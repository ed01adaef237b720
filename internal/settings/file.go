package settings

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"

	"ssmonitor/internal/safeyaml"
)

// entry is a key of the settings file with its values, and where these begin.
type entry struct {
	values       []string
	line, column int
}

// entriesOf reads a settings file. A key may be that of another command; one that no
// command knows is an error.
func entriesOf(content []byte) (map[string]entry, error) {
	entries, keys := make(map[string]entry), All()
	err := safeyaml.Walk(content, func(file *ast.File) error {
		if len(file.Docs) == 0 || file.Docs[0].Body == nil {
			return nil
		}
		pairs, ok := pairsOf(file.Docs[0].Body)
		if !ok {
			return wrong(file.Docs[0].Body, "want keys with values")
		}
		for _, pair := range pairs {
			key := find(keys, pair.Key.GetToken().Value)
			if key == nil {
				return wrong(pair.Key, "unknown key "+safeyaml.Word(pair.Key.GetToken().Value))
			}
			if pair.Value.Type() == ast.NullType {
				continue
			}
			values, err := key.values(pair.Value)
			if err != nil {
				return err
			}
			at := pair.Value.GetToken().Position
			entries[key.Name] = entry{values, at.Line, at.Column}
		}
		return nil
	})
	return entries, err
}

func wrong(node ast.Node, reason string) error {
	at := node.GetToken().Position
	return &safeyaml.Error{Line: at.Line, Column: at.Column, Reason: reason}
}

// pairsOf returns the pairs of a mapping.
func pairsOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch node := node.(type) {
	case *ast.MappingNode:
		return node.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{node}, true
	}
	return nil, false
}

// values returns the values of a key as the command line would give them.
func (k *Key) values(node ast.Node) ([]string, error) {
	if k.perClient != nil {
		if pairs, ok := pairsOf(node); ok {
			return k.ofClients(pairs)
		}
	}
	list, isList := node.(*ast.SequenceNode)
	if !isList || !k.Repeatable {
		value, ok := scalar(node)
		if !ok || k.Switch && node.Type() != ast.BoolType {
			return nil, wrong(node, "want "+k.shape())
		}
		return []string{value}, nil
	}
	var values []string
	for _, item := range list.Values {
		value, ok := scalar(item)
		if !ok {
			return nil, wrong(item, "want "+k.shape())
		}
		values = append(values, value)
	}
	return values, nil
}

// ofClients returns the values of a map of clients.
func (k *Key) ofClients(pairs []*ast.MappingValueNode) (values []string, err error) {
	for _, pair := range pairs {
		value, ok := scalar(pair.Value)
		if !ok {
			return nil, wrong(pair.Value, fmt.Sprintf("key %s: want %s", k.Name, k.shape()))
		}
		values = append(values, pair.Key.GetToken().Value+"="+value)
	}
	return values, nil
}

// shape describes what the key may have in the file.
func (k *Key) shape() string {
	switch {
	case k.Switch:
		return "true or false"
	case k.perClient != nil:
		return fmt.Sprintf("a %[1]s, a list of %[1]ss, or a map of clients and %[1]ss, as in {%[2]s}", k.perClient.thing, k.perClient.example)
	case k.Repeatable:
		return "a text, or a list of texts"
	}
	return "a text"
}

// scalar returns the text of a value, as it stands there.
func scalar(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}
