package shadowsocks

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"ssmonitor/internal/safeyaml"
)

// parseYAML reads the first document of a YAML file. Like [parseJSON5] it keeps
// the content of known values only. Its error is a *SyntaxError or a
// *ValueError.
func parseYAML(data []byte) (v value, err error) {
	v.kind = kindNull
	err = safeyaml.Walk(data, func(file *ast.File) error {
		converter := yamlConverter{anchors: make(map[string]ast.Node)}
		for _, document := range file.Docs {
			if document.Body != nil {
				v = converter.value(document.Body, "", true)
				break
			}
		}
		return converter.err
	})
	if err != nil {
		v = value{}
	}
	if errors.Is(err, safeyaml.ErrTooLarge) {
		return v, &ValueError{"the file", "too large", "at most " + safeyaml.Most()}
	}
	if syntax, ok := errors.AsType[*safeyaml.Error](err); ok {
		return v, &SyntaxError{Line: syntax.Line, Column: syntax.Column, YAML: true}
	}
	return v, err
}

// yamlConverter turns the library's tree into values.
type yamlConverter struct {
	anchors map[string]ast.Node
	depth   int
	values  int
	err     error
}

func (c *yamlConverter) fail(at ast.Node, expected string) value {
	if c.err == nil {
		c.err = &ValueError{place(at), "not valid", expected}
	}
	return value{kind: kindNull}
}

func place(at ast.Node) string {
	if token := at.GetToken(); token != nil && token.Position != nil {
		return fmt.Sprintf("the value at line %d, column %d", token.Position.Line, token.Position.Column)
	}
	return "a value"
}

// value converts the value of a key. Where keep is false, only the kind is kept.
func (c *yamlConverter) value(from ast.Node, key string, keep bool) value {
	c.values++
	if c.depth++; c.depth > maxDepth || c.values > maxValues {
		return c.fail(from, "a configuration with fewer values, or less nesting of aliases")
	}
	defer func() { c.depth-- }()
	scalar := func(k kind, text string) value {
		if !keep {
			text = ""
		}
		return value{kind: k, scalar: reduce(key, text)}
	}
	switch from := from.(type) {
	case nil, *ast.NullNode:
		return value{kind: kindNull}
	case *ast.BoolNode:
		return scalar(kindBool, fmt.Sprint(from.Value))
	case *ast.IntegerNode:
		return scalar(kindNumber, fmt.Sprint(from.Value))
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return scalar(kindNumber, from.GetToken().Value)
	case *ast.StringNode:
		return scalar(kindText, from.Value)
	case *ast.LiteralNode:
		return scalar(kindText, from.Value.Value)
	case *ast.TagNode:
		return c.value(from.Value, key, keep)
	case *ast.AnchorNode:
		c.anchors[from.Name.GetToken().Value] = from.Value
		return c.value(from.Value, key, keep)
	case *ast.AliasNode:
		target, found := c.anchors[from.Value.GetToken().Value]
		if !found {
			return c.fail(from, "an alias of an anchor above it")
		}
		return c.value(target, key, keep)
	case *ast.SequenceNode:
		return c.list(from, key, keep)
	case *ast.MappingNode:
		return c.object(from.Values, key, keep)
	case *ast.MappingValueNode:
		return c.object([]*ast.MappingValueNode{from}, key, keep)
	}
	return c.fail(from, "a scalar, a list or a mapping")
}

func (c *yamlConverter) list(from *ast.SequenceNode, key string, keep bool) value {
	v := value{kind: kindList, size: len(from.Values)}
	for _, entry := range from.Values {
		if child := c.value(entry, key, keep); keep {
			v.items = append(v.items, child)
		}
	}
	return v
}

func (c *yamlConverter) object(entries []*ast.MappingValueNode, parent string, keep bool) value {
	v := value{kind: kindObject, size: len(entries)}
	var merged []member // the object's own keys count before these
	for _, entry := range entries {
		if entry.Key.IsMergeKey() {
			merged = append(merged, c.merge(entry.Value, parent, keep)...)
			continue
		}
		key := entry.Key.GetToken().Value
		key = spelled(key)
		kept, content := keeps(parent, key)
		child := c.value(entry.Value, within(parent, key), keep && content)
		if keep && kept {
			v.members = append(v.members, member{key, child})
		}
	}
	v.members = append(merged, v.members...)
	return v
}

// merge returns the members of the mapping, or of the mappings, under <<.
func (c *yamlConverter) merge(from ast.Node, parent string, keep bool) (members []member) {
	v := c.value(from, parent, keep)
	for _, item := range slices.Backward(v.items) { // the first of several counts
		members = append(members, item.members...)
	}
	return append(members, v.members...)
}
